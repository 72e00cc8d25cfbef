"""An update that replaces a machine: launch template by name, instance by its launch template."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.local import faults
from tests.e2e.embedded_world import World, eventually, template

ENDS = ("UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
SLEEPS = "#!/bin/bash\nsleep 600\n"
OFF = "#!/bin/bash\nshutdown now\n"


@pytest.fixture(autouse=True)
def _sound_again(world: World) -> Iterator[None]:
    yield
    faults.write(world.home, {})


@pytest.fixture(scope="module")
def told(world: World) -> str:
    """The queue that hears how updates end."""
    queue = str(world.sqs.create_queue(QueueName="updates")["QueueUrl"])
    arn = world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    pattern = {
        "source": ["aws.cloudformation"],
        "detail": {"status-details": {"status": list(ENDS)}},
    }
    world.events.put_rule(Name="updates", EventPattern=json.dumps(pattern))
    target = {"Id": "1", "Arn": arn["Attributes"]["QueueArn"]}
    world.events.put_targets(Rule="updates", Targets=[target])  # type: ignore[list-item]
    return queue


def named(name: str, script: str) -> str:
    body = json.loads(template(script))
    body["Resources"]["Machine"]["Properties"]["LaunchTemplateName"] = name
    return json.dumps(body)


def create(world: World, stack: str, script: str) -> str:
    """Make a stack of attempt 1; return its instance."""
    world.cloudformation.create_stack(
        StackName=stack,
        TemplateBody=named(f"{stack}-1", script),
        Tags=[{"Key": "attempt", "Value": "1"}],
    )
    world.cloudformation.get_waiter("stack_create_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    return world.instance_of(stack)


def update(world: World, stack: str, template_name: str = "") -> dict[str, Any]:
    """Ask for attempt 2; return the stack once it has settled."""
    world.cloudformation.update_stack(
        StackName=stack,
        TemplateBody=named(template_name or f"{stack}-2", SLEEPS),
        Tags=[{"Key": "attempt", "Value": "2"}],
        ClientRequestToken=f"parris-reap-{stack}",
    )

    def settled() -> dict[str, Any] | None:
        found = world.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        return dict(found) if found["StackStatus"] in ENDS else None

    return eventually(settled, "the update is over") or {}


def templates(world: World, stack: str) -> list[str]:
    found = world.ec2.describe_launch_templates()["LaunchTemplates"]
    names = [one["LaunchTemplateName"] for one in found]
    return [name for name in names if name.startswith(f"{stack}-")]


def steps(world: World, stack: str) -> list[tuple[str, str]]:
    """Return what the update did, in order, by logical id and status."""
    events = world.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    token = f"parris-reap-{stack}"
    return [
        (event["LogicalResourceId"], event["ResourceStatus"])
        for event in reversed(events)
        if event.get("ClientRequestToken") == token
    ]


def machines(world: World, stack: str) -> dict[str, str]:
    """Return the states of all instances that a stack has had."""
    tag = {"Name": "tag:aws:cloudformation:stack-name", "Values": [stack]}
    answer = world.ec2.describe_instances(Filters=[tag])  # type: ignore[list-item]
    found = [one for each in answer["Reservations"] for one in each["Instances"]]
    return {one["InstanceId"]: one["State"]["Name"] for one in found}


def heard(world: World, queue: str, stack: str) -> tuple[str, str]:
    """Return the status that the bus told of a stack's update, and whose it was."""
    name = world.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackId"]

    def look() -> list[Any]:
        answer = world.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        found = [json.loads(message["Body"])["detail"] for message in answer.get("Messages", [])]
        return [detail for detail in found if detail["stack-id"] == name]

    (detail,) = eventually(look, "the event")
    return detail["status-details"]["status"], detail["client-request-token"]


def test_what_is_new_is_made_first_and_what_was_goes_last(world: World, told: str) -> None:
    old = create(world, "moves", OFF)
    world.wait_for_state(old, "terminated")  # as a machine that EC2 has taken
    stack = update(world, "moves")
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    new = world.instance_of("moves")
    assert machines(world, "moves") == {old: "terminated", new: "running"}
    assert templates(world, "moves") == ["moves-2"]
    done = steps(world, "moves")
    in_order = [
        ("Machine", "UPDATE_COMPLETE"),
        ("Instance", "UPDATE_COMPLETE"),
        ("moves", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Instance", "DELETE_COMPLETE"),
        ("Machine", "DELETE_COMPLETE"),
        ("moves", "UPDATE_COMPLETE"),
    ]
    assert [step for step in done if step in in_order] == in_order
    assert heard(world, told, "moves") == ("UPDATE_COMPLETE", "parris-reap-moves")


def test_what_a_dropped_machine_is_still_in_goes_once_that_has_ended(world: World) -> None:
    """As where a run of fewer nodes replaces another."""
    body = json.loads(template(SLEEPS))
    group = {"GroupDescription": "before"}
    body["Resources"]["Group"] = {"Type": "AWS::EC2::SecurityGroup", "Properties": group}
    body["Resources"]["Instance"]["Properties"]["SecurityGroupIds"] = [{"Ref": "Group"}]
    world.cloudformation.create_stack(StackName="dropped", TemplateBody=json.dumps(body))
    world.cloudformation.get_waiter("stack_create_complete").wait(
        StackName="dropped", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    [old] = machines(world, "dropped")
    described = world.cloudformation.describe_stack_resource
    before = described(StackName="dropped", LogicalResourceId="Group")["StackResourceDetail"]
    group["GroupDescription"] = "after"
    del body["Resources"]["Instance"]
    world.cloudformation.update_stack(StackName="dropped", TemplateBody=json.dumps(body))

    def settled() -> bool:
        [stack] = world.cloudformation.describe_stacks(StackName="dropped")["Stacks"]
        return stack["StackStatus"] in ENDS

    def is_gone() -> bool:
        groups = world.ec2.describe_security_groups()["SecurityGroups"]
        return before["PhysicalResourceId"] not in [one["GroupId"] for one in groups]

    eventually(settled, "the update is over", 60)
    eventually(is_gone, "the group that the machine was in is gone", 60)
    assert machines(world, "dropped") == {old: "terminated"}
    world.cloudformation.delete_stack(StackName="dropped")


def test_a_live_machine_ends_when_its_successor_runs(world: World) -> None:
    old = create(world, "succeeds", SLEEPS)
    assert update(world, "succeeds")["StackStatus"] == "UPDATE_COMPLETE"
    new = world.instance_of("succeeds")
    assert machines(world, "succeeds") == {old: "terminated", new: "running"}


def test_a_refused_machine_rolls_back_to_what_was_and_starts_nothing(
    world: World, told: str
) -> None:
    old = create(world, "stays", OFF)
    world.wait_for_state(old, "terminated")
    faults.write(world.home, {"capacity": [{"error": "InsufficientInstanceCapacity"}]})
    stack = update(world, "stays")
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert stack["Tags"] == [{"Key": "attempt", "Value": "1"}]
    assert world.instance_of("stays") == old
    assert machines(world, "stays") == {old: "terminated"}
    assert templates(world, "stays") == ["stays-1"]
    resource = world.cloudformation.describe_stack_resource(
        StackName="stays", LogicalResourceId="Instance"
    )["StackResourceDetail"]
    assert resource["PhysicalResourceId"] == old
    assert ("Instance", "UPDATE_FAILED") in steps(world, "stays")
    assert heard(world, told, "stays") == ("UPDATE_ROLLBACK_COMPLETE", "parris-reap-stays")
    # The next attempt is made of the same stack.
    faults.write(world.home, {})
    assert update(world, "stays", "stays-3")["StackStatus"] == "UPDATE_COMPLETE"
    assert templates(world, "stays") == ["stays-3"]


def test_a_launch_templates_name_is_one_templates(world: World) -> None:
    create(world, "taken", OFF)
    create(world, "takes", OFF)
    assert update(world, "takes", "taken-1")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    events = world.cloudformation.describe_stack_events(StackName="takes")["StackEvents"]
    (said,) = [e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "UPDATE_FAILED"]
    assert "Launch template name already in use." in said
    assert templates(world, "takes") == ["takes-1"]
