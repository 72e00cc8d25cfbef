"""How a run goes reaches the ledger while it does: by one call, and one more if there is news."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from moto import mock_aws
from moto.s3.models import s3_backends

from tests.plans import NOW
from tests.reap_world import ROLE_ID
from tests.runs_world import SPOT, Runs

METRICS = {"loss": 0.12, "acc": 0.97, "epoch": 14}


@pytest.fixture
def runs(credentials: None) -> Iterator[Runs]:  # noqa: ARG001 - only that they are there
    with mock_aws():
        yield Runs()


def say(
    runs: Runs, run_id: str, machine: str, content: Any, minutes: float = 10, **more: Any
) -> None:
    """Let a machine store its metrics.json, so many minutes after NOW by S3's clock."""
    whole = {"attempt": 1, "metrics": content, "over": False, **more}
    body = content if isinstance(content, bytes) else json.dumps(whole).encode()
    name = f"runs/default/{run_id}/machines/{ROLE_ID}:{machine}/metrics.json"
    runs.s3.put_object(Bucket="parris-results", Key=name, Body=body)
    stored = s3_backends["123456789012"]["aws"].get_object("parris-results", name)
    assert stored is not None
    stored.last_modified = (NOW + timedelta(minutes=minutes)).replace(tzinfo=None)


def metrics(runs: Runs, run_id: str) -> Any:
    record = runs.ledger.read("default", run_id)
    assert record is not None
    return record.metrics


def calls_of(runs: Runs, minutes: float) -> list[str]:
    """Sweep; return the calls that are about one run."""
    calls: list[str] = []

    def count(model: Any, **_: Any) -> None:
        calls.append(model.name)

    for client in runs.clients:
        client.meta.events.register("before-call", count)
    runs.reap(minutes)
    for client in runs.clients:
        client.meta.events.unregister("before-call", count)
    return [call for call in calls if call in ("GetObject", "ListObjectsV2", "UpdateItem")]


def test_a_sweep_notes_how_a_run_goes(runs: Runs) -> None:
    run_id = runs.begin()
    machine = runs.machine(run_id)
    runs.reap(5)
    assert metrics(runs, run_id) == {}
    say(runs, run_id, machine, METRICS)
    runs.reap(10)
    assert metrics(runs, run_id) == METRICS
    assert list(metrics(runs, run_id)) == list(METRICS)
    say(runs, run_id, machine, METRICS | {"epoch": 15}, 20)
    assert calls_of(runs, 20) == ["GetObject", "UpdateItem"]
    assert metrics(runs, run_id)["epoch"] == 15
    assert calls_of(runs, 21) == ["GetObject"]
    assert runs.stack()["StackStatus"] == "CREATE_COMPLETE"


@pytest.mark.parametrize("minutes", [5, 60])
def test_a_word_that_is_old_or_last_is_no_sign_that_a_run_goes_on(
    runs: Runs, minutes: float
) -> None:
    run_id = runs.begin()
    machine = runs.machine(run_id)
    say(runs, run_id, machine, METRICS, 0, over=minutes == 5)
    ended = {"run-id": run_id, "job": "default", "state": "succeeded", "ended-by": "trainer"}
    ended["reason"] = ""
    runs.store(run_id, machine, "outcome.json", json.dumps({**ended, "metrics": {"loss": 0.1}}))
    runs.reap(minutes)
    assert runs.outcome(run_id)["metrics"] == {"loss": 0.1}
    assert metrics(runs, run_id) == {"loss": 0.1}
    assert runs.topic.heard("succeeded")[0]["metrics"] == {"loss": 0.1}


def test_what_a_machine_said_long_ago_is_noted_all_the_same(runs: Runs) -> None:
    run_id = runs.begin()
    say(runs, run_id, runs.machine(run_id), METRICS, 0)
    runs.reap(60)
    assert metrics(runs, run_id) == METRICS


HOSTILE = [
    *(b"", b"null", b"[]", b"{", b"\xff", b"[" * 60_000, b'{"metrics": [1]}', b'{"metrics": 7}'),
    *(b'{"metrics": {"a": {}}}', b" " * 70_000 + b"{}", b'{"metrics": {"": 1}, "over": 0}'),
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: body[:8].hex())
def test_a_word_that_is_none_counts_as_none(runs: Runs, body: bytes) -> None:
    run_id = runs.begin()
    say(runs, run_id, runs.machine(run_id), body)
    runs.reap(10)
    assert metrics(runs, run_id) == {}
    assert runs.stack()["StackStatus"] == "CREATE_COMPLETE"


def test_what_reaches_the_ledger_is_small_and_plain(runs: Runs) -> None:
    run_id = runs.begin()
    wide = {f"\x1b[31m<script>{number:060}": "\u202e\u4e00" * 100 for number in range(40)}
    say(runs, run_id, runs.machine(run_id), wide | {"loss": float("nan"), "big": 10**300})
    runs.reap(10)
    kept = metrics(runs, run_id)
    assert kept["loss"] == "nan"
    assert 2 < len(kept) <= 50
    assert len(json.dumps(kept)) < 10_000
    assert all(name.isprintable() and len(name) <= 64 for name in kept)


def test_another_machine_goes_on_with_its_own_word(runs: Runs) -> None:
    run_id = runs.begin()
    first = runs.machine(run_id)
    say(runs, run_id, first, METRICS)
    runs.reap(10)
    runs.take(first)
    runs.reap(11)
    runs.deliver(11)
    assert metrics(runs, run_id) == METRICS  # until the next one says something
    second = runs.machine(run_id, 12)
    runs.reap(13)
    say(runs, run_id, second, {"epoch": 15}, 20)
    say(runs, run_id, first, {"epoch": 99}, 20)
    runs.reap(20)
    assert metrics(runs, run_id) == {"epoch": 15}


def test_a_run_whose_machine_vanished_has_its_last_metrics(runs: Runs) -> None:
    run_id = runs.begin(retry={"on": []})
    machine = runs.machine(run_id)
    say(runs, run_id, machine, METRICS)
    runs.reap(10)
    runs.take(machine, SPOT)
    runs.reap(11)
    assert runs.outcome(run_id)["metrics"] == METRICS


def test_a_deadline_counts_whatever_the_machine_says(runs: Runs) -> None:
    run_id = runs.begin()
    say(runs, run_id, runs.machine(run_id), METRICS, 700)
    runs.reap(700)
    assert runs.outcome(run_id)["state"] == "timed-out"
