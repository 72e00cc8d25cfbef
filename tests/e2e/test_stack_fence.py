"""The stack role, as it is applied, reaches nothing beyond its deployment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from parris.launch.render import RESOURCE_TYPES
from scripts.local import cloud as embedded
from tests.e2e import neighbour, roles
from tests.e2e.conftest import Clone, wait_for
from tests.e2e.embedded_world import World, eventually

DATA = {"ImageId": "ami-0123456789abcdef0", "InstanceType": "t3.micro"}


def launch_template(deployment: str, **data: Any) -> dict[str, Any]:
    named = [{"ResourceType": "launch-template", "Tags": tags_of(deployment)}]
    properties = {"LaunchTemplateData": {**DATA, **data}, "TagSpecifications": named}
    return {"Type": "AWS::EC2::LaunchTemplate", "Properties": properties}


def machine(deployment: str | None, **how: Any) -> dict[str, Any]:
    properties = {"Tags": tags_of(deployment), "PropagateTagsToVolumeOnCreation": True, **how}
    return {"Type": "AWS::EC2::Instance", "Properties": properties}


def machine_with(profile: str) -> dict[str, dict[str, Any]]:
    """Return the resources of a machine of ours that has an instance profile."""
    version = {"Fn::GetAtt": ["Data", "LatestVersionNumber"]}
    from_data = {"LaunchTemplateId": {"Ref": "Data"}, "Version": version}
    data = launch_template("parris", IamInstanceProfile={"Name": profile})
    return {"It": machine("parris", LaunchTemplate=from_data), "Data": data}


def schedule(clone: Clone, group: str, role: str = "scheduler") -> dict[str, Any]:
    target = "arn:aws:scheduler:::aws-sdk:cloudformation:deleteStack"
    properties = {
        "GroupName": group,
        "Name": "parris-fence",
        "ScheduleExpression": "at(2099-01-01T00:00:00)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": target,
            "RoleArn": roles.role_arn(clone, role),
            "Input": '{"StackName": "none"}',
        },
    }
    return {"Type": "AWS::Scheduler::Schedule", "Properties": properties}


def tags_of(deployment: str | None) -> list[dict[str, str]]:
    return [{"Key": "parris:deployment", "Value": deployment}] if deployment else []


def body(**resources: Mapping[str, Any]) -> str:
    return json.dumps({"Resources": resources})


def settled(clone: Clone, name: str) -> str:
    """Return a stack's status when it has settled."""

    def end() -> str:
        stacks = clone.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        status = str(stacks[0]["StackStatus"])
        return "" if status.endswith("_IN_PROGRESS") else status

    return eventually(end, f"{name} has settled", 60)


def failure(clone: Clone, name: str, status: str) -> str:
    """Return the first reason why a resource of a stack came to `status`; "" if none did."""
    events = clone.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    failed = [one for one in events if one["ResourceStatus"] == status]
    return failed[-1]["ResourceStatusReason"] if failed else ""


def build(clone: Clone, name: str, **resources: Mapping[str, Any]) -> tuple[str, str]:
    """Make a stack with the deployment's stack role; return its end and the first failure."""
    clone.client("cloudformation").create_stack(
        StackName=name, TemplateBody=body(**resources), RoleARN=roles.role_arn(clone, "stack")
    )
    status = settled(clone, name)
    reason = failure(clone, name, "CREATE_FAILED")
    clone.delete_stack(name)
    return status, reason


def foreign_template(clone: Clone) -> dict[str, str]:
    made = clone.client("ec2").create_launch_template(
        LaunchTemplateName="foreign", LaunchTemplateData=DATA
    )
    return {"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"], "Version": "1"}


def test_the_stack_role_makes_what_is_its_deployments(clone: Clone) -> None:
    assert build(clone, "fence-own", It=launch_template("parris")) == ("CREATE_COMPLETE", "")
    assert build(clone, "fence-due", It=schedule(clone, "parris")) == ("CREATE_COMPLETE", "")


def test_the_stack_role_makes_nothing_of_another_deployment(clone: Clone) -> None:
    for name, resource, action in (
        ("fence-template", launch_template("parris-2"), "ec2:CreateLaunchTemplate"),
        ("fence-schedule", schedule(clone, "default"), "scheduler:CreateSchedule"),
        (
            "fence-machine",
            machine("parris", LaunchTemplate=foreign_template(clone)),
            "ec2:RunInstances",
        ),
    ):
        status, reason = build(clone, name, It=resource)
        assert status == "ROLLBACK_COMPLETE"
        assert f"is not authorized to perform: {action} on resource" in reason
        assert "HandlerErrorCode: AccessDenied" in reason
    made = clone.client("scheduler").list_schedules(GroupName="default")["Schedules"]
    assert "parris-fence" not in [one["Name"] for one in made]


def test_the_stack_role_gives_each_service_its_own_role_and_no_other(clone: Clone) -> None:
    roles.own_role(clone, "fence-admin", "ec2.amazonaws.com")
    own = roles.role_name("instance")
    assert build(clone, "fence-own-role", **machine_with(own)) == ("CREATE_COMPLETE", "")
    wrong = roles.profile_of(clone, roles.role_name("scheduler"))
    admin = roles.profile_of(clone, "fence-admin")
    for name, resources, passed in (
        ("fence-wrong", machine_with(wrong), wrong),
        ("fence-admin", machine_with(admin), admin),
        ("fence-late", {"It": schedule(clone, "parris", "instance")}, own),
        ("fence-stack", {"It": schedule(clone, "parris", "stack")}, roles.role_name("stack")),
    ):
        status, reason = build(clone, name, **resources)
        assert status == "ROLLBACK_COMPLETE", name
        assert "is not authorized to perform: iam:PassRole on resource" in reason
        assert f":role/{passed}" in reason


@pytest.mark.parametrize("owner", [neighbour.PREFIX, None])
def test_the_stack_role_neither_tags_nor_ends_a_machine_of_another_or_of_nobody(
    clone: Clone, owner: str | None
) -> None:
    cloudformation, ec2 = clone.client("cloudformation"), clone.client("ec2")
    name, ours = f"fence-of-{owner or 'nobody'}", roles.role_arn(clone, "stack")
    cloudformation.create_stack(StackName=name, TemplateBody=body(It=machine(owner, **DATA)))
    assert settled(clone, name) == "CREATE_COMPLETE"
    [found] = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    identifier = found["PhysicalResourceId"]

    def seen() -> tuple[str, list[dict[str, str]]]:
        answer = ec2.describe_instances(InstanceIds=[identifier])
        instance = answer["Reservations"][0]["Instances"][0]
        return instance["State"]["Name"], instance.get("Tags", [])

    before = seen()
    cloudformation.update_stack(
        StackName=name, TemplateBody=body(It=machine("parris", **DATA)), RoleARN=ours
    )
    assert settled(clone, name).startswith("UPDATE_ROLLBACK")
    assert "perform: ec2:CreateTags on resource" in failure(clone, name, "UPDATE_FAILED")
    cloudformation.delete_stack(StackName=name, RoleARN=ours)
    assert settled(clone, name) == "DELETE_FAILED"
    assert "perform: ec2:TerminateInstances on resource" in failure(clone, name, "DELETE_FAILED")
    assert seen() == before
    assert before[0] in ("pending", "running")
    cleaner = roles.own_role(clone, f"{name}-cleaner", "cloudformation.amazonaws.com")
    cloudformation.delete_stack(StackName=name, RoleARN=cleaner)
    wait_for(lambda: seen()[0] == "terminated", 60)


def neighbours_machine(clone: Clone) -> str:
    outputs = clone.client("cloudformation").describe_stacks(StackName=neighbour.STACK)
    [identifier] = [item["OutputValue"] for item in outputs["Stacks"][0]["Outputs"]]
    return str(identifier)


def test_a_run_is_launched_under_all_that_a_platform_team_asks_for(clone: Clone) -> None:
    ec2, iam = clone.client("ec2"), clone.client("iam")
    answer = ec2.describe_instances(InstanceIds=[neighbours_machine(clone)])
    [machine] = answer["Reservations"][0]["Instances"]
    assert machine["State"]["Name"] == "running"
    attached = [one["Ebs"]["VolumeId"] for one in machine["BlockDeviceMappings"]]
    volumes = ec2.describe_volumes(VolumeIds=attached)["Volumes"]
    assert volumes
    for made in (machine, *volumes):
        tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
        assert neighbour.TAG in tags.items()
        assert tags["parris:deployment"] == neighbour.PREFIX
    for principal in ("launch", "reap", "stack", "scheduler", "instance", "iot"):
        role = iam.get_role(RoleName=f"{neighbour.PREFIX}-{principal}-us-east-1")["Role"]
        assert role["Path"] == neighbour.PATH
        bound = role["PermissionsBoundary"]["PermissionsBoundaryArn"]
        assert bound.endswith(f":policy/{neighbour.BOUNDARY}")


def test_the_reap_role_reads_consoles_of_its_deployment_and_no_others(clone: Clone) -> None:
    answer = clone.invoke({"job": "private", "event-id": "console"})
    clone.outcome("private", answer["run-id"])
    ec2 = roles.client_of(clone, "reap", "ec2")
    for machine in clone.instances("private"):
        assert "parris" in ec2.get_console_output(InstanceId=machine["InstanceId"])["Output"]
    with pytest.raises(ClientError, match="GetConsoleOutput"):
        ec2.get_console_output(InstanceId=neighbours_machine(clone))


def test_the_stack_role_ends_no_machine_of_the_neighbour_by_itself(clone: Clone) -> None:
    identifier = neighbours_machine(clone)
    ec2 = roles.client_of(clone, "stack", "ec2")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.terminate_instances(InstanceIds=[identifier])
    answer = clone.client("ec2").describe_instances(InstanceIds=[identifier])
    assert answer["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"


def test_a_launch_names_the_types_of_its_template_and_no_others(clone: Clone) -> None:
    launcher, admin = roles.client_of(clone, "launch", "cloudformation"), "AWS::IAM::Role"
    request = {
        "StackName": "fence-types",
        "TemplateBody": body(It=launch_template("parris")),
        "Tags": tags_of("parris"),
    }
    for change in ("create", "update"):
        ask = getattr(launcher, f"{change}_stack")
        operation = f"{change.capitalize()}Stack"
        for types in ([], [admin], [*RESOURCE_TYPES, admin]):
            named = {"ResourceTypes": types} if types else {}
            with pytest.raises(ClientError, match=f"perform: cloudformation:{operation}"):
                ask(**request, **named)
        ask(**request, ResourceTypes=list(RESOURCE_TYPES))
        assert settled(clone, "fence-types") == f"{change.upper()}_COMPLETE"
        request["TemplateBody"] = body(It=schedule(clone, "parris"))
    clone.delete_stack("fence-types")


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
