"""What the kill layers lean on: schedules that call an API, stacks that are found when gone."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.embedded_world import World, eventually, template

SCHEDULER_TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": "scheduler.amazonaws.com"},
    "Action": "sts:AssumeRole",
}
DELETE_TAGGED = {
    "Effect": "Allow",
    "Action": "cloudformation:DeleteStack",
    "Resource": "*",
    "Condition": {"StringEquals": {"aws:ResourceTag/parris:deployment": "mine"}},
}


def role(world: World, name: str, statement: dict[str, Any] | None) -> str:
    """Make a role that Scheduler may assume, and return its ARN."""
    document = json.dumps({"Statement": [SCHEDULER_TRUST]})
    made = world.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    if statement:
        grant(world, name, statement)
    return str(made["Role"]["Arn"])


def grant(world: World, name: str, statement: dict[str, Any]) -> None:
    document = json.dumps({"Statement": [statement]})
    world.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)


def at(seconds: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return f"at({moment:%Y-%m-%dT%H:%M:%S})"


def dead_man(arn: str, name: str | None = None, **more: Any) -> str:
    """Return a template whose only resource deletes its stack at the parameter ``At``."""
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:cloudformation:deleteStack",
        "RoleArn": arn,
        "Input": {
            "Fn::Sub": '{"StackName": "${AWS::StackId}", "ClientRequestToken": "deadline-1"}'
        },
    }
    schedule = {
        "ScheduleExpression": {"Ref": "At"},
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": target,
    }
    if name:
        schedule["Name"] = name
    resources = {"Deadline": {"Type": "AWS::Scheduler::Schedule", "Properties": schedule}}
    parameters = {"At": {"Type": "String"}}
    return json.dumps({"Parameters": parameters, "Resources": resources | more})


def create(world: World, name: str, body: str, moment: str, deployment: str = "mine") -> str:
    """Create a stack and return its id once it is complete."""
    made = world.cloudformation.create_stack(
        StackName=name,
        TemplateBody=body,
        Parameters=[{"ParameterKey": "At", "ParameterValue": moment}],
        Tags=[{"Key": "parris:deployment", "Value": deployment}],
    )
    identifier = str(made["StackId"])
    eventually(lambda: status(world, identifier) == "CREATE_COMPLETE", f"{name} complete")
    return identifier


def status(world: World, identifier: str) -> str:
    return str(describe(world, identifier)["StackStatus"])


def describe(world: World, identifier: str) -> dict[str, Any]:
    return dict(world.cloudformation.describe_stacks(StackName=identifier)["Stacks"][0])


def events(world: World, identifier: str) -> list[dict[str, Any]]:
    answer = world.cloudformation.describe_stack_events(StackName=identifier)
    return [dict(event) for event in answer["StackEvents"]]


def schedules(world: World) -> list[str]:
    return [found["Name"] for found in world.scheduler.list_schedules()["Schedules"]]


def log(world: World) -> str:
    return (world.home / "cloud.log").read_text()


@pytest.fixture(scope="module")
def reaper(world: World) -> str:
    """The ARN of a role that may delete the stacks of one deployment."""
    return role(world, "reaper", DELETE_TAGGED)


def test_a_stack_deletes_itself_at_its_deadline_and_is_found_by_its_id(
    world: World, reaper: str
) -> None:
    identifier = create(world, "ends", dead_man(reaper, "ends"), moment := at(2))
    eventually(lambda: status(world, identifier) == "DELETE_COMPLETE", "the stack is gone", 15)
    assert "ends" not in schedules(world)
    found = describe(world, identifier)
    assert found["Tags"] == [{"Key": "parris:deployment", "Value": "mine"}]
    assert found["Parameters"] == [{"ParameterKey": "At", "ParameterValue": moment}]
    tokens = {
        event["ResourceStatus"]: event.get("ClientRequestToken")
        for event in events(world, identifier)
    }
    assert tokens["DELETE_IN_PROGRESS"] == tokens["DELETE_COMPLETE"] == "deadline-1"
    assert tokens["CREATE_COMPLETE"] is None
    with pytest.raises(ClientError, match="does not exist"):
        describe(world, "ends")
    # A schedule of the same name in a stack of the same name fires as well, and the first
    # stack is still found.
    second = create(world, "ends", dead_man(reaper, "ends"), at(1))
    assert second != identifier
    eventually(lambda: status(world, second) == "DELETE_COMPLETE", "the second is gone", 15)
    assert (describe(world, identifier)["StackId"], status(world, identifier)) == (
        identifier,
        "DELETE_COMPLETE",
    )


def test_a_stack_is_made_once_however_often_its_request_comes(world: World) -> None:
    asked: Any = {"StackName": "once", "TemplateBody": template("#!/bin/bash\n")}
    asked["ClientRequestToken"] = "token-1"
    identifier = world.cloudformation.create_stack(**asked)["StackId"]
    assert world.cloudformation.create_stack(**asked)["StackId"] == identifier
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        world.cloudformation.create_stack(**asked | {"ClientRequestToken": "token-2"})
    eventually(lambda: status(world, identifier) == "CREATE_COMPLETE", "once complete")
    world.cloudformation.delete_stack(StackName="once")
    eventually(lambda: status(world, identifier) == "DELETE_COMPLETE", "once gone")
    with pytest.raises(ClientError, match="TokenAlreadyExistsException"):
        world.cloudformation.create_stack(**asked)
    again = world.cloudformation.create_stack(**asked | {"ClientRequestToken": "token-2"})
    assert again["StackId"] != identifier
    world.cloudformation.delete_stack(StackName="once")


def test_the_end_of_a_stack_is_told_with_the_token_of_who_deleted_it(
    world: World, reaper: str
) -> None:
    queue = world.sqs.create_queue(QueueName="ends")["QueueUrl"]
    arn = world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    pattern = {
        "source": ["aws.cloudformation"],
        "detail": {"status-details": {"status": ["DELETE_COMPLETE"]}},
    }
    world.events.put_rule(Name="ends", EventPattern=json.dumps(pattern))
    target = {"Id": "1", "Arn": arn["Attributes"]["QueueArn"]}
    world.events.put_targets(Rule="ends", Targets=[target])  # type: ignore[list-item]
    identifier = create(world, "told", dead_man(reaper), at(1))

    def told() -> list[dict[str, Any]]:
        answer = world.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        found = [json.loads(message["Body"])["detail"] for message in answer.get("Messages", [])]
        return [detail for detail in found if detail["stack-id"] == identifier]

    (detail,) = eventually(told, "the event")
    assert detail["client-request-token"] == "deadline-1"


def test_scheduler_takes_on_no_role_that_does_not_trust_it(world: World) -> None:
    arn = world.iam.get_role(RoleName="machine")["Role"]["Arn"]
    identifier = create(world, "distrusted", dead_man(arn, "distrusted"), at(0))
    said = f"schedule distrusted, attempt 1 of 186: Scheduler cannot assume the role {arn}"
    eventually(lambda: said in log(world), "the refusal")
    assert status(world, identifier) == "CREATE_COMPLETE"
    world.cloudformation.delete_stack(StackName=identifier)


def test_a_schedule_cannot_delete_a_stack_of_another_deployment(world: World, reaper: str) -> None:
    identifier = create(world, "foreign", dead_man(reaper), at(1), deployment="another")
    eventually(lambda: "schedule foreign-" in log(world), "a first attempt")
    denied = "assumed-role/reaper/"
    eventually(lambda: denied in log(world) and "cloudformation:DeleteStack" in log(world), "no")
    assert status(world, identifier) == "CREATE_COMPLETE"
    world.cloudformation.delete_stack(StackName=identifier)


def test_a_denied_call_is_tried_again_until_it_is_allowed(world: World) -> None:
    arn = role(world, "late", None)
    identifier = create(world, "retried", dead_man(arn, "retried"), at(0))
    eventually(lambda: "schedule retried, attempt 2 of 186" in log(world), "a second attempt")
    assert status(world, identifier) == "CREATE_COMPLETE"
    grant(world, "late", DELETE_TAGGED)
    eventually(lambda: status(world, identifier) == "DELETE_COMPLETE", "the stack is gone")


def test_retries_end_as_the_policy_of_the_target_says(world: World) -> None:
    arn = role(world, "never", None)
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:sqs:createQueue",
        "RoleArn": arn,
        "Input": '{"QueueName": "never"}',
        "RetryPolicy": {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60},
    }
    world.scheduler.create_schedule(
        Name="twice",
        ScheduleExpression=at(0),
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,  # type: ignore[arg-type]
    )
    eventually(lambda: "schedule twice: given up after 2 attempts" in log(world), "it gives up")
    # Moved, it fires again, and any API can be called.
    allowed = {"Effect": "Allow", "Action": "sqs:CreateQueue", "Resource": "*"}
    grant(world, "never", allowed)
    world.scheduler.update_schedule(
        Name="twice",
        ScheduleExpression=at(1),
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,  # type: ignore[arg-type]
    )
    eventually(lambda: world.sqs.list_queues(QueueNamePrefix="never").get("QueueUrls"), "a queue")


@pytest.mark.parametrize("expression", ["at(tomorrow)", "at(2030-02-31T00:00:00)"])
def test_a_schedule_of_no_real_time_fails_its_stack(
    world: World, reaper: str, expression: str
) -> None:
    made = world.cloudformation.create_stack(
        StackName="mistimed",
        TemplateBody=dead_man(reaper),
        Parameters=[{"ParameterKey": "At", "ParameterValue": expression}],
    )
    identifier = made["StackId"]
    eventually(lambda: status(world, identifier) == "ROLLBACK_COMPLETE", "the stack rolls back")
    reasons = [event.get("ResourceStatusReason", "") for event in events(world, identifier)]
    assert f"Invalid Schedule Expression {expression}." in reasons
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        world.cloudformation.create_stack(StackName="mistimed", TemplateBody=dead_man(reaper))
    world.cloudformation.delete_stack(StackName="mistimed")


def test_moving_the_deadline_changes_the_schedule_and_nothing_else(
    world: World, reaper: str
) -> None:
    machine = json.loads(template("#!/bin/bash\nsleep 600\n"))["Resources"]
    machine["Instance"]["DependsOn"] = "Deadline"
    identifier = create(world, "moved", dead_man(reaper, "moved", **machine), at(3600))

    def instances() -> list[tuple[str, str]]:
        answer = world.ec2.describe_instances(
            Filters=[{"Name": "tag:aws:cloudformation:stack-name", "Values": ["moved"]}]
        )
        found = [item for each in answer["Reservations"] for item in each["Instances"]]
        return [(item["InstanceId"], item["State"]["Name"]) for item in found]

    before = instances()
    later = at(7200)
    world.cloudformation.update_stack(
        StackName=identifier,
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "At", "ParameterValue": later}],
    )
    eventually(lambda: status(world, identifier) == "UPDATE_COMPLETE", "the update")
    assert world.scheduler.get_schedule(Name="moved")["ScheduleExpression"] == later
    assert instances() == before
    assert before[0][1] == "running"
    assert describe(world, identifier)["Tags"] == [{"Key": "parris:deployment", "Value": "mine"}]
    # And its schedule deleted by hand, the stack is still deletable.
    world.scheduler.delete_schedule(Name="moved")
    world.cloudformation.delete_stack(StackName=identifier)
    world.cloudformation.delete_stack(StackName=identifier)  # twice is once
    eventually(lambda: status(world, identifier) == "DELETE_COMPLETE", "the deletion")
    assert instances() == [(before[0][0], "terminated")]
    ended = [event for event in events(world, identifier) if event["PhysicalResourceId"]]
    begun = [e for e in ended if e["ResourceStatus"] == "DELETE_IN_PROGRESS"]
    assert len([e for e in begun if e["LogicalResourceId"] == "moved"]) == 1


def test_a_stack_deleted_while_it_is_created_leaves_nothing(world: World, reaper: str) -> None:
    machine = json.loads(template("#!/bin/bash\nsleep 600\n"))["Resources"]
    twins = {
        f"Instance{number}": machine["Instance"] | {"DependsOn": f"Instance{number - 1}"}
        for number in range(1, 20)  # one after another: seconds, on a busy machine too
    }
    machine["Instance0"] = machine.pop("Instance")
    made = world.cloudformation.create_stack(
        StackName="unwanted",
        TemplateBody=dead_man(reaper, "unwanted", **machine, **twins),
        Parameters=[{"ParameterKey": "At", "ParameterValue": at(3600)}],
    )
    identifier = made["StackId"]
    world.cloudformation.delete_stack(StackName="unwanted")
    assert status(world, identifier) == "DELETE_IN_PROGRESS"
    eventually(lambda: status(world, identifier) == "DELETE_COMPLETE", "the deletion")
    own = [e["ResourceStatus"] for e in events(world, identifier)]
    assert "ROLLBACK_IN_PROGRESS" not in own
    stack = [e for e in events(world, identifier) if e["LogicalResourceId"] == "unwanted"]
    assert [e["ResourceStatus"] for e in reversed(stack)] == [
        "CREATE_IN_PROGRESS",
        "DELETE_IN_PROGRESS",
        "DELETE_COMPLETE",
    ]
    found = world.ec2.describe_instances(
        Filters=[{"Name": "tag:aws:cloudformation:stack-name", "Values": ["unwanted"]}]
    )["Reservations"]
    assert {i["State"]["Name"] for each in found for i in each["Instances"]} <= {"terminated"}
    assert len(found) < 20  # it was cut short
    assert "unwanted" not in schedules(world)
