"""Runs whose launch died after their stack was made, or that never began, against moto."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from moto.ec2.models import ec2_backends

from parris.aws.queue import Queue
from parris.aws.slots import Slots
from tests.faults.injector import Call, Death, Injector
from tests.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with mock_aws():
        yield World()


def scheduled(number: int) -> dict[str, Any]:
    time = f"2026-11-24T1{number}:00:00Z"
    rule = {"rule": "schedule", "schedule": "n", "overlap": "queue-one"}
    return {**rule, "event-id": str(number), "time": time}


def stores(world: World, run_id: str) -> None:
    key = f"runs/default/{run_id}/machines/AROAEXAMPLE:i-1/alive.json"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=b"{}")


@pytest.mark.parametrize("taken", [False, True])
def test_a_run_that_waited_and_came_and_went_unnoted_keeps_nobody_waiting(
    world: World, *, taken: bool
) -> None:
    """Also where another run has got the name meanwhile."""
    world.launch(scheduled(0))
    run_id = world.launch(scheduled(1))["run-id"]
    world.cloudformation.delete_stack(StackName="one")
    world.reap(minutes=30)
    dies = Injector(world.clients, Call("cloudformation.CreateStack", 1), "dies-after")
    with pytest.raises(Death), dies.at_work():
        world.launch(world.sent[0], minutes=31)
    stores(world, run_id)
    world.cloudformation.delete_stack(StackName="one")
    ec2_backends["123456789012"]["us-east-1"].reservations.clear()  # over an hour has passed
    other = f"default/{world.launch({'event-id': 'by-hand'}, 99)['run-id']}" if taken else ""
    world.reap(minutes=100)
    world.reap(minutes=110)
    assert len(world.sent) == 1
    assert Queue(world.table).waiting() == ([], [])
    assert Slots(world.table).holders() == ({"one": other} if taken else {})
    [told] = world.topic.heard("interrupted")
    assert (told["run-id"], told["reason"]) == (run_id, "its machine is gone")
    assert not world.record(run_id).is_open


def test_what_lost_its_place_never_began_whatever_another_machine_stores(world: World) -> None:
    world.launch(scheduled(0))
    run_id = world.launch(scheduled(1))["run-id"]
    stores(world, run_id)
    Queue(world.table).leave("one", run_id)
    world.reap(minutes=10)
    assert world.record(run_id).state == "launch-failed"
    assert "its place in the queue was lost" in world.topic.heard("launch-failed")[0]["reason"]
    world.cloudformation.delete_stack(StackName="one")
    assert world.launch(scheduled(1), minutes=11)["duplicate"] is False
