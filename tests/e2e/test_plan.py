"""`make plan` says beforehand what a launch then meets, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.local import faults
from tests.e2e.conftest import Clone
from tests.e2e.roles import denied

JOB = {
    "training-job-name": "e2e-planned",
    "termination-method": "at-fixed-time",
    "time-limit": 60,
    "instance-type": ["g5.xlarge", "t3.micro"],
    "market": "spot-then-on-demand",
    "stop-grace-seconds": 1,
}

STANDARD = "L-1216C47A"


@pytest.fixture(scope="module")
def job(clone: Clone) -> None:
    folder = clone.folder / "trainer/jobs/planned"
    folder.mkdir()
    (folder / "training-config.json").write_text(json.dumps(JOB))
    (folder / "trainer-script.sh").write_text("#!/bin/bash\ntrue\n")
    said = clone.make("upload-config", "LOCAL=1", "JOB=planned").stdout
    assert "planned, launched now: g5.xlarge spot: $" in said


@pytest.fixture
def vcpus(clone: Clone) -> Iterator[Any]:
    """Set quotas, by code, as a fault says them."""
    home = clone.folder / ".parris/local"
    yield lambda **codes: faults.write(
        home, {"quotas": {code.replace("_", "-"): limit for code, limit in codes.items()}}
    )
    faults.write(home, {})


def plan(clone: Clone, *more: str) -> tuple[dict[str, Any], str]:
    done = clone.make("plan", "LOCAL=1", "JOB=planned", "JSON=1", *more, check=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["goes"] == (done.returncode == 0), done.stderr
    return answer, done.stderr


def everything(clone: Clone) -> Any:
    """Return what a plan could have written: the ledger, the results, the stacks."""
    dynamodb, s3 = clone.client("dynamodb"), clone.client("s3")
    items = dynamodb.scan(TableName=clone.outputs["ledger_table"])["Items"]
    mine = [item for item in items if "planned" in json.dumps(item, default=str)]
    keys = s3.list_objects_v2(Bucket=clone.outputs["results_bucket"], Prefix="runs/planned/")
    stacks = clone.client("cloudformation").describe_stacks()["Stacks"]
    return mine, keys["KeyCount"], [s["StackName"] for s in stacks if "planned" in s["StackName"]]


@pytest.mark.usefixtures("job")
def test_a_sound_job_is_told_of_with_its_price_and_end_and_nothing_is_written(
    clone: Clone,
) -> None:
    before = everything(clone)
    answer, _ = plan(clone)
    assert everything(clone) == before == ([], 0, [])
    assert answer["problems"] == []
    assert (answer["instance-type"], answer["market"]) == ("g5.xlarge", "spot")
    machines = [(one["market"], one["instance-type"]) for one in answer["machines"]]
    assert machines == [
        ("spot", "g5.xlarge"),
        ("spot", "t3.micro"),
        ("on-demand", "g5.xlarge"),
        ("on-demand", "t3.micro"),
    ]
    assert all(len(one["zones"]) == 3 for one in answer["machines"])
    dearest = answer["machines"][2]
    # 1.006, 100 GB of gp3 at 0.08 a month, an address: an hour of the dearest that it may come to
    assert dearest["hourly-usd"] == answer["most-usd"] == "1.0220"
    assert dearest["quota"]["used"] == 0
    assert answer["denied"] == []
    said = clone.make("plan", "LOCAL=1", "JOB=planned").stdout.splitlines()
    assert said[-1].startswith("g5.xlarge spot: $0.")
    assert "$1.0220 at most, ends by 20" in said[-1]


@pytest.mark.usefixtures("job")
def test_a_quota_of_0_is_found_here_and_the_next_rung_is_told(clone: Clone, vcpus: Any) -> None:
    vcpus(L_3819A6DF=0, L_34B43A08=0, L_DB2E81BA=0)
    answer, _ = plan(clone)
    assert (answer["instance-type"], answer["market"]) == ("t3.micro", "on-demand")
    assert any("All G and VT Spot Instance Requests" in note for note in answer["notes"])

    vcpus(L_3819A6DF=0, L_34B43A08=1, L_DB2E81BA=0, L_1216C47A=1)
    answer, said = plan(clone)
    assert not answer["goes"]
    assert "t3.micro needs 2 vCPUs" in said
    cure = f"--quota-code {STANDARD} --desired-value "
    assert cure in said
    assert any(cure in problem for problem in answer["problems"])


@pytest.mark.usefixtures("job")
def test_a_stack_in_the_way_is_named(clone: Clone) -> None:
    cloudformation = clone.client("cloudformation")
    foreign = '{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}'
    cloudformation.create_stack(StackName="e2e-planned", TemplateBody=foreign)
    try:
        answer, said = plan(clone)
    finally:
        clone.delete_stack("e2e-planned")
    assert not answer["goes"]
    assert "a stack named e2e-planned exists" in said
    assert "this deployment did not make it" in said


@pytest.mark.usefixtures("job")
def test_a_role_that_may_start_no_machine_is_named(clone: Clone) -> None:
    # None of its own types: a job that the clock launches meanwhile has another.
    own = {"StringEquals": {"ec2:InstanceType": JOB["instance-type"]}}
    nothing = {"Action": "ec2:RunInstances", "Resource": "*", "Condition": own}
    with denied(clone, "stack", nothing):
        answer, said = plan(clone)
    assert not answer["goes"]
    assert "role parris-stack-us-east-1 may not ec2:RunInstances on arn:aws:ec2:" in said
    assert answer["denied"]
    assert plan(clone)[0]["denied"] == []


@pytest.mark.usefixtures("job")
def test_what_the_launch_then_says_is_what_was_planned(clone: Clone) -> None:
    answer, _ = plan(clone)
    launched = json.loads(clone.make("launch", "LOCAL=1", "JOB=planned", "JSON=1").stdout)
    for key in ("instance-type", "market", "hourly-usd", "stack-name"):
        assert launched[key] == answer[key]
    clone.outcome("planned", launched["run-id"])
