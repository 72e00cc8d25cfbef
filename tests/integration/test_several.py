"""Which of several runs of a job a command means, by the stacks and receipts that there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parris.contract import State
from scripts.cli.console import Refused
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import list_stacks, read_runs
from scripts.deployment.several import pick_run, pick_run_to_change
from tests.ledger import make_table, note_run
from tests.many_stacks import TEMPLATE

RUNS = [f"20261124-12000{number}-0000000{number}" for number in range(4)]


class World:
    """A deployment with runs, each in a stack of its own."""

    def __init__(self) -> None:
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.cloudformation = boto3.client("cloudformation", region_name="us-east-1")
        self.s3.create_bucket(Bucket="results")
        self.table = make_table()
        self.deployment = Deployment(
            deployment="parris",
            region="us-east-1",
            account_id="123456789012",
            config_bucket="config",
            results_bucket="results",
            ledger_table="parris-ledger",
            launch_function="",
            launch_role_arn="",
            instance_role_arn="",
            launch_settings={},
            reap_function="",
            max_run_hours=24,
            grace_minutes=15,
            instance_profiles=[],
            training_log_group="/parris/training",
            schedules={},
            data_triggers={},
            iot_topic=None,
            launch_topic=None,
        )

    def run(self, run_id: str, job: str = "job", state: str = "") -> str:
        """Make a run, over if it has a `state`; return its stack's id."""
        tags = {"parris:deployment": "parris", "parris:job": job, "parris:run-id": run_id}
        stack_id = self.cloudformation.create_stack(
            StackName=f"{job}-{run_id[-8:]}",
            TemplateBody=TEMPLATE,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )["StackId"]
        claimed = f"2026-11-24T12:00:0{run_id[14]}Z"
        known = {"job": job, "run-id": run_id}
        receipt = {**known, "stack-id": stack_id, "claimed": claimed}
        self.put(job, run_id, "run.json", receipt)
        said = {**known, "state": state} if state else None
        if said:
            self.put(job, run_id, "outcome.json", said)
        note_run(self.table, receipt, said)
        return str(stack_id)

    def put(self, job: str, run_id: str, name: str, content: dict[str, Any]) -> None:
        key, body = f"runs/{job}/{run_id}/{name}", json.dumps(content).encode()
        self.s3.put_object(Bucket="results", Key=key, Body=body)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "LOCAL"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield World()


def test_of_several_the_newest_is_shown_and_the_others_are_named(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for run_id in RUNS[:3]:
        world.run(run_id)
    world.run(RUNS[3], "other")
    newest = pick_run(world.deployment, "job", None, "make logs").run_id
    said = capsys.readouterr().err
    assert newest in RUNS[:3]
    assert f"3 runs of job job are under way; this is {newest}, the newest" in said
    assert [run_id for run_id in RUNS if f"  {run_id}  running, launched" in said] == [
        run_id for run_id in RUNS[:3] if run_id != newest
    ]
    assert "make logs RUN=…" in said


def test_one_that_is_named_or_alone_is_shown_without_a_word(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(RUNS[0], state="succeeded")
    world.run(RUNS[1])
    assert pick_run(world.deployment, "job", None, "make logs").run_id in RUNS[:2]
    world.run(RUNS[2])
    assert pick_run(world.deployment, "job", RUNS[1], "make logs").run_id == RUNS[1]
    assert capsys.readouterr().err == ""


def test_none_of_several_is_changed_unless_it_is_named(world: World) -> None:
    for run_id in RUNS[:2]:
        world.run(run_id)
    for job in ("job", None):
        with pytest.raises(Refused) as refusal:
            pick_run_to_change(world.deployment, job, None, "make stop")
        assert "2 runs of job job are under way; say which, make stop RUN=…" in str(refusal.value)
        assert all(run_id in str(refusal.value) for run_id in RUNS[:2])
    named = pick_run_to_change(world.deployment, "job", RUNS[0], "make stop")
    assert named.run_id == RUNS[0]


def test_the_one_that_is_under_way_is_meant_though_newer_ones_are_over(world: World) -> None:
    world.run(RUNS[0])
    for run_id in RUNS[1:]:
        world.run(run_id, state="failed")
    assert pick_run_to_change(world.deployment, "job", None, "make stop").run_id == RUNS[0]


def test_a_run_that_has_no_stack_for_the_moment_is_meant_too(world: World) -> None:
    world.run(RUNS[0])
    world.run(RUNS[1])
    world.cloudformation.delete_stack(StackName=f"job-{RUNS[1][-8:]}")
    world.table.change("run#job", RUNS[1], {"state": State.RELAUNCHING, "reason": "taken"})
    with pytest.raises(Refused, match="2 runs of job job are under way"):
        pick_run_to_change(world.deployment, "job", None, "make stop")


def test_a_run_that_has_just_got_its_next_stack_is_not_over(world: World) -> None:
    """Its stacks were listed before, its record was read after."""
    stack_id = world.run(RUNS[0])
    world.cloudformation.delete_stack(StackName=f"job-{RUNS[0][-8:]}")
    over: Any = {
        "number": 1,
        "instance-type": "m5.large",
        "market": "spot",
        "subnet-id": "",
        "zone": "",
    }
    over |= dict.fromkeys(("hourly-usd", "cost-usd", "instance-id", "machine"))
    over |= dict.fromkeys(("began", "ended"), "2026-11-24T12:00:00Z")
    over |= {"state": "launch-failed", "reason": "", "ended-by": "cloudformation"}
    over |= {"refusal": "capacity"}
    [run] = read_runs(world.deployment, [("job", RUNS[0])], [])
    assert run.is_over  # nothing follows
    world.table.change("run#job", RUNS[0], {"attempts": json.dumps([over]), "stack_id": stack_id})
    [run] = read_runs(world.deployment, [("job", RUNS[0])], [])
    assert (run.state, run.is_over) == (State.ENDING, False)


def test_a_run_whose_stack_another_has_now_was_replaced(world: World) -> None:
    stack_id = world.run(RUNS[1])
    receipt = {"stack-id": stack_id, "claimed": "2026-11-24T12:00:00Z"}
    world.put("job", RUNS[0], "run.json", receipt)
    keys = [("job", RUNS[0]), ("job", RUNS[1])]
    old, new = read_runs(world.deployment, keys, list_stacks(world.deployment))
    assert (old.state, old.ended_by) == ("interrupted", "replacement")
    assert old.reason == f"run {RUNS[1]} replaced it"
    assert new.state == "running"
    undone = [
        {**stack, "StackStatus": "UPDATE_ROLLBACK_COMPLETE"}
        for stack in list_stacks(world.deployment)
    ]
    (failed, _) = read_runs(world.deployment, keys, undone)
    assert failed.ended_by != "replacement"
