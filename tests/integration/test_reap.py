"""The reap function against S3, EC2, CloudFormation and Logs as moto has them, in process."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from parris.aws.ledger import Ledger
from parris.aws.storage import Storage
from parris.aws.told import Told
from parris.aws.topic import Notifier
from parris.errors import ParrisError
from parris.reap.handler import make_reaper
from parris.reap.launches import Launches
from parris.reap.outcome import LAST_WORDS
from parris.reap.reconcile import STANDS
from parris.runs.lifecycle import Machine
from parris.runs.plan import KEEP_TAG
from parris.settings import ReapSettings
from scripts.deployment.outputs import ROOT
from tests.ledger import make_table
from tests.notices import Topic
from tests.plans import NOW

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client

SETTINGS = ReapSettings(
    deployment="parris",
    results_bucket="results",
    ledger_table="parris-ledger",
    overdue=timedelta(minutes=5),
    topic_arn="arn:aws:sns:us-east-1:123456789012:parris-notifications",
    launch_function_arn="parris-launch",
    iot_log_group="/parris/iot-errors",
)
TEMPLATE = json.dumps(
    {
        "Parameters": {"Deadline": {"Type": "String", "Default": ""}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
)
ROLE_ID = "AROAEXAMPLE"
IMAGE = "ami-12c6146b"  # one that moto knows
LONG_AGO = "2026-11-24T10:00:00Z"
LATER = "2026-11-24T13:00:00Z"


def run_id(name: str) -> str:
    """Return the id of the run that a test calls `name`."""
    return f"r-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def outcome_key(name: str) -> str:
    return f"runs/job/{run_id(name)}/outcome.json"


class Functions:
    """Lambda's Invoke, of which moto runs the function in a container: what was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> None:  # noqa: N803
        assert (FunctionName, InvocationType) == (SETTINGS.launch_function_arn, "Event")
        self.sent.append(json.loads(Payload))


class World:
    """Stacks of one deployment, their machines and their runs."""

    def __init__(self, config: Config | None = None) -> None:
        """Make it; `config` is that of all its clients."""

        def client(service: Any) -> Any:
            return boto3.client(service, region_name="us-east-1", config=config)

        self.s3: S3Client = client("s3")
        self.cloudformation: CloudFormationClient = client("cloudformation")
        self.ec2: EC2Client = client("ec2")
        self.logs, self.dynamodb = client("logs"), client("dynamodb")
        self.storage = Storage(s3=self.s3, config_bucket="", results_bucket="results")
        self.topic = Topic(SETTINGS.topic_arn, config=config)
        self.functions: Any = Functions()
        self.ledger = Ledger(make_table(self.dynamodb))
        self.s3.create_bucket(Bucket="results")
        self.logs.create_log_group(logGroupName="/parris/training")

    @property
    def clients(self) -> list[Any]:
        """What the function calls AWS with."""
        aws = (self.s3, self.cloudformation, self.ec2, self.logs, self.dynamodb)
        return [*aws, self.topic.sns]

    def run(self, name: str, *, deadline: str = LATER, **receipt: Any) -> str:
        """Make a run with its stack and machine; return the machine's id."""
        key = f"runs/job/{run_id(name)}/run.json"
        stack_id = self.stack(name, deadline, keep=str(receipt.get("keep-stack", "never")))
        body = {
            "run-id": run_id(name),
            "job": "job",
            "state": "accepted",
            "stack-name": name,
            "stack-id": stack_id,
            "deadline": deadline,
            "claimed": "2026-11-24T11:00:00Z",
            "log-group": "/parris/training",
            "price": {"hourly-usd": "0.36"},
            **receipt,
        }
        self.s3.put_object(Bucket="results", Key=key, Body=json.dumps(body).encode())
        tags: Any = [
            {"Key": "parris:deployment", "Value": "parris"},
            {"Key": "parris:job", "Value": "job"},
            {"Key": "parris:run-id", "Value": run_id(name)},
            {"Key": "parris:stack", "Value": stack_id},
        ]
        answer = self.ec2.run_instances(
            ImageId=IMAGE,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        return answer["Instances"][0]["InstanceId"]

    def stack(
        self, name: str, deadline: str, deployment: str = "parris", keep: str = "never"
    ) -> str:
        return self.cloudformation.create_stack(
            StackName=name,
            TemplateBody=TEMPLATE,
            Parameters=[{"ParameterKey": "Deadline", "ParameterValue": deadline}],
            Tags=[
                {"Key": "parris:deployment", "Value": deployment},
                {"Key": "parris:job", "Value": "job"},
                {"Key": "parris:run-id", "Value": run_id(name)},
                {"Key": "parris:deadline", "Value": LATER},
                {"Key": KEEP_TAG, "Value": keep},
            ],
        )["StackId"]

    def reap(self, event: dict[str, Any] | None = None, now: datetime = NOW) -> dict[str, Any]:
        return make_reaper(
            settings=SETTINGS,
            storage=self.storage,
            ledger=self.ledger,
            notifier=Notifier(
                sns=lambda: self.topic.sns,
                topic_arn=SETTINGS.topic_arn,
                told=Told(table=self.ledger.table, now=now),
            ),
            launches=Launches(
                functions=lambda: self.functions,
                logs=self.logs,
                function_arn=SETTINGS.launch_function_arn,
                iot_log_group=SETTINGS.iot_log_group,
            ),
            cloudformation=self.cloudformation,
            ec2=self.ec2,
            now=now,
        ).reap(event or {})

    def end(self, name: str, instance_id: str, **outcome: Any) -> None:
        """Store what the run's machine says of its end, in its own folder."""
        said = {
            "run-id": run_id(name),
            "job": "job",
            "state": "succeeded",
            "reason": "",
            "ended-by": "trainer",
            **outcome,
        }
        self.write(name, instance_id, json.dumps(said).encode())

    def write(self, name: str, instance_id: str, body: bytes, file: str = "outcome.json") -> None:
        key = f"runs/job/{run_id(name)}/machines/{ROLE_ID}:{instance_id}/{file}"
        self.s3.put_object(Bucket="results", Key=key, Body=body)

    def outcome(self, name: str) -> dict[str, Any]:
        body = self.s3.get_object(Bucket="results", Key=outcome_key(name))["Body"]
        read: dict[str, Any] = json.loads(body.read())
        return read

    def stacks(self) -> set[str]:
        return {stack["StackName"] for stack in self.cloudformation.describe_stacks()["Stacks"]}

    def stack_id(self, name: str) -> str:
        return self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]


@pytest.fixture
def world(credentials: None) -> Iterator[World]:  # noqa: ARG001
    with mock_aws():
        yield World()


def stack_event(stack_id: str, token: str = "") -> dict[str, Any]:
    detail = {"stack-id": stack_id, "client-request-token": token}
    return {"source": "aws.cloudformation", "detail": detail}


def machine_event(instance_id: str) -> dict[str, Any]:
    return {"source": "aws.ec2", "detail": {"instance-id": instance_id, "state": "terminated"}}


def show(monkeypatch: pytest.MonkeyPatch, *stacks: Any) -> None:
    """Let CloudFormation say that there are these stacks, which moto cannot make."""
    by_id = {stack["StackId"]: stack for stack in stacks}
    monkeypatch.setattr("parris.reap.reconcile.list_stacks", lambda *_: list(stacks))
    monkeypatch.setattr("parris.reap.review.read_stack", lambda _, name: by_id.get(name))


@pytest.mark.parametrize("what", ["extended", "replaced", "replaced when it was over"])
def test_a_stack_that_changed_after_it_was_listed_is_not_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    over = what == "replaced when it was over"
    instance_id = world.run("late", deadline=LATER if over else LONG_AGO)
    if over:
        world.end("late", instance_id)
    listed = world.cloudformation.describe_stacks()["Stacks"]
    monkeypatch.setattr("parris.reap.reconcile.list_stacks", lambda *_: listed)
    tags = {tag["Key"]: tag["Value"] for tag in listed[0]["Tags"]}
    if what != "extended":
        tags["parris:run-id"] = run_id("newer")
    world.cloudformation.update_stack(
        StackName="late",
        TemplateBody=TEMPLATE.replace("Topic", "Other"),
        Parameters=[{"ParameterKey": "Deadline", "ParameterValue": LATER}],
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    assert world.reap()["deleting"] == []
    assert world.stacks() == {"late"}
    if what == "extended":
        with pytest.raises(ClientError, match="NoSuchKey"):
            world.outcome("late")


def test_an_overdue_stack_goes_though_nobody_says_how_it_is_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run("late", deadline=LONG_AGO)

    def refused(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "Throttling", "Message": "no"}}, "DescribeStacks")

    monkeypatch.setattr("parris.reap.review.read_stack", refused)
    assert world.reap()["deleting"] == ["late"]


def test_a_sweep_deletes_what_is_over_and_overdue_and_nothing_else(world: World) -> None:
    for name in ("live", "overdue"):
        world.run(name, deadline=LONG_AGO if name == "overdue" else LATER)
    over = world.run("over")
    world.end("over", over)
    world.stack("foreign", LONG_AGO, deployment="theirs")
    world.cloudformation.create_stack(StackName="untagged", TemplateBody=TEMPLATE)
    answer = world.reap()
    assert sorted(answer["deleting"]) == ["over", "overdue"]
    assert world.stacks() == {"live", "foreign", "untagged"}
    assert world.outcome("overdue")["state"] == "timed-out"
    assert world.outcome("over")["state"] == "succeeded"
    assert world.outcome("over")["machine"] == f"{ROLE_ID}:{over}"


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
    world.reap(stack_event(stack["StackId"], token))
    listed = world.s3.list_objects_v2(Bucket="results")["Contents"]
    outcomes = {item["Key"] for item in listed if item["Key"].endswith("outcome.json")}
    assert outcomes == {outcome_key(name) for name in written}
    assert world.stacks() == {"old"}
    if written:
        assert world.outcome("new")["state"] == "launch-failed"


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
    world.reap(stack_event(stack["StackId"], run_id(name) if replacement else ""))
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


@pytest.mark.parametrize(("itself", "ended_by"), [(False, "reap"), (True, "shutdown")])
def test_a_machine_that_was_told_to_stop_does_not_know_by_whom(
    world: World, monkeypatch: pytest.MonkeyPatch, itself: bool, ended_by: str
) -> None:
    instance_id = world.run("late", deadline=LONG_AGO)
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


def test_what_a_trainer_said_itself_is_never_overwritten(world: World) -> None:
    instance_id = world.run("done")
    stack_id = world.stack_id("done")
    world.end("done", instance_id, reason="exit 0")
    world.cloudformation.delete_stack(StackName=stack_id)
    world.reap(stack_event(stack_id, "parris-reap-20261124T120000000000"))
    assert world.outcome("done")["reason"] == "exit 0"


def test_a_run_may_keep_its_stack_but_gets_its_outcome(world: World) -> None:
    instance_id = world.run("kept", **{"keep-stack": "on-failure"})
    world.ec2.terminate_instances(InstanceIds=[instance_id])
    world.reap()
    assert world.stacks() == {"kept"}
    assert world.outcome("kept")["state"] == "stopped"
    world.reap(now=NOW + timedelta(days=8))
    assert world.stacks() == set()


def test_the_moved_deadline_counts_and_not_the_tag(world: World) -> None:
    world.run("extended", deadline="2026-11-24T18:00:00Z")
    world.reap(now=NOW + timedelta(hours=2))  # past the tag's
    assert world.stacks() == {"extended"}
    world.reap(now=NOW + timedelta(hours=7))
    assert world.stacks() == set()


def test_a_stack_that_fails_does_not_stop_the_sweep(world: World) -> None:
    tags: Any = [{"Key": "parris:deployment", "Value": "parris"}]
    world.cloudformation.create_stack(StackName="broken", TemplateBody=TEMPLATE, Tags=tags)
    world.run("overdue", deadline=LONG_AGO)
    with pytest.raises(ParrisError, match="broken: its tags name no run"):
        world.reap()
    assert world.stacks() == {"broken"}


def test_an_outcome_nobody_can_read_does_not_keep_a_machine(world: World) -> None:
    world.run("garbled", deadline=LONG_AGO)
    world.s3.put_object(Bucket="results", Key=outcome_key("garbled"), Body=b"{")
    world.reap()
    assert world.stacks() == set()
    assert world.outcome("garbled")["state"] == "timed-out"


def test_a_run_without_a_receipt_is_still_ended(world: World) -> None:
    world.run("bare", deadline=LONG_AGO)
    world.s3.delete_object(Bucket="results", Key=f"runs/job/{run_id('bare')}/run.json")
    world.reap()
    assert world.stacks() == set()
    assert world.outcome("bare")["state"] == "timed-out"


def test_terraform_may_not_destroy_what_stacks_still_need(world: World) -> None:
    world.run("live")
    assert world.reap({"tf": {"action": "create"}}) == {"guarding": "parris"}
    with pytest.raises(ParrisError, match=r"1 stacks still need .*live; run terraform apply"):
        world.reap({"tf": {"action": "delete"}})
    world.cloudformation.delete_stack(StackName="live")
    assert world.reap({"tf": {"action": "delete"}}) == {"guarding": None}


def test_two_sweeps_at_once_do_no_harm(world: World) -> None:
    world.run("overdue", deadline=LONG_AGO)
    world.reap()
    first = world.outcome("overdue")
    world.reap(now=NOW + timedelta(minutes=1))
    assert world.outcome("overdue") == first


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


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("s3", "GetObject"),
        ("s3", "PutObject"),
        ("s3", "ListObjectsV2"),
        ("ec2", "DescribeInstances"),
        ("ec2", "GetConsoleOutput"),
        ("dynamodb", "GetItem"),
        ("dynamodb", "Query"),
        ("dynamodb", "UpdateItem"),
        ("dynamodb", "PutItem"),
    ],
)
@pytest.mark.parametrize("keep", ["never", "always"])
def test_an_overdue_stack_goes_whatever_else_is_refused(
    world: World, service: str, operation: str, keep: str
) -> None:
    world.run("overdue", deadline=LONG_AGO, **{"keep-stack": keep})
    world.run("live")
    world.ledger.table.put_new("queue", "broken", {"event": "["})
    world.ledger.table.put_new("run#job", "broken", {"open": "run"})

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

    client: Any = (
        world.ledger.table.dynamodb() if service == "dynamodb" else getattr(world, service)
    )
    client.meta.events.register(f"before-call.{service}.{operation}", refuse)
    with pytest.raises(ParrisError, match="could not be dealt with"):
        world.reap()
    assert world.stacks() == {"live"}


def test_the_stack_of_a_run_that_is_over_goes_though_its_end_cannot_be_written_down(
    world: World,
) -> None:
    world.end("over", world.run("over"))
    vanished = world.run("vanished")
    world.ec2.terminate_instances(InstanceIds=[vanished])
    world.run("live")

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")

    world.s3.meta.events.register("before-call.s3.PutObject", refuse)
    with pytest.raises(ParrisError, match="2 things could not be dealt with"):
        world.reap()
    assert world.stacks() == {"live"}


def test_a_deadline_that_nobody_can_read_is_a_week_after_the_stack_was_made(world: World) -> None:
    tags: Any = [
        {"Key": "parris:deployment", "Value": "parris"},
        {"Key": "parris:deadline", "Value": "soon"},
    ]
    stack_id = world.cloudformation.create_stack(
        StackName="unreadable",
        TemplateBody=TEMPLATE,
        Parameters=[{"ParameterKey": "Deadline", "ParameterValue": "tomorrow"}],
        Tags=tags,
    )["StackId"]
    [stack] = world.cloudformation.describe_stacks(StackName=stack_id)["Stacks"]
    with pytest.raises(ParrisError, match="its tags name no run"):
        world.reap(now=stack["CreationTime"] + timedelta(days=6))
    assert world.stacks() == {"unreadable"}
    with pytest.raises(ParrisError, match="its tags name no run"):
        world.reap(now=stack["CreationTime"] + timedelta(days=8))
    assert world.stacks() == set()


def test_what_is_to_be_kept_stays_though_its_end_cannot_be_written_down(world: World) -> None:
    instance_id = world.run("kept", deadline=LONG_AGO, **{"keep-stack": "always"})
    world.ec2.terminate_instances(InstanceIds=[instance_id])

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "SlowDown", "Message": "later"}}, "PutObject")

    world.s3.meta.events.register("before-call.s3.PutObject", refuse)
    with pytest.raises(ParrisError, match="later"):
        world.reap()
    assert world.stacks() == {"kept"}


def test_ec2_says_which_machine_it_was_and_not_the_machine(world: World) -> None:
    instance_id = world.run("over")
    world.end("over", instance_id, **{"instance-id": "i-somebodyelse"})
    world.reap()
    assert world.outcome("over")["instance-id"] == instance_id


def test_what_is_remembered_of_a_job_called_queue_waits_for_nothing(world: World) -> None:
    key = "events/queue/0123456789abcdef/launch-failed.json"
    world.s3.put_object(Bucket="results", Key=key, Body=b"{}")
    assert world.reap() == {"looked-at": 0, "deleting": []}
    assert world.functions.sent == []


def test_a_machines_word_is_heard_when_ec2_has_forgotten_the_machine(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance_id = world.run("long-ago")
    world.end("long-ago", instance_id)
    (stack,) = world.cloudformation.describe_stacks(StackName="long-ago")["Stacks"]
    output = {"OutputKey": "InstanceId", "OutputValue": instance_id}
    show(monkeypatch, {**stack, "Outputs": [output]})
    monkeypatch.setattr("parris.reap.reconcile.list_machines", lambda *_: {})
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


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "ROLLBACK_FAILED", "DELETE_IN_PROGRESS", "DELETE_FAILED"]
)
@pytest.mark.parametrize("keep", ["never", "always"])
def test_a_sweep_says_of_each_stack_past_its_deadline_that_it_stands(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: str,
    keep: str,
) -> None:
    world.run("late", deadline=LONG_AGO, **{"keep-stack": keep})
    world.run("live")
    (late,) = world.cloudformation.describe_stacks(StackName="late")["Stacks"]
    (live,) = world.cloudformation.describe_stacks(StackName="live")["Stacks"]
    stacks = [{**late, "StackStatus": status}, live]  # moto never fails a deletion
    show(monkeypatch, *stacks)
    world.reap()
    assert standing(caplog) == [STANDS % ("late", status)]


def test_a_stack_within_its_grace_or_kept_with_its_machine_gone_rings_nobody(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run("in-grace", deadline=(NOW - SETTINGS.overdue).isoformat())
    kept = world.run("kept", deadline=LONG_AGO, **{"keep-stack": "always"})
    world.ec2.terminate_instances(InstanceIds=[kept])
    world.stack("foreign", LONG_AGO, deployment="theirs")
    world.reap()
    assert world.stacks() == {"in-grace", "kept", "foreign"}
    assert standing(caplog) == []


def standing(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the log that the alarm of what stands too long counts."""
    [words] = re.findall(r'pattern += "\\"(.*)\\""', (ROOT / "observe.tf").read_text())
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


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

    def __init__(self, events: list[dict[str, str]]) -> None:
        self.events = events

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"StackEvents": self.events}]
