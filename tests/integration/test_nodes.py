"""What both functions make of a run of several machines, on moto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from moto import mock_aws
from moto.cloudformation.models import cloudformation_backends

from parris.contract import EndedBy, State
from tests.plans import NOW
from tests.reap_world import machine_event, stack_event
from tests.runs_world import Runs
from tests.world import start_machine


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    # moto makes no stack of the real template, so this world's is another, without the slot.
    unchanged = lambda template, user_data, *_: (template, user_data)  # noqa: E731
    monkeypatch.setattr("parris.launch.prepare.with_nodes", unchanged)
    with mock_aws():
        yield Runs()


def node(runs: Runs, run_id: str, rank: int, minutes: float = 0) -> str:
    """Start a machine of the run's stack; return its id."""
    stack_id = runs.stack()["StackId"]
    tags = {
        "parris:deployment": "parris",
        "parris:job": "default",
        "parris:run-id": run_id,
        "parris:stack": stack_id,
        "parris:node": str(rank),
    }
    return start_machine(runs.ec2, stack_id, tags, NOW + timedelta(minutes=minutes))


def say(runs: Runs, run_id: str, head: str, state: str, ended_by: str) -> None:
    said: Any = {"run-id": run_id, "job": "default", "state": state, "reason": "node 1 is gone"}
    said |= {"ended-by": ended_by, "exit-status": None}
    runs.store(run_id, head, "outcome.json", json.dumps(said))


def gone(patch: pytest.MonkeyPatch) -> None:
    """Let moto, which keeps no token of a deletion, say that the reap function asked for it."""
    patch.setattr("parris.reap.between.last_deletion", lambda *_: (EndedBy.REAP, NOW))


def test_dollars_in_the_receipt_are_of_all_nodes(runs: Runs) -> None:
    receipt = runs.receipt(runs.begin(nodes=3))
    assert receipt["nodes"] == 3
    price = receipt["price"]
    assert (price["volume-hourly-usd"], price["public-ipv4-hourly-usd"]) == ("0.009000", "0.015000")
    parts = (
        price["instance-hourly-usd"],
        price["volume-hourly-usd"],
        price["public-ipv4-hourly-usd"],
    )
    assert float(price["hourly-usd"]) == pytest.approx(sum(map(float, parts)))


def test_the_run_of_a_lost_node_goes_on_in_a_new_stack(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone(monkeypatch)
    run_id = runs.begin(nodes=2)
    before, head = runs.stack()["StackId"], node(runs, run_id, 0)
    worker = node(runs, run_id, 1)
    runs.store(run_id, head, "alive.json", "{}")
    runs.take(worker)
    runs.reap(9, machine_event(worker))  # the head has yet to say so
    assert runs.record(run_id).state == State.ACCEPTED
    say(runs, run_id, head, "interrupted", "node")
    runs.take(head, "Client.InstanceInitiatedShutdown")
    runs.reap(10, machine_event(head))
    record = runs.record(run_id)
    assert (record.state, record.attempts[0].ended_by) == (State.RELAUNCHING, "node")
    assert runs.deliver(10) == []  # the old machines go first
    runs.reap(11, stack_event(before, "parris-reap-1"))
    [answer] = runs.deliver(11)
    assert (answer["attempt"], answer["duplicate"]) == (2, False)
    assert runs.stack()["StackId"] != before
    receipt = runs.receipt(run_id)
    assert (receipt["attempt"], receipt["nodes"]) == (2, 2)
    assert receipt["earlier-attempt"].endswith(f":{head}/")


def test_a_sweep_ends_an_attempt_whose_head_says_nothing_of_a_lost_node(runs: Runs) -> None:
    run_id = runs.begin(nodes=2)
    node(runs, run_id, 0)
    worker = node(runs, run_id, 1)
    runs.take(worker)
    runs.reap(8)
    assert runs.record(run_id).state == State.ACCEPTED
    runs.reap(12)
    record = runs.record(run_id)
    assert (record.state, record.attempts[0].ended_by) == (State.RELAUNCHING, "node")
    assert f"node 1 of it ({worker}) is terminated" in record.attempts[0].reason


def test_a_head_that_is_taken_since_a_worker_is_refused_ends_nothing(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin(nodes=3)
    head = node(runs, run_id, 0)
    say(runs, run_id, head, "interrupted", "shutdown")
    runs.take(head, "Client.UserInitiatedShutdown")
    backend = cloudformation_backends["123456789012"]["us-east-1"]
    backend.get_stack("one").status = "ROLLBACK_IN_PROGRESS"
    runs.reap(2, machine_event(head))
    assert runs.record(run_id).state == State.ACCEPTED
    backend.get_stack("one").status = "ROLLBACK_COMPLETE"
    refusal = "Worker2: There is no Spot capacity available that matches your request."
    monkeypatch.setattr("parris.reap.relaunch.first_failure", lambda *_: refusal)
    runs.reap(3, stack_event(runs.stack()["StackId"]))
    [over] = runs.record(run_id).attempts
    assert (over.refusal, over.instance_id) == ("capacity", head)
    assert (over.usd or 0) > 0
