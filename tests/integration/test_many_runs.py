"""What a status asks AWS for does not grow with the runs that there were, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parris.aws.ledger import Ledger
from parris.aws.stacks import stack_tags
from parris.launch import clicks
from parris.runs.times import iso
from scripts.commands import status
from scripts.deployment.outputs import Deployment
from tests.ledger import NAME, make_table
from tests.plans import NOW
from tests.reap_world import IMAGE
from tests.world import World

RUNS = 10_000
CALLS = 5


def items(runs: int) -> list[dict[str, Any]]:
    """Return runs of ten jobs, a minute between each and the next; all are over."""
    made = []
    for number in range(runs):
        begun = NOW - timedelta(minutes=runs - number)
        job, run_id = f"job-{number % 10}", f"{begun:%Y%m%d-%H%M%S}-{number:08x}"
        state = "failed" if number == 7 else "succeeded"
        outcome = {"state": state, "reason": "", "ended-by": "trainer", "cost-usd": 0.01}
        receipt = {"job": job, "run-id": run_id, "claimed": iso(begun), "stack-id": "arn"}
        item = {
            "pk": f"run#{job}",
            "sk": run_id,
            "kind": "run",
            "state": state,
            "lease": iso(begun),
            "stack_id": "arn",
            "receipt": json.dumps(receipt),
            "outcome": json.dumps(outcome),
        }
        made.append({name: {"S": value} for name, value in item.items()})
    return made


def fill(runs: int) -> None:
    """Put `items` into the ledger."""
    client = boto3.client("dynamodb", region_name="us-east-1")
    Ledger(make_table(client)).note_adoption("", NOW)
    requests: list[Any] = [{"PutRequest": {"Item": item}} for item in items(runs)]
    for start in range(0, runs, 25):
        client.batch_write_item(RequestItems={NAME: requests[start : start + 25]})


def known_deployment() -> Deployment:
    values: dict[str, Any] = dict.fromkeys(Deployment.__dataclass_fields__, "parris")
    known = {"region": "us-east-1", "results_bucket": "results", "ledger_table": NAME}
    return Deployment(**values | known)


def since(number: int) -> str:
    """Return the time of the event of a run that `fill` made."""
    return iso(NOW - timedelta(minutes=RUNS - number))


@pytest.mark.usefixtures("credentials")
def test_the_newest_of_ten_thousand_runs_take_five_calls_and_so_do_those_that_are_sought(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []
    make = Deployment.client

    def counted(self: Deployment, service: str) -> Any:
        client = make(self, service)
        client.meta.events.register(
            "before-call", lambda model, **_: calls.append(model.name), unique_id="counted"
        )
        return client

    monkeypatch.setenv("LOCAL", "")
    monkeypatch.setattr(Deployment, "client", counted)
    monkeypatch.setattr(status, "read_deployment", known_deployment)

    def shown(*arguments: str) -> list[int]:
        calls.clear()
        assert status.main(["--json", *arguments]) == 0
        runs = json.loads(capsys.readouterr().out)["runs"]
        return [int(run["run-id"][-8:], 16) for run in runs]

    every, threes = range(RUNS - 1, -1, -1), range(RUNS - 7, -1, -10)
    with mock_aws():
        fill(RUNS)
        for arguments, numbers, most in (
            ((), every[:20], CALLS),
            (("--job", "job-3"), threes[:20], CALLS),
            (("--since", since(RUNS - 7)), every[:7], CALLS),
            (("--job", "job-3", "--since", since(RUNS - 17)), threes[:2], CALLS),
            (("--state", "running"), [], CALLS),
            (("--state", "succeeded"), every[:20], CALLS),
            (("--state", "failed,running", "--since", since(1000)), [], CALLS + 10),
            # What is rare is sought among all; DynamoDB reads a MB a call.
            (("--state", "failed"), [7], CALLS + 10),
        ):
            assert shown(*arguments) == list(numbers), arguments
            assert 0 < len(calls) <= most, (arguments, calls)


CLICK = {"serialNumber": "G030", "clickType": "DOUBLE", "traceid": "t", "timestamp": 1795521600000}


@pytest.mark.usefixtures("credentials")
def test_a_status_click_takes_four_calls_and_is_answered_once() -> None:
    with mock_aws():
        world = World()
        run_id = world.launch()["run-id"]
        calls: list[str] = []
        for client in world.clients:
            client.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
        told = world.launch(CLICK)
        assert [(run["run-id"], run["state"]) for run in told["runs"]] == [(run_id, "running")]
        assert sorted(calls) == ["DescribeStacks", "Publish", "Query", "UpdateItem"]
        assert world.launch(CLICK)["duplicate"] is True
        assert len(world.topic.heard("status")) == 1


@pytest.mark.usefixtures("credentials")
def test_a_click_and_make_status_call_each_run_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = replace(known_deployment(), results_bucket="parris-results")
    monkeypatch.setenv("LOCAL", "")
    monkeypatch.setattr(status, "read_deployment", lambda: known)
    monkeypatch.setattr(clicks, "_NEWEST", 20)
    with mock_aws():
        world = World()
        world.ledger.note_adoption("", NOW)
        states = [*ENDS, "skipped", "queued", "launch-failed", "launching", "accepted"]
        for number, state in enumerate(states):
            run_id = f"20261124-1100{number:02}-{number:08x}"
            receipt: Any = {"job": "j", "run-id": run_id, "claimed": iso(NOW), "deadline": iso(NOW)}
            receipt |= {"state": state, "reason": "why"}
            outcome: Any = {"state": state, "reason": "so", "ended-by": "trainer"}
            world.ledger.adopt("j", run_id, receipt, outcome if state in ENDS else None, NOW)
        going = world.launch()["run-id"]
        [stack] = world.cloudformation.describe_stacks()["Stacks"]
        [gone] = world.ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"]
        world.ec2.terminate_instances(InstanceIds=[gone["InstanceId"]])
        lately = datetime.now(UTC) - timedelta(minutes=1)
        standing = {
            "being undone": stack_of("0" * 8, "ROLLBACK_IN_PROGRESS", "", lately),
            "machine not known yet": stack_of("1" * 8, "CREATE_COMPLETE", "i-0", lately),
            "machine forgotten": stack_of("2" * 8, "CREATE_COMPLETE", "i-1", NOW),
            "machine terminated": stack_of("3" * 8, "CREATE_COMPLETE", gone["InstanceId"], lately),
        }
        for one in standing.values():
            receipt = {"job": "j", "claimed": iso(NOW), "deadline": iso(NOW)}
            receipt |= {"state": "accepted", "stack-id": one["StackId"]}
            world.ledger.adopt("j", run_id_of(one), receipt, None, NOW)
        for where in ("parris.launch.clicks.list_stacks", "scripts.commands.status.list_stacks"):
            monkeypatch.setattr(where, lambda *_: [stack, *standing.values()])
        clicked = {run["run-id"]: run["state"] for run in world.launch(CLICK)["runs"]}
        assert status.main(["--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        told = [*listed["runs"], *listed["refused"]]
        listed_states = {run["run-id"]: run["state"] for run in told}
        stands = {name: clicked.pop(run_id_of(one)) for name, one in standing.items()}
        known_more = {name: listed_states.pop(run_id_of(one)) for name, one in standing.items()}
        assert stands == {**dict.fromkeys(standing, "running"), "being undone": "launching"}
        # What only EC2 knows a click does not ask (docs/contracts.md).
        only_ec2_knows = dict.fromkeys(("machine forgotten", "machine terminated"), "interrupted")
        assert known_more == {**stands, **only_ec2_knows}
        assert listed_states == clicked
        assert clicked.pop(going) == "running"
        assert sorted(clicked.values()) == sorted([*states[:-1], "launching"])


ENDS = ("succeeded", "failed", "timed-out", "interrupted", "stopped")


def stack_of(digits: str, status: str, machine: str, changed: datetime) -> dict[str, Any]:
    """Return a stack that moto cannot make, as DescribeStacks gives it."""
    tags = {"parris:deployment": "parris", "parris:job": "j"}
    tags["parris:run-id"] = f"20261124-110100-{digits}"
    return {
        "StackId": f"arn:{digits}",
        "StackName": f"stack-{digits}",
        "StackStatus": status,
        "CreationTime": changed,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        "Outputs": [{"OutputKey": "InstanceId", "OutputValue": machine}] if machine else [],
    }


def run_id_of(stack: Mapping[str, Any]) -> str:
    return stack_tags(stack)["parris:run-id"]
