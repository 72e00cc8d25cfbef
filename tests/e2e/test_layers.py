"""What ends a run and what it costs, on the embedded cloud, by what is there afterwards."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e import neighbour, roles
from tests.e2e.conftest import Clone, wait_for

TOPIC = '{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}'
PROBE = """
import boto3
from botocore.exceptions import ClientError

def handler(event, context):
    try:
        boto3.client("cloudformation").delete_stack(StackName=event["stack"])
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "deleted"
"""


def zipped(name: str, text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, text)
    return content.getvalue()


def stack_names(clone: Clone) -> set[str]:
    stacks = clone.client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"}


def receipt(clone: Clone, job: str, run_id: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(clone.read(job, run_id, "run.json") or b"")
    return read


@pytest.fixture(scope="module")
def patient(clone: Clone) -> dict[str, Any]:
    """A run that would take ten minutes."""
    answer = clone.invoke({"job": "patient"})
    wait_for(lambda: clone.read("patient", answer["run-id"], "output/x"), 60)
    return answer


def test_the_stack_of_a_run_that_is_over_is_gone_by_itself(clone: Clone) -> None:
    answer = clone.invoke({"job": "powering-off"})
    clone.outcome("powering-off", answer["run-id"])
    wait_for(lambda: "e2e-powering-off" not in stack_names(clone), 60)


def test_a_run_has_its_schedule_before_its_machine(clone: Clone, patient: dict[str, Any]) -> None:
    (found,) = [
        item
        for item in clone.client("scheduler").list_schedules()["Schedules"]
        if item["Name"] == f"parris-{patient['run-id']}"
    ]
    schedule = clone.client("scheduler").get_schedule(GroupName="parris", Name=found["Name"])
    delete_at = datetime.fromisoformat(patient["deadline"]) + timedelta(
        minutes=clone.outputs["grace_minutes"]
    )
    assert schedule["ScheduleExpression"] == f"at({delete_at:%Y-%m-%dT%H:%M:%S})"
    assert schedule["Target"]["Arn"].endswith(":aws-sdk:cloudformation:deleteStack")
    assert json.loads(schedule["Target"]["Input"])["StackName"] == patient["stack-id"]
    events = clone.client("cloudformation").describe_stack_events(StackName=patient["stack-id"])
    order = [
        event["LogicalResourceId"]
        for event in reversed(events["StackEvents"])
        if event["ResourceStatus"] == "CREATE_COMPLETE"
    ]
    assert order.index("Deadman") < order.index("Instance")


def test_a_sweep_leaves_a_live_run_and_foreign_stacks_alone(
    clone: Clone, patient: dict[str, Any]
) -> None:
    cloudformation = clone.client("cloudformation")
    theirs = [{"Key": "parris:deployment", "Value": "theirs"}]
    for name, tags in (("of-theirs", theirs), ("of-nobody", [])):
        cloudformation.create_stack(StackName=name, TemplateBody=TOPIC, Tags=tags)
    result = clone.client("lambda").invoke(
        FunctionName=clone.outputs["reap_function"], Payload=b"{}"
    )
    assert "FunctionError" not in result
    answer = json.loads(result["Payload"].read())
    assert answer["looked-at"] >= 1
    assert "e2e-patient" not in answer["deleting"]
    assert {"e2e-patient", "of-theirs", "of-nobody"} <= stack_names(clone)
    assert clone.instances("patient")[0]["State"]["Name"] == "running"
    assert patient["stack-id"]


def test_the_reap_functions_role_may_delete_stacks_of_its_deployment_and_no_others(
    clone: Clone,
) -> None:
    role = "reap"
    functions, name = clone.client("lambda"), f"probe-{role}"
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=roles.role_arn(clone, role),
        Handler="probe.handler",
        Code={"ZipFile": zipped("probe.py", PROBE)},
    )
    ours = [{"Key": "parris:deployment", "Value": "parris"}]
    cloudformation = clone.client("cloudformation")
    for tags in (ours, [{"Key": "parris:deployment", "Value": "theirs"}], []):
        cloudformation.create_stack(StackName=name, TemplateBody=TOPIC, Tags=tags)
        answer = functions.invoke(FunctionName=name, Payload=json.dumps({"stack": name}).encode())
        said = json.loads(answer["Payload"].read())
        assert said == ("deleted" if tags == ours else "AccessDenied"), tags
        if tags != ours:
            assert name in stack_names(clone)
            clone.delete_stack(name)
        wait_for(lambda: name not in stack_names(clone), 30)
    functions.delete_function(FunctionName=name)


def test_the_schedules_role_deletes_stacks_of_its_deployment_and_no_others(clone: Clone) -> None:
    cloudformation, scheduler = clone.client("cloudformation"), clone.client("scheduler")
    [theirs] = cloudformation.describe_stacks(StackName=neighbour.STACK)["Stacks"]
    [machine] = [item["OutputValue"] for item in theirs["Outputs"]]
    ours = [{"Key": "parris:deployment", "Value": "parris"}]
    for name, tags in (("due-ours", ours), ("due-nobody", [])):
        cloudformation.create_stack(StackName=name, TemplateBody=TOPIC, Tags=tags)
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "ours": ("aws-sdk:cloudformation:deleteStack", {"StackName": "due-ours"}),
        "nobody": ("aws-sdk:cloudformation:deleteStack", {"StackName": "due-nobody"}),
        "theirs": ("aws-sdk:cloudformation:deleteStack", {"StackName": theirs["StackId"]}),
        "machine": ("aws-sdk:ec2:terminateInstances", {"InstanceIds": [machine]}),
    }
    soon = datetime.now(UTC) + timedelta(seconds=2)
    for name, (call, request) in calls.items():
        scheduler.create_schedule(
            Name=f"due-{name}",
            ScheduleExpression=f"at({soon:%Y-%m-%dT%H:%M:%S})",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": f"arn:aws:scheduler:::{call}",
                "RoleArn": roles.role_arn(clone, "scheduler"),
                "Input": json.dumps(request),
                "RetryPolicy": {"MaximumRetryAttempts": 1},
            },
        )
    wait_for(lambda: "due-ours" not in stack_names(clone), 30)
    log = clone.folder / ".parris/local/cloud.log"
    refused = ("nobody", "theirs", "machine")
    over = [f"schedule due-{name}: given up after 2 attempts" for name in refused]
    wait_for(lambda: all(said in log.read_text() for said in over), 30)
    for name in refused:
        assert f"schedule due-{name}, attempt 1 of 2: An error occurred" in log.read_text()
    assert {"due-nobody", neighbour.STACK} <= stack_names(clone)
    answer = clone.client("ec2").describe_instances(InstanceIds=[machine])
    assert answer["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
    clone.delete_stack("due-nobody")


def test_extend_moves_the_deadline_in_every_layer(clone: Clone, patient: dict[str, Any]) -> None:
    run_id = patient["run-id"]
    too_far = clone.make("extend", "LOCAL=1", f"RUN={run_id}", "MINUTES=10080", check=False)
    assert "max_run_hours is 24" in too_far.stderr
    assert receipt(clone, "patient", run_id)["deadline"] == patient["deadline"]

    (before,) = clone.instances("patient")
    clone.make("extend", "LOCAL=1", f"RUN={run_id}", "MINUTES=30")
    later = datetime.fromisoformat(patient["deadline"]) + timedelta(minutes=30)
    moved = receipt(clone, "patient", run_id)
    assert datetime.fromisoformat(moved["deadline"]) == later  # layer 1
    schedules = clone.client("scheduler")
    schedule = schedules.get_schedule(GroupName="parris", Name=f"parris-{run_id}")  # layer 2
    delete_at = later + timedelta(minutes=clone.outputs["grace_minutes"])
    assert schedule["ScheduleExpression"] == f"at({delete_at:%Y-%m-%dT%H:%M:%S})"
    (stack,) = clone.client("cloudformation").describe_stacks(StackName="e2e-patient")["Stacks"]
    given = {item["ParameterKey"]: item["ParameterValue"] for item in stack["Parameters"]}
    assert datetime.fromisoformat(given["Deadline"]) == later  # layer 3
    # The machine goes on, the same one, and has armed its timer anew.
    (after,) = clone.instances("patient")
    assert after["InstanceId"] == before["InstanceId"]
    assert after["State"]["Name"] == "running"
    console = clone.folder / f".parris/local/instances/{after['InstanceId']}/console.log"
    wait_for(lambda: console.read_text().count("shutdown scheduled in") == 2, 30)


def test_a_budget_is_kept_by_the_spot_price_and_the_run_says_what_it_cost(clone: Clone) -> None:
    answer = clone.invoke({"job": "thrifty"})
    outcome = clone.outcome("thrifty", answer["run-id"])
    price = receipt(clone, "thrifty", answer["run-id"])["price"]
    assert price["source"] == "EC2 spot price history"
    hours = (
        datetime.fromisoformat(answer["deadline"])
        - datetime.fromisoformat(receipt(clone, "thrifty", answer["run-id"])["claimed"])
    ) / timedelta(hours=1)
    assert 0.009 < hours * float(price["hourly-usd"]) <= 0.01
    (instance,) = clone.instances("thrifty")
    assert instance["InstanceLifecycle"] == "spot"
    # A minute is billed at least.
    assert outcome["cost-usd"] >= round(float(price["hourly-usd"]) / 60, 4) > 0


def test_destroy_is_refused_while_a_stack_stands(clone: Clone, patient: dict[str, Any]) -> None:
    refused = clone.make("destroy", "LOCAL=1", "YES=1", check=False)
    assert refused.returncode != 0
    assert f"e2e-patient: run {patient['run-id']} is running" in refused.stdout
    assert "run make clean-stacks ALL=1 LOCAL=1 first" in refused.stderr
    assert patient["run-id"] in clone.make("status", "LOCAL=1").stdout


def test_terraform_destroy_is_refused_too_and_removes_nothing(
    clone: Clone, patient: dict[str, Any]
) -> None:
    before = deployed(clone)
    refused = subprocess.run(
        [".venv/bin/python", "-m", "scripts.deployment.terraform", "destroy", "--yes"],
        cwd=clone.folder,
        env=clone.environ | {"LOCAL": "1", "PYTHONPATH": "lambda:."},
        capture_output=True,
        text=True,
        check=False,
    )
    said = " ".join((refused.stdout + refused.stderr).replace("│", " ").split())
    assert refused.returncode != 0
    assert "destroy refused" in said
    assert "e2e-patient" in said
    assert deployed(clone) == before
    # Terraform forgets its outputs all the same; applying brings them back and makes nothing new.
    lost = clone.make("status", "LOCAL=1", check=False)
    assert "run make deploy LOCAL=1" in lost.stderr
    clone.make("deploy", "LOCAL=1", "YES=1")
    assert deployed(clone) == before
    assert clone.outputs["launch_function"] in before
    assert patient["run-id"] in clone.make("status", "LOCAL=1").stdout


def deployed(clone: Clone) -> set[str]:
    """Return what of the deployment there is, by names."""
    functions = clone.client("lambda").list_functions()["Functions"]
    return (
        {role["RoleName"] for role in clone.client("iam").list_roles()["Roles"]}
        | {bucket["Name"] for bucket in clone.client("s3").list_buckets()["Buckets"]}
        | {function["FunctionName"] for function in functions}
        | {rule["Name"] for rule in clone.client("events").list_rules()["Rules"]}
        | {rule["ruleName"] for rule in clone.client("iot").list_topic_rules()["rules"]}
    )


def test_stop_ends_a_run_gently(clone: Clone, patient: dict[str, Any]) -> None:
    run_id = patient["run-id"]
    said = clone.make("stop", "LOCAL=1", f"RUN={run_id}", "WAIT=1").stdout
    outcome = clone.outcome("patient", run_id)
    assert (outcome["state"], outcome["ended-by"]) == ("stopped", "stop"), said
    assert clone.read("patient", run_id, "output/x") == b"kept\n"
    wait_for(lambda: "e2e-patient" not in stack_names(clone), 60)
    over = clone.make("stop", "LOCAL=1", f"RUN={run_id}", check=False)
    assert "is over already: stopped" in over.stderr
