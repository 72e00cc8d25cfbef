"""What a look of `make status WATCH=1` reads, and how many calls it takes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parris.contract import State
from scripts.deployment.newest import Wanted
from scripts.deployment.outputs import Deployment
from scripts.deployment.watch import Watch
from tests.integration.test_many_runs import known_deployment
from tests.plans import NOW
from tests.world import World

GROUP = "/parris/training"


def stream_of(world: World, stack: str) -> str:
    found = world.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Tags"]
    return str({tag["Key"]: tag["Value"] for tag in found}["parris:log-stream"])


@pytest.mark.usefixtures("credentials")
def test_a_look_is_a_few_calls_and_one_for_the_last_line_of_each_run_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOCAL", "")
    calls: list[str] = []
    make = Deployment.client

    def counted(self: Deployment, service: str) -> Any:
        client = make(self, service)
        client.meta.events.register(
            "before-call", lambda model, **_: calls.append(model.name), unique_id="counted"
        )
        return client

    monkeypatch.setattr(Deployment, "client", counted)
    with mock_aws():
        world = World()
        world.ledger.note_adoption("", NOW)
        going = world.launch()["run-id"]
        world.table.change("run#default", going, {"metrics": '{"loss": 0.12, "epoch": "14/20"}'})
        for number in range(30):  # newer, and over
            run_id = f"20261125-1100{number:02}-{number:08x}"
            receipt: Any = {"job": "j", "run-id": run_id, "stack-id": "arn"}
            outcome: Any = {"state": "succeeded", "reason": "", "ended-by": "trainer"}
            world.ledger.adopt("j", run_id, receipt, outcome, NOW, told=True)
        logs = boto3.client("logs", region_name="us-east-1")
        logs.create_log_group(logGroupName=GROUP)
        known = replace(
            known_deployment(), results_bucket="parris-results", training_log_group=GROUP
        )
        watched = Watch(deployment=known, wanted=Wanted(count=20))
        runs, notes = watched.look()
        assert [run.run_id for run in runs][:2] == [going, "20261125-110029-0000001d"]
        assert (len(runs), runs[0].state) == (20, State.RUNNING)
        assert runs[0].metrics == {"loss": 0.12, "epoch": "14/20"}
        assert notes == ["more runs are not shown; COUNT= shows more"]
        assert watched.lines == {}  # its machine has yet to make its stream

        where: Any = {"logGroupName": GROUP, "logStreamName": stream_of(world, "one")}
        logs.create_log_stream(**where)
        now = int(time.time() * 1000)
        events: Any = [{"timestamp": now + n, "message": f"epoch {n}"} for n in range(3)]
        logs.put_log_events(**where, logEvents=events)
        calls.clear()
        watched.look()
        assert watched.lines == {going: "epoch 2"}
        assert sorted(calls) == ["DescribeStacks", "GetLogEvents", "Query", "Query"]

        only = Watch(deployment=known, wanted=Wanted(count=20, states=("running",), job="default"))
        assert [run.run_id for run in only.look()[0]] == [going]
