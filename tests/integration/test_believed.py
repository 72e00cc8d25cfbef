"""What is believed of how a run ended: its own machine, within bounds, and nobody else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from parris.reap.outcome import LAST_WORDS
from parris.runs.lifecycle import Machine
from tests.plans import NOW
from tests.reap_world import (
    LONG_AGO,
    ROLE_ID,
    World,
    machine_event,
    outcome_key,
    run_id,
    show,
    stack_event,
)


def test_an_outcome_that_only_reached_the_console_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance_id = world.run("cut-off")
    outcome = {"run-id": run_id("cut-off"), "job": "job", "state": "failed", "reason": "exit 3"}
    text = json.dumps({**outcome, "ended-by": "trainer", "warnings": []})
    said = f"[   12.5] {LAST_WORDS}{text}\nend"
    monkeypatch.setattr(
        world.ec2, "get_console_output", lambda **_: {"Output": said}
    )  # moto's console is a fixed text
    world.ec2.terminate_instances(InstanceIds=[instance_id])
    world.reap()
    outcome = world.outcome("cut-off")
    assert (outcome["state"], outcome["reason"]) == ("failed", "exit 3")
    assert "read from its console" in outcome["warnings"][0]


@pytest.mark.parametrize(
    ("itself", "nodes", "ended_by"),
    [(False, 1, "reap"), (True, 1, "shutdown"), (True, 2, "reap")],
    ids=["told", "its own timer", "another node was told"],
)
def test_a_machine_that_was_told_to_stop_does_not_know_by_whom(
    world: World, monkeypatch: pytest.MonkeyPatch, itself: bool, nodes: int, ended_by: str
) -> None:
    instance_id = world.run("late", deadline=LONG_AGO, nodes=nodes)
    stack_id = world.stack_id("late")
    said: dict[str, Any] = {"state": "timed-out", "ended-by": "shutdown", "exit-status": -15}
    world.end("late", instance_id, **said)
    world.ec2.terminate_instances(InstanceIds=[instance_id])  # moto: by its user
    if itself:  # its own timer, which moto's machines do not have
        code = "Client.InstanceInitiatedShutdown"
        found = Machine(instance_id=instance_id, state="terminated", reason=code, launched=NOW)
        monkeypatch.setattr(
            "parris.reap.reconcile.list_machines", lambda *_: {run_id("late"): found}
        )
    world.cloudformation.delete_stack(StackName=stack_id)
    world.reap(stack_event(stack_id, "parris-reap-20261124T120000000000"))
    outcome = world.outcome("late")
    assert (outcome["ended-by"], outcome["exit-status"]) == (ended_by, -15)


@pytest.mark.parametrize("nodes", [1, 2])
def test_whoever_deletes_a_kept_stack_did_not_end_its_run(
    world: World, monkeypatch: pytest.MonkeyPatch, nodes: int
) -> None:
    kept: dict[str, Any] = {"keep-stack": "on-failure", "nodes": nodes}
    instance_id = world.run("kept", **kept)
    stack_id = world.stack_id("kept")
    said: dict[str, Any] = {"state": "interrupted", "ended-by": "shutdown"}
    world.end("kept", instance_id, **said)
    world.ec2.terminate_instances(InstanceIds=[instance_id])
    world.reap()
    assert world.outcome("kept")["ended-by"] == "shutdown"
    monkeypatch.setattr("parris.reap.reconcile.list_machines", lambda *_: {})  # EC2 forgot it
    world.cloudformation.delete_stack(StackName=stack_id)
    world.reap(stack_event(stack_id, "Console-DeleteStack-1"))
    assert world.outcome("kept")["ended-by"] == "shutdown"
    assert [notice["event"] for notice in world.topic.heard()] == ["interrupted"]


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize(
    ("keep", "token"),
    [("never", "parris-reap-20261124T120000000000"), ("always", "Console-DeleteStack-1")],
)
def test_of_a_machine_that_was_told_to_stop_ec2_says_by_whom_although_its_end_is_told(
    world: World, keep: str, token: str, nodes: int
) -> None:
    asked: dict[str, Any] = {"keep-stack": keep, "nodes": nodes}
    instance_id = world.run("taken", **asked)
    stack_id = world.stack_id("taken")
    world.end("taken", instance_id, **{"state": "interrupted", "ended-by": "shutdown"})
    world.ec2.terminate_instances(InstanceIds=[instance_id])
    world.reap(machine_event(instance_id))
    assert world.outcome("taken")["ended-by"] == "shutdown"
    if keep == "always":
        world.cloudformation.delete_stack(StackName=stack_id)
    world.reap(stack_event(stack_id, token))
    assert world.outcome("taken")["reason"] == "somebody terminated its machine"


def test_what_a_trainer_said_itself_is_never_overwritten(world: World) -> None:
    instance_id = world.run("done")
    stack_id = world.stack_id("done")
    world.end("done", instance_id, reason="exit 0")
    world.cloudformation.delete_stack(StackName=stack_id)
    world.reap(stack_event(stack_id, "parris-reap-20261124T120000000000"))
    assert world.outcome("done")["reason"] == "exit 0"


def test_an_outcome_nobody_can_read_does_not_keep_a_machine(world: World) -> None:
    world.run("garbled", deadline=LONG_AGO)
    world.s3.put_object(Bucket="results", Key=outcome_key("garbled"), Body=b"{")
    world.reap()
    assert world.stacks() == set()
    assert world.outcome("garbled")["state"] == "timed-out"


NOT_OUTCOMES: dict[str, dict[str, Any]] = {
    "a word for a time": {"finished": "x"},
    "a number for a time": {"finished": 5},
    "a nest for a time": {"finished": [[{}]]},
    "a naive time": {"finished": "2026-11-24T11:00:00"},
    "another era": {"finished": "9999-12-31T23:59:59+00:00"},
    "no state": {"state": None},
    "a state of no machine": {"state": "launch-failed"},
    "an end of no machine": {"ended-by": "reap"},
    "a nest for a reason": {"reason": {"a": 1}},
    "a boolean for a status": {"exit-status": True},
    "no number": {"cost-usd": float("nan")},
    "a gain": {"cost-usd": -1000.0},
    "less than no time": {"trainer-seconds": -1},
    "another run": {"run-id": "r-0000000000000000"},
    "another job": {"job": "other"},
    "a great deal": {"reason": "x" * 10_000_000},
}


def test_no_outcome_of_a_machine_keeps_a_stack_past_its_deadline(world: World) -> None:
    for number, said in enumerate(NOT_OUTCOMES.values()):
        instance_id = world.run(f"forged-{number}", deadline=LONG_AGO)
        world.end(f"forged-{number}", instance_id, **said)
    world.reap()
    assert world.stacks() == set()
    for number in range(len(NOT_OUTCOMES)):
        assert world.outcome(f"forged-{number}")["ended-by"] == "reap"


def test_what_is_no_outcome_ends_no_run_before_its_deadline(world: World) -> None:
    for number, said in enumerate(NOT_OUTCOMES.values()):
        instance_id = world.run(f"forged-{number}")
        world.end(f"forged-{number}", instance_id, **said)
    world.reap()
    assert len(world.stacks()) == len(NOT_OUTCOMES)


def test_a_machine_ends_its_own_run_only(world: World) -> None:
    world.run("victim")
    foreign = world.run("forger")
    world.end("victim", foreign)  # in a folder of its own: S3 lets it write nowhere else
    world.reap()
    assert world.stacks() == {"victim", "forger"}
    with pytest.raises(world.s3.exceptions.NoSuchKey):
        world.outcome("victim")


def test_ec2_says_which_machine_it_was_and_not_the_machine(world: World) -> None:
    instance_id = world.run("over")
    world.end("over", instance_id, **{"instance-id": "i-somebodyelse"})
    world.reap()
    assert world.outcome("over")["instance-id"] == instance_id


def test_a_machines_word_is_heard_when_ec2_has_forgotten_the_machine(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance_id = world.run("long-ago")
    world.end("long-ago", instance_id)
    (stack,) = world.cloudformation.describe_stacks(StackName="long-ago")["Stacks"]
    output = {"OutputKey": "InstanceId", "OutputValue": instance_id}
    show(monkeypatch, {**stack, "Outputs": [output]})
    monkeypatch.setattr("parris.reap.sweep.list_machines", lambda *_: {})
    world.reap(now=datetime.now(UTC) + timedelta(hours=2))
    outcome = world.outcome("long-ago")
    assert (outcome["state"], outcome["machine"]) == ("succeeded", f"{ROLE_ID}:{instance_id}")


def test_the_last_word_of_a_machine_that_went_off_by_itself_replaces_the_functions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance_id = world.run("late", deadline=LONG_AGO)
    world.reap()
    assert world.outcome("late")["exit-status"] is None
    world.end("late", instance_id, **{"state": "succeeded", "exit-status": 0})
    code = "Client.InstanceInitiatedShutdown"
    found = Machine(instance_id=instance_id, state="terminated", reason=code, launched=NOW)
    monkeypatch.setattr("parris.reap.reconcile.list_machines", lambda *_: {run_id("late"): found})
    stacks = world.cloudformation.list_stacks()["StackSummaries"]
    world.reap(stack_event(stacks[0]["StackId"], "parris-reap-20261124T120000000000"))
    assert (world.outcome("late")["state"], world.outcome("late")["exit-status"]) == (
        "succeeded",
        0,
    )
