"""An answer that never came is no refusal: what was done is found again, and told as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

from parris.aws import stacks
from parris.aws.objects import Objects
from parris.aws.slots import Slots
from parris.errors import LaunchFailed, LaunchUnclear
from parris.launch.commit import Commit
from parris.runs.record import LEASE
from tests.world import EVENT, World

LATE = LEASE.total_seconds() / 60 + 1
"""Minutes after which a claim without a stack is anybody's."""


@pytest.fixture
def world(credentials: None) -> Iterator[World]:  # noqa: ARG001
    with mock_aws():
        made = World()
        # One try, so that a test says how often an answer is lost.
        once = Config(retries={"max_attempts": 0})
        made.cloudformation = boto3.client("cloudformation", "us-east-1", config=once)
        yield made


def lose(client: Any, call: str, *, made: bool, about: str = "") -> None:
    """Lose the answer to the next call of that kind, such as ``s3.PutObject``.

    Args:
        made: whether the call has its effect all the same.
        about: what the call's URL or body contains.
    """
    left = 1

    def handler(request: Any, event_name: str, **_: Any) -> None:
        nonlocal left
        if (
            left
            and event_name == f"before-send.{call}"
            and about in f"{request.url} {request.body}"
        ):
            left -= 1
            raise ReadTimeoutError(endpoint_url=request.url)

    # moto answers in a handler of this event too; what comes behind it comes after the effect.
    events = client.meta.events
    (events.register_last if made else events.register_first)("before-send", handler)


@pytest.mark.parametrize(
    ("call", "about"),
    [
        ("PutItem", "run#default"),  # the claim
        ("UpdateItem", "receipt"),  # the plan
        ("UpdateItem", "holders"),  # the room
        ("UpdateItem", "/started"),  # the message
        ("UpdateItem", "accepted"),
    ],
)
def test_a_write_of_the_ledger_whose_answer_was_lost_is_still_this_launchs(
    world: World, call: str, about: str
) -> None:
    lose(world.table.dynamodb(), f"dynamodb.{call}", made=True, about=about)
    answer = world.launch()
    assert answer["duplicate"] is False
    assert len(world.stacks()) == 1
    assert world.record(answer["run-id"]).state == "accepted"
    assert Slots(world.table).holders() == {"one": f"default/{answer['run-id']}"}
    assert len(world.topic.heard("started")) == 1


def test_orders_whose_answer_was_lost_are_still_this_launchs(world: World) -> None:
    lose(world.s3, "s3.PutObject", made=True, about="/run.json")
    answer = world.launch()
    assert answer["duplicate"] is False
    assert world.receipt(answer["run-id"])["state"] == "accepted"
    assert len(world.stacks()) == 1


def test_a_write_of_somebody_else_is_not_taken_for_ones_own(world: World) -> None:
    objects = Objects(s3=world.s3, results_bucket="parris-results")
    objects.put("events/x.json", {"same": "content"}, IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        objects.put("events/x.json", {"same": "content"}, IfNoneMatch="*")


@pytest.mark.parametrize("replacing", [False, True])
def test_a_stack_that_was_made_without_an_answer_is_this_runs(
    world: World, replacing: bool
) -> None:
    if replacing:
        world.put("training-config.json", '{"training-job-name": "one", "stack-replacement": true}')
        world.launch({**EVENT, "event-id": "before"})
    call = "UpdateStack" if replacing else "CreateStack"
    lose(world.cloudformation, f"cloudformation.{call}", made=True)
    answer = world.launch()
    (stack,) = world.stacks()
    assert answer["stack-id"] == stack["StackId"]
    assert world.receipt(answer["run-id"])["state"] == "accepted"


def test_where_nobody_knows_nothing_is_told_and_the_event_may_come_again(world: World) -> None:
    lose(world.cloudformation, "cloudformation.CreateStack", made=False)
    with pytest.raises(LaunchUnclear, match=r"stack one .*make status"):
        world.launch()
    assert world.launch(minutes=1)["duplicate"] is True  # the first may still be at it
    answer = world.launch(minutes=LATE)
    assert answer["duplicate"] is False
    assert world.receipt(answer["run-id"])["state"] == "accepted"


def test_a_launch_that_died_after_its_stack_is_completed_and_told_of_by_a_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Commit, "_complete", dies)
        with pytest.raises(KeyboardInterrupt):
            world.launch()
    (stack,) = world.stacks()
    run_id = next(tag["Value"] for tag in stack["Tags"] if tag["Key"] == "parris:run-id")
    before = {**world.receipt(run_id), "stop": {"requested": "now", "by": "make stop"}}
    world.s3.put_object(
        Bucket="parris-results",
        Key=f"runs/default/{run_id}/run.json",
        Body=json.dumps(before).encode(),
    )
    answer = world.launch(minutes=60)
    assert (answer["duplicate"], answer["stack-id"]) == (True, stack["StackId"])
    for minutes in (60, 70):
        world.reap(minutes=minutes)
    complete = {"state": "accepted", "stack-id": stack["StackId"]}
    assert world.receipt(run_id) == before | complete  # its deadline and its stop
    assert world.record(run_id).state == "accepted"
    [told] = world.topic.heard("started")
    assert told["stack-id"] == stack["StackId"]
    assert len(world.stacks()) == 1


@pytest.mark.parametrize("step", ["_note_plan", "_take_room"])
def test_a_launch_that_died_before_its_stack_is_told_of_and_its_event_is_free(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Dies(BaseException):
        """The process is gone: nothing is undone."""

    whole = getattr(Commit, step)

    def dies(commit: Commit, *arguments: Any) -> None:
        whole(commit, *arguments)
        raise Dies

    with monkeypatch.context() as patch:
        patch.setattr(Commit, step, dies)
        with pytest.raises(Dies):
            world.launch(max_concurrent_runs=1)
    world.reap(minutes=1)
    assert world.topic.heard() == []  # that launch may still be at it
    for minutes in (10, 20):
        world.reap(minutes=minutes)
    [told] = world.topic.heard("launch-failed")
    assert told["reason"].startswith("its launch ended before CloudFormation had taken a stack on")
    assert world.receipt(told["run-id"])["state"] == "launch-failed"
    assert Slots(world.table).holders() == {}
    assert world.launch(minutes=30, max_concurrent_runs=1)["duplicate"] is False
    assert len(world.stacks()) == 1


@pytest.mark.parametrize("call", ["UpdateItem", "PutItem"])
def test_a_ledger_that_fails_after_the_stack_does_not_say_that_nothing_was_launched(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    whole = Commit._complete

    def refused(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "no"}}, call)

    def complete(commit: Commit, *arguments: Any) -> Any:
        events = world.table.dynamodb().meta.events
        events.register(f"before-call.dynamodb.{call}", refused)
        try:
            return whole(commit, *arguments)
        finally:
            events.unregister(f"before-call.dynamodb.{call}", refused)

    monkeypatch.setattr(Commit, "_complete", complete)
    answer = world.launch()
    assert answer["stack-id"] == world.stacks()[0]["StackId"]
    world.reap(minutes=3)
    assert world.record(answer["run-id"]).state == "accepted"
    assert len(world.topic.heard("started")) == 1


def test_a_stack_that_vanishes_while_it_is_looked_at_leaves_its_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.launch({**EVENT, "event-id": "before"})

    whole = stacks.read_stack

    def vanishing(cloudformation: Any, name: str) -> Any:
        monkeypatch.setattr(stacks, "read_stack", whole)
        cloudformation.delete_stack(StackName=name)
        return whole(cloudformation, name)

    monkeypatch.setattr(stacks, "read_stack", vanishing)
    answer = world.launch({**EVENT, "event-id": "after"})
    (stack,) = world.stacks()
    assert answer["stack-id"] == stack["StackId"]


def test_a_name_that_is_never_free_and_never_there_is_one_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.launch({**EVENT, "event-id": "before"})
    monkeypatch.setattr(stacks, "read_stack", lambda *_: None)
    with pytest.raises(LaunchFailed, match="came and went 3 times"):
        world.launch({**EVENT, "event-id": "after"})
