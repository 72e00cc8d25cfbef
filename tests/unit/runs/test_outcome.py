"""What passes for an outcome.json, and what does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parris.contract import MACHINE_ENDS, MACHINE_STATES
from parris.runs.outcome import MAX_BYTES, MAX_TEXT, read_outcome

RUN = "r-0123456789abcdef"
SOUND: dict[str, Any] = {
    "run-id": RUN,
    "job": "job",
    "state": "failed",
    "reason": "exit 3",
    "ended-by": "trainer",
    "exit-status": -9,
    "booted": "2026-11-24T12:00:00Z",
    "finished": None,
    "trainer-seconds": 1.5,
    "cost-usd": 0,
    "warnings": ["a"],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def read(content: object, *, by_machine: bool = True) -> tuple[Any, str]:
    return read_outcome(json.dumps(content).encode(), "job", RUN, by_machine=by_machine)


def test_a_sound_outcome_is_read_as_it_is() -> None:
    assert read(SOUND) == (SOUND, "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 60_000,
        json.dumps(SOUND).encode().ljust(MAX_BYTES + 1),
    ],
)
def test_what_is_no_object_is_no_outcome(body: bytes) -> None:
    outcome, fault = read_outcome(body, "job", RUN, by_machine=True)
    assert outcome is None
    assert fault


def test_what_only_functions_may_say_is_not_a_machines() -> None:
    for key, value in (("state", "launch-failed"), ("ended-by", "reap")):
        assert read({**SOUND, key: value})[0] is None
        assert read({**SOUND, key: value}, by_machine=False)[0] is not None
    forged = {"machine": "AROA:i-other", "log-stream": "x", "attempts": [], "unknown": 1}
    assert read({**SOUND, **forged})[0] == SOUND


def test_a_run_of_a_hundred_attempts_has_an_outcome() -> None:
    attempt = {"number": 100, "reason": "x" * 500, "instance-type": "x" * 300}
    whole = {**SOUND, "attempts": [attempt] * 100, "console": "x" * MAX_TEXT}
    assert len(json.dumps(whole)) > MAX_BYTES
    assert read(whole, by_machine=False) == (whole, "")
    assert read({**SOUND, "attempts": ["x"]}, by_machine=False)[0] is None


def test_long_texts_are_cut_and_half_characters_written_out() -> None:
    said = read({**SOUND, "reason": "x" * 10_000, "warnings": ["\ud800"] * 500})[0]
    assert said is not None
    assert len(said["reason"]) == MAX_TEXT
    assert said["warnings"] == ["\\ud800"] * 100


@given(st.dictionaries(st.sampled_from(sorted(SOUND)), JSON))
def test_whatever_is_let_through_can_be_used(changes: dict[str, Any]) -> None:
    outcome, fault = read({**SOUND, **changes})
    if outcome is None:
        assert fault
        return
    assert (outcome["run-id"], outcome["job"]) == (RUN, "job")
    assert outcome["state"] in MACHINE_STATES
    assert outcome["ended-by"] in MACHINE_ENDS
    assert len(json.dumps(outcome).encode()) < 10 * MAX_BYTES
    for key in ("cost-usd", "trainer-seconds"):
        assert outcome[key] is None or 0 <= outcome[key] < float("inf")
