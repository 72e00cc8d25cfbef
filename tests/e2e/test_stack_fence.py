"""The stack role, as it is applied, reaches nothing beyond its deployment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from scripts.local import cloud as embedded
from tests.e2e.conftest import Clone
from tests.e2e.embedded_world import World, eventually

DATA = {"ImageId": "ami-0123456789abcdef0", "InstanceType": "t3.micro"}


def launch_template(deployment: str) -> dict[str, Any]:
    tags = [{"Key": "parris:deployment", "Value": deployment}]
    named = [{"ResourceType": "launch-template", "Tags": tags}]
    properties = {"LaunchTemplateData": DATA, "TagSpecifications": named}
    return {"Type": "AWS::EC2::LaunchTemplate", "Properties": properties}


def machine(template: str, deployment: str) -> dict[str, Any]:
    properties = {
        "LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"},
        "Tags": [{"Key": "parris:deployment", "Value": deployment}],
        "PropagateTagsToVolumeOnCreation": True,
    }
    return {"Type": "AWS::EC2::Instance", "Properties": properties}


def schedule(clone: Clone, group: str) -> dict[str, Any]:
    role = f"arn:aws:iam::{clone.outputs['account_id']}:role/parris-scheduler-us-east-1"
    target = "arn:aws:scheduler:::aws-sdk:cloudformation:deleteStack"
    properties = {
        "GroupName": group,
        "Name": "parris-fence",
        "ScheduleExpression": "at(2099-01-01T00:00:00)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": target, "RoleArn": role, "Input": '{"StackName": "none"}'},
    }
    return {"Type": "AWS::Scheduler::Schedule", "Properties": properties}


def build(clone: Clone, name: str, resource: Mapping[str, Any]) -> tuple[str, str]:
    """Make a stack with the deployment's stack role; return its end and the first failure."""
    cloudformation = clone.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps({"Resources": {"It": resource}}),
        RoleARN=f"arn:aws:iam::{clone.outputs['account_id']}:role/parris-stack-us-east-1",
    )

    def end() -> str:
        status = str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        return "" if status.endswith("_IN_PROGRESS") else status

    status = eventually(end, f"{name} has settled")
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [one for one in events if one["ResourceStatus"] == "CREATE_FAILED"]
    clone.delete_stack(name)
    return status, failed[-1]["ResourceStatusReason"] if failed else ""


def foreign_template(clone: Clone) -> str:
    made = clone.client("ec2").create_launch_template(
        LaunchTemplateName="foreign", LaunchTemplateData=DATA
    )
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def test_the_stack_role_makes_what_is_its_deployments(clone: Clone) -> None:
    assert build(clone, "fence-own", launch_template("parris")) == ("CREATE_COMPLETE", "")
    assert build(clone, "fence-due", schedule(clone, "parris")) == ("CREATE_COMPLETE", "")


def test_the_stack_role_makes_nothing_of_another_deployment(clone: Clone) -> None:
    for name, resource, action in (
        ("fence-template", launch_template("parris-2"), "ec2:CreateLaunchTemplate"),
        ("fence-schedule", schedule(clone, "default"), "scheduler:CreateSchedule"),
        ("fence-machine", machine(foreign_template(clone), "parris"), "ec2:RunInstances"),
    ):
        status, reason = build(clone, name, resource)
        assert status == "ROLLBACK_COMPLETE"
        assert f"is not authorized to perform: {action} on resource" in reason
        assert "HandlerErrorCode: AccessDenied" in reason
    made = clone.client("scheduler").list_schedules(GroupName="default")["Schedules"]
    assert "parris-fence" not in [one["Name"] for one in made]


def test_a_console_is_read_by_the_tag_of_its_instance(world: World) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "ec2:GetConsoleOutput",
        "Resource": "arn:aws:ec2:*:*:instance/*",
        "Condition": {"StringEquals": {"aws:ResourceTag/parris:deployment": "mine"}},
    }
    world.iam.create_user(UserName="reader")
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    world.iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    key = world.iam.create_access_key(UserName="reader")["AccessKey"]
    reader = boto3.client(
        "ec2",
        region_name="us-east-1",
        endpoint_url=embedded.environment(world.home)["AWS_ENDPOINT_URL"],
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    instance = world.launch("consoles", "#!/bin/bash\necho said; sleep 60\n")
    world.ec2.create_tags(
        Resources=[instance], Tags=[{"Key": "parris:deployment", "Value": "yours"}]
    )
    with pytest.raises(ClientError, match="GetConsoleOutput"):
        reader.get_console_output(InstanceId=instance)
    world.ec2.create_tags(
        Resources=[instance], Tags=[{"Key": "parris:deployment", "Value": "mine"}]
    )
    assert reader.get_console_output(InstanceId=instance)["InstanceId"] == instance
    world.cloudformation.delete_stack(StackName="consoles")
