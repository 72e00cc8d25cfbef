"""How a run ended that could not say so, and what becomes of its stack."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from parris.aws.results import Results
from parris.errors import ParrisError
from parris.runs.lifecycle import Machine
from tests.plans import NOW
from tests.reap_world import (
    IMAGE,
    LATER,
    LONG_AGO,
    TEMPLATE,
    World,
    machine_event,
    outcome_key,
    run_id,
    show,
    stack_event,
)


def test_a_machine_that_vanished_leaves_an_outcome_with_its_last_words(world: World) -> None:
    instance_id = world.run("lost")
    world.write("lost", instance_id, b"epoch 0\nepoch 1\nepoch 2\n", "log.txt")
    world.ec2.terminate_instances(InstanceIds=[instance_id])
    world.reap(machine_event(instance_id))
    outcome = world.outcome("lost")
    assert (outcome["state"], outcome["ended-by"]) == ("stopped", "somebody")
    assert outcome["last-log-line"] == "epoch 2"
    assert outcome["instance-id"] == instance_id
    assert outcome["cost-usd"] > 0
    assert world.stacks() == set()


def test_a_run_whose_gpus_idled_was_stopped_with_the_evidence(world: World) -> None:
    asked: dict[str, Any] = {"idle-gpu-minutes": 30}
    instance_id = world.run("idle", **asked)
    why = "idle: its GPU was busy 0.4 % of the time, in 180 looks (idle-gpu-minutes is 30)"
    said = {"state": "stopped", "ended-by": "idle", "reason": why}
    world.end("idle", instance_id, **said, **{"cost-usd": 0.25})
    world.ec2.terminate_instances(InstanceIds=[instance_id])
    world.reap(machine_event(instance_id))
    outcome = world.outcome("idle")
    assert {key: outcome[key] for key in said} == said
    (told,) = world.topic.heard()
    assert (told["event"], told["reason"]) == ("stopped", why)
    assert world.stacks() == set()


def test_a_machine_of_somebody_else_is_ignored(world: World) -> None:
    world.run("live")
    made = world.ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]
    world.ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    assert world.reap(machine_event(made["InstanceId"])) == {"ignored": made["InstanceId"]}
    assert world.reap(machine_event("i-00000000000000000"))["ignored"]
    assert world.stacks() == {"live"}


def test_a_stack_of_somebody_else_is_ignored(world: World) -> None:
    stack_id = world.stack("foreign", LONG_AGO, deployment="theirs")
    assert world.reap(stack_event(stack_id)) == {"ignored": stack_id}
    assert world.stacks() == {"foreign"}


def test_a_replaced_machine_ends_its_run_and_not_the_stack(world: World) -> None:
    old = world.run("old")
    new = world.run("new")
    world.ec2.create_tags(
        Resources=[old], Tags=[{"Key": "parris:stack", "Value": world.stack_id("new")}]
    )
    world.ec2.terminate_instances(InstanceIds=[old])
    world.reap(machine_event(old))
    assert world.outcome("old")["reason"] == f"run {run_id('new')} replaced it"
    assert world.stacks() == {"old", "new"}
    assert new


@pytest.mark.parametrize(
    ("state", "ended_by", "told"),
    [
        ("interrupted", "shutdown", ("interrupted", "replacement")),
        ("succeeded", "trainer", ("succeeded", "trainer")),
        ("timed-out", "agent", ("timed-out", "agent")),
    ],
)
def test_a_replaced_machine_that_stored_its_results_was_replaced_unless_it_had_ended(
    world: World, state: str, ended_by: str, told: tuple[str, str]
) -> None:
    old = world.run("old")
    world.run("new")
    world.ec2.create_tags(
        Resources=[old], Tags=[{"Key": "parris:stack", "Value": world.stack_id("new")}]
    )
    world.ec2.terminate_instances(InstanceIds=[old])
    said = {"state": state, "ended-by": ended_by, "reason": "its own", "bytes-stored": 7}
    world.end("old", old, **said)
    world.reap(machine_event(old))
    outcome = world.outcome("old")
    assert (outcome["state"], outcome["ended-by"]) == told
    replaced = f"run {run_id('new')} replaced it"
    assert outcome["reason"] == (replaced if ended_by == "shutdown" else "its own")
    assert outcome["bytes-stored"] == 7  # what the machine alone knows stays
    assert [notice["event"] for notice in world.topic.heard()] == [told[0]]


def test_a_sweep_that_listed_the_stack_before_it_was_replaced_does_not_say_who_ended_the_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = world.run("old")
    world.end("old", old, state="interrupted", **{"ended-by": "shutdown", "reason": "its own"})
    (listed,) = world.cloudformation.describe_stacks(StackName="old")["Stacks"]
    others = [tag for tag in listed["Tags"] if tag["Key"] != "parris:run-id"]
    world.cloudformation.update_stack(
        StackName="old",
        TemplateBody=TEMPLATE.replace("Topic", "Other"),
        Parameters=[{"ParameterKey": "Deadline", "ParameterValue": LATER}],
        Tags=[*others, {"Key": "parris:run-id", "Value": run_id("new")}],
    )

    def refused(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "Throttling"}}, "DescribeStacks")

    with monkeypatch.context() as patch:
        patch.setattr("parris.reap.reconcile.list_stacks", lambda *_: [listed])
        world.reap()
        assert world.stacks() == {"old"}
        updating = {**listed, "StackStatus": "UPDATE_IN_PROGRESS"}  # its tags are the old run's yet
        patch.setattr("parris.reap.review.read_stack", lambda *_: updating)
        world.reap()
        assert world.stacks() == {"old"}
        assert world.topic.heard() == []
        patch.setattr("parris.reap.review.read_stack", refused)
        patch.setattr("parris.reap.review.delete_stack", lambda *_, **__: None)
        with pytest.raises(ParrisError, match="Throttling"):
            world.reap()
    assert world.topic.heard() == []
    world.ec2.terminate_instances(InstanceIds=[old])
    world.reap(machine_event(old))
    assert world.outcome("old")["ended-by"] == "replacement"
    assert [notice["reason"] for notice in world.topic.heard()] == [
        f"run {run_id('new')} replaced it"
    ]


@pytest.mark.parametrize("since", ["replaced", "deleted"])
def test_a_sweep_that_finds_the_machine_of_a_stack_gone_asks_what_became_of_the_stack(
    world: World, since: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = world.run("old")
    (listed,) = world.cloudformation.describe_stacks(StackName="old")["Stacks"]
    others = [tag for tag in listed["Tags"] if tag["Key"] != "parris:run-id"]
    now = {
        "replaced": {**listed, "Tags": [*others, {"Key": "parris:run-id", "Value": run_id("new")}]},
        "deleted": {**listed, "StackStatus": "DELETE_IN_PROGRESS"},
    }
    world.ec2.terminate_instances(InstanceIds=[machine])  # which is what CloudFormation does
    with monkeypatch.context() as patch:
        patch.setattr("parris.reap.reconcile.list_stacks", lambda *_: [listed])
        patch.setattr("parris.reap.review.read_stack", lambda *_: now[since])
        world.reap()
    assert world.topic.heard() == []  # not "somebody terminated its machine"
    assert world.stacks() == {"old"}
    world.reap()
    assert world.outcome("old")["ended-by"] == "somebody"


def test_what_a_replaced_machine_stores_as_its_run_is_concluded_does_not_say_who_ended_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = world.run("old")
    world.run("new")
    tag: Any = {"Key": "parris:stack", "Value": world.stack_id("new")}
    world.ec2.create_tags(Resources=[old], Tags=[tag])
    world.ec2.terminate_instances(InstanceIds=[old])
    read = Results.read_machine_outcome

    def read_before_it_comes(self: Results, prefix: str, folder: str) -> Any:
        found = read(self, prefix, folder)
        world.end("old", old, state="interrupted", **{"ended-by": "shutdown", "reason": "its own"})
        return found

    world.write("old", old, b"epoch 0\n", "log.txt")
    monkeypatch.setattr(Results, "read_machine_outcome", read_before_it_comes)
    world.reap(machine_event(old))
    assert world.outcome("old")["ended-by"] == "replacement"
    world.reap(machine_event(old))
    assert world.outcome("old")["ended-by"] == "replacement"
    assert [notice["reason"] for notice in world.topic.heard()] == [
        f"run {run_id('new')} replaced it"
    ]


def test_a_machine_that_goes_as_a_replacement_is_undone_was_not_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run("old")
    new = world.run("new")
    (stack,) = world.cloudformation.describe_stacks(StackName="old")["Stacks"]
    undone = {**stack, "StackStatus": "UPDATE_ROLLBACK_IN_PROGRESS"}  # moto never fails one
    monkeypatch.setattr("parris.reap.reconcile.read_stack", lambda *_: undone)
    world.ec2.terminate_instances(InstanceIds=[new])
    assert world.reap(machine_event(new)) == {"ignored": new}
    listed = world.s3.list_objects_v2(Bucket="results")["Contents"]
    assert [item["Key"] for item in listed if item["Key"].endswith("outcome.json")] == []


@pytest.mark.parametrize(
    ("token", "written"), [(run_id("new"), {"new"}), ("", set()), ("9f0c-not-a-run", set())]
)
def test_a_replacement_that_failed_is_the_new_runs_end_and_not_the_old_ones(
    world: World, monkeypatch: pytest.MonkeyPatch, token: str, written: set[str]
) -> None:
    world.run("old")
    key = f"runs/job/{run_id('new')}/run.json"
    receipt = {"run-id": run_id("new"), "job": "job", "claimed": "2026-11-24T11:59:00Z"}
    world.s3.put_object(Bucket="results", Key=key, Body=json.dumps(receipt).encode())
    (stack,) = world.cloudformation.describe_stacks(StackName="old")["Stacks"]
    rolled_back = {**stack, "StackStatus": "UPDATE_ROLLBACK_COMPLETE"}  # moto never fails one
    monkeypatch.setattr("parris.reap.reconcile.read_stack", lambda *_: rolled_back)
    world.reap(stack_event(stack["StackId"], token, "UPDATE_ROLLBACK_COMPLETE"))
    listed = world.s3.list_objects_v2(Bucket="results")["Contents"]
    outcomes = {item["Key"] for item in listed if item["Key"].endswith("outcome.json")}
    assert outcomes == {outcome_key(name) for name in written}
    assert world.stacks() == {"old"}
    if written:
        assert world.outcome("new")["state"] == "launch-failed"


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "ROLLBACK_COMPLETE"])
def test_an_event_that_comes_late_does_not_say_who_deleted_the_stack(
    world: World, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run("late", deadline=LONG_AGO)
    stack_id = world.stack_id("late")
    world.cloudformation.delete_stack(StackName=stack_id)
    deletion = {  # moto's has no token
        "PhysicalResourceId": stack_id,
        "ResourceStatus": "DELETE_IN_PROGRESS",
        "ClientRequestToken": "parris-clean-stacks-1",
        "Timestamp": NOW,
    }
    paginator: Any = world.cloudformation.get_paginator
    events = {"describe_stack_events": Pages([deletion])}
    monkeypatch.setattr(
        world.cloudformation, "get_paginator", lambda name: events.get(name) or paginator(name)
    )
    world.reap(stack_event(stack_id, run_id("late"), status))
    assert world.outcome("late")["ended-by"] == "clean-stacks"


def test_an_event_that_comes_late_does_not_end_the_run_whose_replacement_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run("old", claimed="2026-11-24T11:59:00Z")
    (stack,) = world.cloudformation.describe_stacks(StackName="old")["Stacks"]
    rolled_back = {**stack, "StackStatus": "UPDATE_ROLLBACK_COMPLETE"}  # moto never fails one
    monkeypatch.setattr("parris.reap.reconcile.read_stack", lambda *_: rolled_back)
    world.reap(stack_event(stack["StackId"], run_id("old"), "CREATE_COMPLETE"))
    assert world.topic.heard() == []


_NO_KEY = "Client.InternalError"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Resource creation cancelled", _NO_KEY),  # CloudFormation says nothing of it, EC2 does
        (
            "Instance i-0 failed to stabilize. Current state: shutting-down. Reason: "
            f"{_NO_KEY}: Client error on launch",
            None,  # EC2 has forgotten the machine
        ),
    ],
)
@pytest.mark.parametrize("replacement", [False, True])
def test_a_machine_that_cannot_use_the_key_of_its_volume_dies_with_the_cure(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    code: str | None,
    replacement: bool,
) -> None:
    world.run("keyless")
    (stack,) = world.cloudformation.describe_stacks(StackName="keyless")["Stacks"]
    status = "UPDATE_ROLLBACK_COMPLETE" if replacement else "ROLLBACK_COMPLETE"
    failed = {**stack, "StackStatus": status}  # moto never fails one
    died = "CREATE_FAILED"
    events = [_failure("i-0", "Instance", said) | {"ResourceStatus": died}]
    monkeypatch.setattr("parris.reap.reconcile.read_stack", lambda *_: failed)
    monkeypatch.setattr(world.cloudformation, "get_paginator", lambda _: Pages(events))
    name = "replacing" if replacement else "keyless"
    key = f"runs/job/{run_id(name)}/run.json"
    receipt = {"run-id": run_id(name), "job": "job", "claimed": "2026-11-24T11:59:00Z"}
    world.s3.put_object(Bucket="results", Key=key, Body=json.dumps(receipt).encode())
    machines = {}
    if code is not None:
        machines[run_id(name)] = Machine(
            instance_id="i-0", state="terminated", reason=code, launched=NOW
        )
    monkeypatch.setattr("parris.reap.reconcile.list_machines", lambda *_: machines)
    world.reap(stack_event(stack["StackId"], run_id(name) if replacement else "", status))
    outcome = world.outcome(name)
    assert (outcome["state"], outcome["ended-by"]) == ("launch-failed", "cloudformation")
    assert outcome["reason"].startswith(f"Instance: {said}")
    assert "ebs_kms_key_arns" in outcome["reason"]


def test_a_deletion_by_the_schedule_is_told_from_one_by_hand(world: World) -> None:
    for name, token in (("late", "parris-schedule-late"), ("by-hand", "Console-DeleteStack-1")):
        world.run(name, deadline=LONG_AGO)
        stack_id = world.stack_id(name)
        world.cloudformation.delete_stack(StackName=stack_id)
        world.reap(stack_event(stack_id, token))
    assert world.outcome("late")["ended-by"] == "schedule"
    assert world.outcome("late")["state"] == "timed-out"
    assert world.outcome("by-hand")["ended-by"] == "somebody"
    assert world.outcome("by-hand")["state"] == "stopped"


def test_a_run_may_keep_its_stack_but_gets_its_outcome(world: World) -> None:
    instance_id = world.run("kept", **{"keep-stack": "on-failure"})
    world.ec2.terminate_instances(InstanceIds=[instance_id])
    world.reap()
    assert world.stacks() == {"kept"}
    assert world.outcome("kept")["state"] == "stopped"
    world.reap(now=NOW + timedelta(days=8))
    assert world.stacks() == set()


def test_a_deletion_that_failed_is_tried_again_and_told_of_once_with_its_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run("stuck")
    (stack,) = world.cloudformation.describe_stacks(StackName="stuck")["Stacks"]
    failed = {**stack, "StackStatus": "DELETE_FAILED"}  # moto never fails one
    show(monkeypatch, failed)
    said = [
        _failure(stack["StackId"], "stuck", "The following resource(s) failed to delete: [It]."),
        _failure("i-1", "It", "not authorized to perform: ec2:TerminateInstances"),
        _failure("i-1", "It", "what it was the last time"),
    ]
    monkeypatch.setattr(world.cloudformation, "get_paginator", lambda _: Pages(said))
    assert world.reap()["deleting"] == ["stuck"]
    (told,) = world.topic.heard("delete-failed", "job")
    assert told["reason"] == "It: not authorized to perform: ec2:TerminateInstances"
    assert (told["run-id"], told["stack-name"]) == (run_id("stuck"), "stuck")
    world.reap(now=NOW + timedelta(minutes=5))
    assert len(world.topic.heard("delete-failed")) == 1
    assert world.stacks() == set()


def _failure(physical_id: str, logical_id: str, reason: str) -> dict[str, str]:
    """Return an event of a resource that could not be deleted."""
    return {
        "PhysicalResourceId": physical_id,
        "LogicalResourceId": logical_id,
        "ResourceStatus": "DELETE_FAILED",
        "ResourceStatusReason": reason,
    }


class Pages:
    """A paginator of DescribeStackEvents: newest first."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events = events

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"StackEvents": self.events}]
