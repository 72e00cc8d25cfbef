"""What is to be done about a trial, and about a grid."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parris.contract import State
from parris.jobs.grid import read_grid
from parris.runs.grid import MONEY, ROOM, GridRecord, read_grid_record
from parris.runs.record import LEASE, RunRecord, read_record
from parris.runs.trials import (
    LASTS,
    MAX_TRIES,
    MOST_FAILED,
    Fate,
    fate_of,
    order_of,
    trials_to_begin,
    why_to_stop,
)
from tests.plans import NOW

SENT = (NOW - LEASE - timedelta(seconds=1)).isoformat()


def grid(*entries: Any, **more: Any) -> GridRecord:
    spec = {"parameters": {"seed": "1..9"}, "max-parallel": 4, "cost-limit": 1}
    item = {
        **{"pk": "grid#job", "sk": "20261124-110000-97811d3c", "open": "grid", "nonce": "n"},
        **{"grid": json.dumps(read_grid(spec, "test").stored), "parameters": "{}"},
        **{"trigger": "direct", "began": NOW.isoformat(), "next": len(entries) + 1},
        "running": {
            str(number): {"sent": SENT, "by": "x", **entry}
            for number, entry in enumerate(entries, 1)
        },
        **{"committed": 0, "spent": 0, **more},
    }
    return read_grid_record(item)


def run(state: str, **more: Any) -> RunRecord:
    item = {"pk": "run#job", "sk": "r", "state": state, "lease": NOW.isoformat(), **more}
    return read_record(item)


OVER = {"outcome": '{"state": "failed"}'}
STACK = {"stack_id": "arn"}


@pytest.mark.parametrize(
    ("entry", "known", "more", "fate"),
    [
        ({}, None, {}, Fate.SEND),
        ({"sent": NOW.isoformat()}, None, {}, Fate.WAIT),
        ({"tries": MAX_TRIES}, None, {}, Fate.SETTLE),
        ({}, run("queued"), {}, Fate.SEND),
        ({"sent": NOW.isoformat()}, run("queued"), {}, Fate.WAIT),
        ({"tries": MAX_TRIES}, run("queued"), {}, Fate.SETTLE),
        ({"tries": MAX_TRIES, "waits": ROOM}, run("queued"), {}, Fate.SEND),
        ({"tries": 1, "failed": MOST_FAILED - 1}, run("queued"), {}, Fate.SEND),
        ({"tries": 1, "failed": MOST_FAILED}, run("queued"), {}, Fate.SETTLE),
        ({"sent": NOW.isoformat(), "waits": ROOM}, run("queued"), {}, Fate.SEND),
        ({"waits": MONEY, "needs": 900_000}, run("queued"), {"committed": 200_000}, Fate.WAIT),
        ({"waits": MONEY, "needs": 900_000}, run("queued"), {"committed": 100_000}, Fate.SEND),
        ({}, run("launching"), {}, Fate.GOES_ON),
        ({"kept": "1 5"}, run("accepted", **STACK), {}, Fate.GOES_ON),
        ({"kept": "1 5"}, run("relaunching", **STACK), {}, Fate.GOES_ON),
        ({"kept": "1 5"}, run("failed", **STACK, **OVER), {}, Fate.SETTLE),
        ({}, run("launch-failed"), {}, Fate.SETTLE),
        ({}, None, {"stop": "why"}, Fate.DROP),
        ({}, run("queued"), {"stop": "why"}, Fate.DROP),
        ({}, run("launch-failed"), {"stop": "why"}, Fate.DROP),
        ({"kept": "1 5"}, run("queued"), {"stop": "why"}, Fate.WAIT),
        ({"kept": "1 5"}, run("accepted", **STACK), {"stop": "why"}, Fate.GOES_ON),
        ({"kept": "1 5"}, run("accepted", **STACK), {"stop": "why", "by_hand": 1}, Fate.STOP),
        ({"kept": "1 5"}, run("failed", **STACK, **OVER), {"stop": "w", "by_hand": 1}, Fate.SETTLE),
    ],
)
def test_what_is_done_about_a_trial_follows_from_its_run(
    entry: Any, known: RunRecord | None, more: Any, fate: Fate
) -> None:
    record = grid(entry, **more)
    assert fate_of(record, record.running[1], known, NOW) is fate


@pytest.mark.parametrize(
    ("entries", "more", "numbers"),
    [
        ([], {}, range(1, 5)),
        ([{}, {}], {}, range(3, 5)),
        ([{}, {}, {}, {}], {}, range(5, 5)),
        ([], {"next": 8}, range(8, 10)),
        ([], {"next": 10}, range(10, 10)),
        ([{"waits": ROOM}], {}, range(0)),
        ([], {"stop": "why"}, range(0)),
        ([], {"began": (NOW - LASTS - timedelta(seconds=1)).isoformat()}, range(0)),
    ],
)
def test_trials_begin_in_order_while_there_are_places(
    entries: Any, more: Any, numbers: range
) -> None:
    assert list(trials_to_begin(grid(*entries, **more), NOW)) == list(numbers)


def test_a_grid_stops_when_nothing_under_way_could_give_dollars_back() -> None:
    waits = {"waits": MONEY, "needs": 300_000}
    sums = {"committed": 800_000, "spent": 800_000}
    assert why_to_stop(grid(waits, **sums), NOW) == (
        "the next trial may cost $0.3000, and $0.2000 are left of the grid's cost-limit: $0.8000 "
        "of $1.00 are spent"
    )
    assert why_to_stop(grid(waits, {"kept": "1 5"}, **sums), NOW) == ""
    assert why_to_stop(grid(waits), NOW) == ""


def test_a_grid_that_lasts_too_long_begins_no_more_trials() -> None:
    late = NOW + LASTS + timedelta(seconds=1)
    assert why_to_stop(grid(), late) == "a grid begins trials for 28 days at most"
    assert why_to_stop(grid(next=10), late) == ""


@pytest.mark.parametrize(
    ("ended", "why"),
    [
        ({"ended_failed": 10}, "the first 10 trials to end all failed"),
        (
            {"ended_failed": 9, "ended_launch-failed": 2},
            "the first 11 trials to end all failed",
        ),
        ({"ended_failed": 9}, ""),
        ({"ended_failed": 20, "ended_succeeded": 1}, ""),
        ({"ended_failed": 20, "ended_timed-out": 1}, ""),
        ({"ended_failed": 20, "next": 31}, ""),
    ],
)
def test_a_grid_gives_up_when_every_one_of_the_first_trials_failed(ended: Any, why: str) -> None:
    spec = json.dumps(read_grid({"parameters": {"seed": "1..30"}}, "test").stored)
    assert why_to_stop(grid(**{"grid": spec, "next": 12, **ended}), NOW) == why


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, unique=True))
def test_the_order_of_values_is_that_of_whole_numbers(values: list[float]) -> None:
    for one, other in itertools.pairwise(sorted({value + 0.0 for value in values})):
        assert order_of(one, "max") < order_of(other, "max")
        assert order_of(one, "min") > order_of(other, "min")


def test_no_state_of_a_run_is_without_a_fate() -> None:
    record = grid({})
    for state in State:
        assert fate_of(record, record.running[1], run(state), NOW)
