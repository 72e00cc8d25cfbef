"""What is heard late, or twice, of a machine or a stack that a run had before ends nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from moto.cloudformation.models import cloudformation_backends

from parris.aws.instances import list_machines
from parris.aws.stacks import stack_tags
from parris.contract import State
from tests.faults.injector import Call, Death, Injector
from tests.reap_world import machine_event, stack_event
from tests.runs_world import Runs, refuse

BY_REAP = "parris-reap-20261124T120100000000"


@pytest.fixture
def runs() -> Iterator[Runs]:
    with mock_aws():
        yield Runs()


def say(runs: Runs, run_id: str, machine: str) -> None:
    """Store what a machine says that EC2 takes away."""
    said = {"run-id": run_id, "job": "default", "state": "interrupted", "reason": "EC2's notice"}
    said |= {"ended-by": "spot", "finished": "2026-11-24T12:09:50Z"}
    runs.store(run_id, machine, "outcome.json", json.dumps(said))


def moto_stack() -> Any:
    return cloudformation_backends["123456789012"]["us-east-1"].get_stack("one")


def holds(patch: pytest.MonkeyPatch, machine: str) -> None:
    """Let the stack's output name a machine, which moto's cannot."""
    named = {"parris:instance-id": machine}
    patch.setattr("parris.reap.review.run_tags", lambda stack: {**stack_tags(stack), **named})


def relaunched(runs: Runs, *, noticed: bool = True) -> tuple[str, str]:
    """Return a run whose next machine is on its way, and the machine that it had."""
    run_id = runs.begin()
    first = runs.machine(run_id)
    if noticed:
        say(runs, run_id, first)
    runs.take(first)
    runs.reap(10, machine_event(first))
    runs.deliver(10.1)
    return run_id, first


def goes_on(runs: Runs, run_id: str, machine: str) -> None:
    record = runs.record(run_id)
    assert (record.state, record.outcome, len(record.attempts)) == (State.ACCEPTED, None, 1)
    assert len(runs.stacks()) == 1
    assert runs.instance(machine).state == "running"


@pytest.mark.parametrize("noticed", [True, False])
@pytest.mark.parametrize("began", [True, False])
@pytest.mark.parametrize("minutes", [11, 16, 70])
def test_a_late_event_of_the_machine_before_ends_nothing(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, *, noticed: bool, began: bool, minutes: int
) -> None:
    run_id, first = relaunched(runs, noticed=noticed)
    second = runs.machine(run_id, 10.2, began=began)
    holds(monkeypatch, second)
    runs.reap(minutes, machine_event(first))
    goes_on(runs, run_id, second)
    runs.reap(minutes + 1)
    goes_on(runs, run_id, second)


def test_a_sweep_that_listed_the_machine_before_does_not_end_the_next_one(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin()
    first = runs.machine(run_id)
    say(runs, run_id, first)
    runs.take(first)
    listed = [dict(one) for one in runs.stacks()], list_machines(runs.ec2, "parris")
    runs.reap(10, machine_event(first))  # the event's own is quicker
    runs.deliver(10.05)
    second = runs.machine(run_id, 10.06)
    with monkeypatch.context() as patch:
        patch.setattr("parris.reap.reconcile.list_stacks", lambda *_: listed[0])
        patch.setattr("parris.reap.sweep.list_machines", lambda *_: listed[1])
        runs.reap(10.1)
    goes_on(runs, run_id, second)


@pytest.mark.parametrize("noticed", [True, False])
def test_an_update_may_take_longer_than_ec2_takes_to_list_a_machine(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, *, noticed: bool
) -> None:
    run_id, first = relaunched(runs, noticed=noticed)
    holds(monkeypatch, first)  # until the update is done
    moto_stack().status = "UPDATE_IN_PROGRESS"
    runs.reap(18)
    record = runs.record(run_id)
    assert (record.state, len(record.attempts)) == (State.ACCEPTED, 1)
    assert [one["StackStatus"] for one in runs.stacks()] == ["UPDATE_IN_PROGRESS"]


def test_a_machine_that_never_comes_is_followed_by_another_all_the_same(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, _ = relaunched(runs)
    holds(monkeypatch, "i-0123456789abcdef0")  # which EC2 does not list, and which stored nothing
    runs.reap(18)
    record = runs.record(run_id)
    assert (record.state, [one.number for one in record.attempts]) == (State.RELAUNCHING, [1, 2])


def test_a_stack_that_was_deleted_twice_by_its_events_ends_nothing(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin(market="spot-then-on-demand")
    old = runs.stack()["StackId"]
    with monkeypatch.context() as patch:
        refuse(patch, "There is no Spot capacity available that matches your request.")
        runs.reap(1)
        assert runs.stacks() == []
        runs.reap(1.1, stack_event(old, BY_REAP))
    runs.deliver(1.2)
    second = runs.machine(run_id, 1.3)
    assert runs.reap(2, stack_event(old, BY_REAP)) == {"ignored": old}
    goes_on(runs, run_id, second)
    runs.reap(11)
    goes_on(runs, run_id, second)


@pytest.mark.parametrize("by", ["event", "sweep"])
def test_a_stack_that_its_launch_did_not_come_to_note_is_the_runs_all_the_same(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The launch dies after CreateStack; EC2 takes that stack's machine before anybody looks."""
    run_id = runs.begin(market="spot-then-on-demand")
    old = runs.stack()["StackId"]
    with monkeypatch.context() as patch:
        refuse(patch, "There is no Spot capacity available that matches your request.")
        runs.reap(1)
        runs.reap(1.1, stack_event(old, BY_REAP))
    died = Injector(runs.clients, Call("cloudformation.CreateStack", 1), "dies-after")
    with pytest.raises(Death), died.at_work():
        runs.deliver(1.2)
    assert (runs.record(run_id).stack_id, runs.attempt()) == (old, "2")
    second = runs.machine(run_id, 1.3)
    runs.take(second)
    runs.reap(5, machine_event(second) if by == "event" else None)
    record = runs.record(run_id)
    assert [one.instance_id for one in record.attempts] == [None, second]
    assert (record.state, record.next and record.next.number) == (State.RELAUNCHING, 3)


def test_a_late_event_of_a_machine_whose_stack_is_gone_ends_nothing(runs: Runs) -> None:
    run_id = runs.begin()
    first = runs.machine(run_id)
    old = runs.stack()["StackId"]
    say(runs, run_id, first)
    runs.take(first)
    moto_stack().status = "UPDATE_ROLLBACK_FAILED"  # which cannot be updated
    runs.reap(10, machine_event(first))
    assert (runs.record(run_id).state, runs.stacks()) == (State.RELAUNCHING, [])
    assert runs.reap(10.05, machine_event(first)) == {"ignored": first}
    assert runs.record(run_id).state == State.RELAUNCHING
    runs.reap(10.1, stack_event(old, BY_REAP))
    runs.deliver(10.2)
    second = runs.machine(run_id, 10.3)
    assert runs.reap(11, machine_event(first)) == {"ignored": first}
    goes_on(runs, run_id, second)


@pytest.mark.parametrize("status", ["DELETE_IN_PROGRESS", "DELETE_FAILED"])
def test_a_run_that_waits_for_its_next_machine_is_not_ended_with_its_stack(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    run_id = runs.begin()
    first = runs.machine(run_id)
    say(runs, run_id, first)
    runs.take(first)
    moto_stack().status = "UPDATE_ROLLBACK_FAILED"
    deleted: list[str] = []
    monkeypatch.setattr(
        "parris.reap.review.delete_stack", lambda _, name, **__: deleted.append(name)
    )
    runs.reap(10, machine_event(first))
    moto_stack().status = status
    runs.reap(12)
    assert (runs.record(run_id).state, runs.record(run_id).outcome) == (State.RELAUNCHING, None)
    assert len(deleted) == (2 if status == "DELETE_FAILED" else 1)
    runs.reap(60 * 24)  # past its deadline
    assert runs.record(run_id).state == State.TIMED_OUT
