"""Each fault of the drill, by what it does to a machine, a stack or a call."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from scripts.local import faults
from tests.e2e.embedded_world import World, eventually, template


@pytest.fixture(autouse=True)
def _sound_again(world: World) -> Iterator[None]:
    yield
    faults.write(world.home, {})


def sick(world: World, *names: str) -> None:
    faults.write(world.home, {"machines": {"sick": list(names)}})


def delete(world: World, stack: str = "sick") -> None:
    identifier = world.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackId"]
    world.cloudformation.delete_stack(StackName=stack)
    eventually(
        lambda: (
            world.cloudformation.describe_stacks(StackName=identifier)["Stacks"][0]["StackStatus"]
            == "DELETE_COMPLETE"
        ),
        "the stack is gone",
    )


def test_shutdown_that_does_nothing_leaves_the_machine_on(world: World) -> None:
    sick(world, "no-shutdown")
    script = """#!/bin/bash
shutdown --poweroff +0; echo "shutdown: $?"
poweroff --force; sudo poweroff; systemctl poweroff
systemd-run --unit=still /bin/echo SERVICE RAN
sleep 1
echo STILL ON
sleep 600
"""
    instance = world.launch("sick", script)
    world.wait_for_console(instance, "STILL ON")
    console = world.console(instance)
    assert "[fault no-shutdown] shutdown --poweroff +0: nothing happens\nshutdown: 0" in console
    assert "SERVICE RAN" in console
    assert world.state(instance) == "running"
    healthy = world.launch("healthy", "#!/bin/bash\nshutdown now\n")
    world.wait_for_state(healthy, "terminated")
    delete(world)
    assert world.state(instance) == "terminated"
    assert world.alive(instance) == set()


def test_a_machine_without_endpoint_reaches_its_metadata_only(world: World) -> None:
    sick(world, "no-endpoint")
    script = """#!/bin/bash
export AWS_MAX_ATTEMPTS=1
aws --region us-east-1 sts get-caller-identity; echo "sts: $?"
TOKEN=$(curl -sX PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
    "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/api/token")
curl -s -H "X-aws-ec2-metadata-token: $TOKEN" \
    "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data/instance-id"; echo " IS MY ID"
poweroff
"""
    instance = world.launch("sick", script)
    world.wait_for_state(instance, "terminated")
    console = world.console(instance)
    assert "Could not connect to the endpoint URL" in console
    assert "sts: 0" not in console
    assert f"{instance} IS MY ID" in console
    delete(world)


def test_user_data_that_dies_runs_nothing_and_leaves_the_machine_on(world: World) -> None:
    sick(world, "user-data-dies")
    instance = world.launch("sick", "#!/bin/bash\nshutdown +1\necho ARMED\n")
    world.wait_for_console(instance, "[fault user-data-dies]")
    time.sleep(0.5)
    assert "ARMED" not in world.console(instance)
    assert world.state(instance) == "running"
    delete(world)


@pytest.mark.skipif(not faults.disk_can_be_full(), reason="needs user namespaces")
def test_a_full_disk_refuses_what_goes_beyond_it(world: World) -> None:
    sick(world, "disk-full:256")
    script = """#!/bin/bash
head -c 100000 /dev/zero > "$PARRIS_HOME/log.txt" && echo "FIRST FITS"
head -c 200000 /dev/zero > "$PARRIS_HOME/second"; echo "second: $?"
head -c 9000 /dev/zero >> "$PARRIS_HOME/log.txt"; echo "append: $?"
head -c 9000 /dev/zero > "$(mktemp)"; echo "temporary: $?"
head -c 20000 /dev/zero > "$HOME/third"; echo "third: $?"
(setsid sleep 600 &)
aws --region us-east-1 s3 cp "$PARRIS_HOME/log.txt" s3://results/sick/log.txt
shutdown now
"""
    instance = world.launch("sick", script)
    world.wait_for_state(instance, "terminated")
    console = world.console(instance)
    assert "FIRST FITS" in console
    assert console.count("No space left on device") == 4
    assert "second: 1" in console
    assert "append: 1" in console
    assert "temporary: 1" in console
    assert "third: 1" in console
    assert world.alive(instance) == set()
    assert len(world.read("sick/log.txt") or "") >= 100000
    delete(world)


def test_a_unit_that_is_killed_powers_the_machine_off_by_its_failure_action(world: World) -> None:
    script = """#!/bin/bash
systemd-run --unit=fine --property=FailureAction=poweroff /bin/true
sleep 0.5
echo STILL ON
systemd-run --unit=agent --property=FailureAction=poweroff \
    /bin/bash -c 'echo "AGENT $$"; kill -KILL $$'
sleep 600
"""
    instance = world.launch("failing", script)
    world.wait_for_state(instance, "terminated")
    assert "STILL ON" in world.console(instance)
    assert "its FailureAction is poweroff" in world.console(instance)


def test_a_failing_instance_rolls_its_stack_back_with_the_reason(world: World) -> None:
    reason = "We currently do not have sufficient m5.large capacity"
    faults.write(world.home, {"cloudformation": {"short": reason}})
    made = world.cloudformation.create_stack(
        StackName="short", TemplateBody=template("#!/bin/bash\nsleep 600\n")
    )

    def found() -> dict[str, Any]:
        answer = world.cloudformation.describe_stacks(StackName=made["StackId"])
        return dict(answer["Stacks"][0])

    eventually(lambda: found()["StackStatus"] == "ROLLBACK_COMPLETE", "the stack rolls back")
    events = world.cloudformation.describe_stack_events(StackName="short")["StackEvents"]
    failed = [e for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
    assert [(e["LogicalResourceId"], e["ResourceStatusReason"]) for e in failed] == [
        ("Instance", reason)
    ]
    left = world.ec2.describe_launch_templates()["LaunchTemplates"]
    assert [each for each in left if each["LaunchTemplateName"].startswith("short-")] == []
    delete(world, "short")


def test_every_third_call_of_cloudformation_is_throttled(world: World) -> None:
    client = boto3.client(
        "cloudformation",
        region_name="us-east-1",
        endpoint_url=world.cloudformation.meta.endpoint_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    faults.write(world.home, {"throttle": 3})
    answers = []
    for _ in range(9):
        try:
            client.list_stacks()
            answers.append("")
        except ClientError as error:
            said = error.response
            assert said["ResponseMetadata"]["HTTPStatusCode"] == 400
            answers.append(f"{said['Error']['Code']}: {said['Error']['Message']}")
    assert answers.count("Throttling: Rate exceeded") == 3
    assert answers.count("") == 6
    # A client that retries gets its answers all the same.
    assert [world.cloudformation.list_stacks()["StackSummaries"] for _ in range(6)]


def test_a_schedule_missed_while_scheduler_is_down_fires_when_it_is_up(world: World) -> None:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    grant = {"Effect": "Allow", "Action": "sqs:CreateQueue", "Resource": "*"}
    role = world.iam.create_role(
        RoleName="down", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
    )["Role"]["Arn"]
    world.iam.put_role_policy(
        RoleName="down", PolicyName="p", PolicyDocument=json.dumps({"Statement": [grant]})
    )
    faults.write(world.home, {"scheduler": "down"})
    world.scheduler.create_schedule(
        Name="overdue",
        ScheduleExpression=f"at({time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:sqs:createQueue",
            "RoleArn": role,
            "Input": '{"QueueName": "overdue"}',
        },
    )
    time.sleep(3)

    def queues() -> list[str]:
        return list(world.sqs.list_queues(QueueNamePrefix="overdue").get("QueueUrls", []))

    assert queues() == []
    faults.write(world.home, {})
    eventually(queues, "the overdue schedule fires")
