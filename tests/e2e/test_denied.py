"""What IAM refuses to a role that lost a right: the reason is told, and nothing stays behind."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from parris.events.request import LaunchRequest
from parris.runs.plan import run_id_for
from tests.e2e import roles
from tests.e2e.conftest import ROOT, Clone, wait_for
from tests.notices import Topic
from tests.proof import recorded

IMAGE = "ami-0f0f0f0f0f0f0f0f0"
"""One that no other job asks for."""

LONG = {"termination-method": "at-fixed-time", "time-limit": 10, "stop-grace-seconds": 1}
WAITING = "#!/bin/bash\necho kept > $PARRIS_OUTPUT_DIR/x\nsleep 600\n"


@pytest.fixture(scope="module")
def topic(clone: Clone) -> Topic:
    return clone.listen("denied")


def upload(clone: Clone, job: str, script: str = "#!/bin/bash\ntrue\n", **config: Any) -> None:
    template = config.pop("template", None)
    files = {"trainer-script.sh": script}
    if template:
        config["cloudformation_template_filename"] = "own.yaml"
        files["own.yaml"] = template
    files["training-config.json"] = json.dumps(
        {"training-job-name": f"e2e-{job}", "sync-interval-seconds": 5, **config}
    )
    clone.put_job(job, files)


def stack_status(clone: Clone, stack_id: str) -> str:
    [stack] = clone.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"]
    return str(stack["StackStatus"])


def wait_for_sweep(clone: Clone, stack: str) -> None:
    """Let the reap function sweep until it asks CloudFormation to delete a stack."""
    reap = {"FunctionName": clone.outputs["reap_function"], "Payload": b"{}"}

    def deleting() -> bool:
        answer = clone.client("lambda").invoke(**reap)
        return stack in json.loads(answer["Payload"].read()).get("deleting", [])

    wait_for(deleting, 60)


def without_machines(_run_id: str) -> Mapping[str, Any]:
    return {"Action": "ec2:RunInstances", "Resource": f"arn:aws:ec2:*::image/{IMAGE}"}


def without_schedules(run_id: str) -> Mapping[str, Any]:
    place = f"arn:aws:scheduler:*:*:schedule/parris/parris-{run_id}"
    return {"Action": "scheduler:CreateSchedule", "Resource": place}


@pytest.mark.parametrize(
    ("job", "action", "lacking"),
    [
        ("no-machines", "ec2:RunInstances", without_machines),
        ("no-schedules", "scheduler:CreateSchedule", without_schedules),
    ],
)
def test_a_stack_role_that_lacks_a_right_is_a_failed_launch_which_names_it(
    clone: Clone,
    topic: Topic,
    job: str,
    action: str,
    lacking: Callable[[str], Mapping[str, Any]],
) -> None:
    upload(clone, job, image=IMAGE)
    request = LaunchRequest(job=job, identity="direct:denied", kind="direct")
    time = datetime(2026, 11, 26, 12, tzinfo=UTC)
    run_id = run_id_for(request, time)
    with roles.denied(clone, "stack", lacking(run_id)):
        answer = clone.invoke({"job": job, "event-id": "denied", "time": time.isoformat()})
        assert answer["run-id"] == run_id
        failed_for_want_of(clone, topic, answer, action)


def test_a_template_that_takes_a_role_which_is_not_the_machines_own_is_a_failed_launch(
    clone: Clone, topic: Topic
) -> None:
    roles.own_role(clone, "overreaching", "ec2.amazonaws.com")
    profile = roles.profile_of(clone, "overreaching")
    template = (ROOT / "cloudformation/training-stack.yaml").read_text()
    slot = "Name: !Ref InstanceProfile"
    assert template.count(slot) == 1
    upload(clone, "overreaching", template=template.replace(slot, f"Name: {profile}"))
    answer = clone.invoke({"job": "overreaching"})
    reason = failed_for_want_of(clone, topic, answer, "iam:PassRole")
    assert f":role/{profile} " in reason


def failed_for_want_of(clone: Clone, topic: Topic, answer: dict[str, Any], action: str) -> str:
    """Wait for the end of a launch that IAM refused; return the reason."""
    job, run_id = answer["job"], answer["run-id"]
    outcome = clone.outcome(job, run_id)
    assert outcome["state"] == "launch-failed"
    reason = str(outcome["reason"])
    assert f"is not authorized to perform: {action} on resource: " in reason
    (told,) = wait_for(lambda: topic.heard("launch-failed", job), 60)
    assert action in told["reason"]
    wait_for(lambda: stack_status(clone, answer["stack-id"]) == "DELETE_COMPLETE", 60)
    assert clone.instances(job) == []
    schedules = clone.client("scheduler").list_schedules(GroupName="parris")["Schedules"]
    assert f"parris-{run_id}" not in [one["Name"] for one in schedules]
    return reason


def test_a_deletion_that_is_refused_is_told_of_and_done_after_the_cure(
    clone: Clone, topic: Topic
) -> None:
    upload(clone, "stuck", WAITING, **LONG)
    answer = clone.invoke({"job": "stuck"})
    stack_id = answer["stack-id"]
    wait_for(lambda: clone.read("stuck", answer["run-id"], "output/x"), 90)
    right = {
        "Action": "ec2:TerminateInstances",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/parris:job": "stuck"}},
    }
    with roles.denied(clone, "stack", right):
        clone.client("cloudformation").delete_stack(StackName=stack_id)
        wait_for(lambda: stack_status(clone, stack_id) == "DELETE_FAILED", 60)
        wait_for_sweep(clone, "e2e-stuck")
        (told,) = wait_for(lambda: topic.heard("delete-failed", "stuck"), 60)
        assert "is not authorized to perform: ec2:TerminateInstances" in told["reason"]
        assert (told["run-id"], told["stack-name"]) == (answer["run-id"], "e2e-stuck")
        wait_for_sweep(clone, "e2e-stuck")
        wait_for(lambda: stack_status(clone, stack_id) == "DELETE_FAILED", 60)
        assert [one["State"]["Name"] for one in clone.instances("stuck")] == ["running"]
    wait_for_sweep(clone, "e2e-stuck")
    wait_for(lambda: stack_status(clone, stack_id) == "DELETE_COMPLETE", 90)
    assert [one["State"]["Name"] for one in clone.instances("stuck")] == ["terminated"]
    assert len(topic.heard("delete-failed", "stuck")) == 1


@contextmanager
def without_permission(clone: Clone, rule: str) -> Iterator[None]:
    """Take from a topic rule, for a while, that it may invoke the launch function."""
    functions, function = clone.client("lambda"), clone.outputs["launch_function"]
    statements = json.loads(functions.get_policy(FunctionName=function)["Policy"])["Statement"]
    [permission] = [one for one in statements if one["Sid"] == rule]
    functions.remove_permission(FunctionName=function, StatementId=rule)
    try:
        yield
    finally:
        functions.add_permission(
            FunctionName=function,
            StatementId=rule,
            Action=permission["Action"],
            Principal=permission["Principal"]["Service"],
            SourceArn=permission["Condition"]["ArnLike"]["AWS:SourceArn"],
            SourceAccount=permission["Condition"]["StringEquals"]["AWS:SourceAccount"],
        )


def test_a_rule_whose_role_may_not_write_leaves_no_word(clone: Clone) -> None:
    where, role = "parris/launch/unwritten", f"role/{roles.role_name('iot')}"
    right = {"Action": "logs:PutLogEvents", "Resource": "*"}

    def refused() -> bool:
        """Whether IAM refused the error action's role."""
        return any(
            (line["principal"], line["action"], line["decision"])
            == (role, "logs:PutLogEvents", "Deny")
            for line in recorded.read(clone.folder / ".parris/local")
        )

    with without_permission(clone, "device"):
        with roles.denied(clone, "iot", right):
            clone.publish(where, b"{}")
            wait_for(refused, 30)
            assert rule_errors(clone, where) == []
        clone.publish(where, b"{}")  # given back
        wait_for(lambda: rule_errors(clone, where), 30)
    assert len(rule_errors(clone, where)) == 1


@pytest.mark.parametrize(
    ("rule", "where"), [("device", "parris/launch/unheard"), ("button", "parris/button/unheard")]
)
def test_a_rule_that_may_not_invoke_the_function_says_so_in_its_log(
    clone: Clone, topic: Topic, rule: str, where: str
) -> None:
    function, payload = clone.outputs["launch_function"], b'{"clickType": "NO"}'
    with without_permission(clone, rule):
        clone.publish(where, payload)
        (error,) = wait_for(lambda: rule_errors(clone, where), 30)
    assert error["ruleName"] == f"parris_{rule}"
    assert base64.b64decode(error["base64OriginalPayload"]) == payload
    [failure] = error["failures"]
    assert failure["failedAction"] == "LambdaAction"
    assert failure["failedResource"].endswith(f":function:{function}")
    assert "lambda:InvokeFunction" in failure["errorMessage"]

    def refused() -> bool:
        """Whether the function got a message on the topic, and refused it."""
        return any(where in one.get("request", "") for one in topic.heard("launch-failed"))

    assert not refused()
    clone.publish(where, payload)  # permitted again
    wait_for(refused, 60)
    assert len(rule_errors(clone, where)) == 1


def rule_errors(clone: Clone, where: str) -> list[dict[str, Any]]:
    """Return what the error actions of the topic rules wrote about messages on `where`."""
    logs, group = clone.client("logs"), "/parris/iot-errors"
    found = []
    for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
        lines = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])
        found += [json.loads(line["message"]) for line in lines["events"]]
    return [line for line in found if line["topic"] == where and "failures" in line]
