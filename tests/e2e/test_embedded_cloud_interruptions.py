"""EC2 takes a machine away: with notice, without, and of whatever market."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.local import interruptions
from tests.e2e.embedded_world import World, eventually

SPOT = {"InstanceMarketOptions": {"MarketType": "spot"}}
SCRIPT = """#!/bin/bash
trap 'echo TOLD TO STOP; exit' TERM
TOKEN=$(curl -sX PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 600' \
    "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/api/token")
echo READY
while :; do
  curl -sf -H "X-aws-ec2-metadata-token: $TOKEN" \
      "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data/spot/instance-action" && echo
  sleep 0.2
done
"""


@pytest.fixture(scope="module")
def told(world: World) -> list[dict[str, Any]]:
    return listen(world)


def listen(world: World) -> list[dict[str, Any]]:
    """Send EC2's events to a queue; `events_of` reads it."""
    queue = world.sqs.create_queue(QueueName="taken")["QueueUrl"]
    arn = world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    world.events.put_rule(Name="taken", EventPattern=json.dumps({"source": ["aws.ec2"]}))
    target = {"Id": "1", "Arn": arn["Attributes"]["QueueArn"]}
    world.events.put_targets(Rule="taken", Targets=[target])  # type: ignore[list-item]
    return []


def events_of(world: World, told: list[dict[str, Any]], instance: str) -> list[dict[str, Any]]:
    queue = world.sqs.get_queue_url(QueueName="taken")["QueueUrl"]
    answer = world.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    told.extend(json.loads(message["Body"]) for message in answer.get("Messages", []))
    return [event for event in told if event["detail"]["instance-id"] == instance]


def take(world: World, told: list[dict[str, Any]], instance: str, notice: int) -> list[Any]:
    """Let EC2 take a machine away; return its events once it is terminated."""
    world.wait_for_console(instance, "READY")
    interruptions.ask(world.home, instance, notice)
    world.wait_for_state(instance, "terminated")

    def found() -> list[Any]:
        events = events_of(world, told, instance)
        ended = [event for event in events if event["detail"].get("state") == "terminated"]
        return events if ended else []

    return list(eventually(found, "the event of its end"))


def warnings(events: list[Any]) -> list[Any]:
    return [event for event in events if "Interruption Warning" in event["detail-type"]]


def test_a_spot_machine_hears_of_its_end_before_it_comes(world: World, told: list[Any]) -> None:
    instance = world.launch("noticed", SCRIPT, **SPOT)
    events = take(world, told, instance, 2)
    found = world.describe(instance)
    code = "Server.SpotInstanceTermination"
    assert found["StateReason"] == {"Code": code, "Message": f"{code}: Spot instance termination"}
    assert found["StateTransitionReason"] == code
    (warning,) = warnings(events)
    zone = found["Placement"]["AvailabilityZone"]
    assert warning["detail-type"] == "EC2 Spot Instance Interruption Warning"
    assert warning["detail"] == {"instance-id": instance, "instance-action": "terminate"}
    assert warning["resources"] == [f"arn:aws:ec2:{zone}:instance/{instance}"]
    states = [event["detail"]["state"] for event in events if "state" in event["detail"]]
    assert {"shutting-down", "terminated"} <= set(states)
    console = world.console(instance)
    assert '{"action": "terminate", "time": "' in console
    assert "TOLD TO STOP" in console


def test_a_spot_machine_without_notice_is_not_asked(world: World, told: list[Any]) -> None:
    instance = world.launch("unnoticed", SCRIPT, **SPOT)
    events = take(world, told, instance, 0)
    assert world.describe(instance)["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert warnings(events) == []
    assert "instance-action" not in world.console(instance)
    assert "TOLD TO STOP" not in world.console(instance)
    assert world.alive(instance) == set()


def test_the_host_of_an_on_demand_machine_fails(world: World, told: list[Any]) -> None:
    instance = world.launch("lost", SCRIPT)
    events = take(world, told, instance, 0)
    assert world.describe(instance)["StateReason"]["Code"] == "Server.InternalError"
    assert warnings(events) == []
    assert "TOLD TO STOP" not in world.console(instance)
