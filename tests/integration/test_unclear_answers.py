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
from parris.aws.topic import Notifier
from parris.errors import LaunchFailed, LaunchRefused, LaunchUnclear
from parris.launch import launch as use_case
from parris.launch.claim import LEASE
from parris.launch.concurrency import Concurrency
from tests.integration.test_launch import EVENT, World

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


def lose(client: Any, call: str, *, made: bool, path: str = "") -> None:
    """Lose the answer to the next call of that kind, such as ``s3.PutObject``.

    Args:
        made: whether the call has its effect all the same.
        path: in what the call's URL ends.
    """
    left = 1

    def handler(request: Any, event_name: str, **_: Any) -> None:
        nonlocal left
        if left and event_name == f"before-send.{call}" and request.url.endswith(path):
            left -= 1
            raise ReadTimeoutError(endpoint_url=request.url)

    # moto answers in a handler of this event too; what comes behind it comes after the effect.
    events = client.meta.events
    (events.register_last if made else events.register_first)("before-send", handler)


def test_a_claim_whose_answer_was_lost_is_still_this_launchs(world: World) -> None:
    lose(world.s3, "s3.PutObject", made=True, path="/run.json")
    answer = world.launch()
    assert answer["duplicate"] is False
    assert world.receipt(answer["run-id"])["state"] == "accepted"
    assert len(world.stacks()) == 1


def test_a_mark_whose_answer_was_lost_does_not_lose_its_message(world: World) -> None:
    lose(world.s3, "s3.PutObject", made=True, path="/started.json")
    world.launch()
    assert len(world.topic.heard("started")) == 1


def test_a_write_of_somebody_else_is_not_taken_for_ones_own(world: World) -> None:
    objects = Objects(s3=world.s3, results_bucket="parris-results")
    assert objects.mark("events/x.json", {"same": "content"})
    assert not objects.mark("events/x.json", {"same": "content"})


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


def test_a_launch_that_died_after_its_stack_keeps_its_deadline_and_its_stop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    whole = use_case._complete
    monkeypatch.setattr(use_case, "_complete", dies)
    with pytest.raises(KeyboardInterrupt):
        world.launch()
    monkeypatch.setattr(use_case, "_complete", whole)
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
    complete = {"state": "accepted", "stack-id": stack["StackId"]}
    assert world.receipt(run_id) == before | complete
    assert len(world.stacks()) == 1


def test_a_message_that_cannot_be_marked_does_not_say_that_nothing_was_launched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> bool:
        raise ClientError({"Error": {"Code": "SlowDown", "Message": "no"}}, "PutObject")

    monkeypatch.setattr(Notifier, "tell_once", refused)
    assert world.launch()["stack-id"] == world.stacks()[0]["StackId"]


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


def test_a_run_whose_stack_was_withdrawn_is_not_told_to_be_launched_while_that_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto deletes at once, so the stack that is going is shown to stand a little longer."""
    withdrawn = Concurrency.withdraw_if_too_many

    def withdraw(*_: Any) -> None:
        raise LaunchRefused("one run too many")

    monkeypatch.setattr(Concurrency, "withdraw_if_too_many", withdraw)
    with pytest.raises(LaunchRefused, match="too many"):
        world.launch()
    monkeypatch.setattr(Concurrency, "withdraw_if_too_many", withdrawn)
    whole = stacks.read_stack

    def going(cloudformation: Any, name: str) -> Any:
        stack = whole(cloudformation, name)
        return stack and {**stack, "StackStatus": "DELETE_IN_PROGRESS"}

    monkeypatch.setattr(stacks, "read_stack", going)
    with pytest.raises(LaunchRefused, match=r"DELETE_IN_PROGRESS.*wait until it has settled"):
        world.launch()
    monkeypatch.setattr(stacks, "read_stack", whole)
    world.cloudformation.delete_stack(StackName="one")
    assert world.launch()["duplicate"] is False
    assert len(world.stacks()) == 1
