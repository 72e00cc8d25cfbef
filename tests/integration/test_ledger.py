"""The ledger: room for runs, runs of earlier versions, and what a sweep does without an event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from parris.aws.queue import Queue
from parris.aws.slots import Slots
from parris.aws.told import Told
from parris.errors import LaunchUnclear, ParrisError, StackInTheWay
from parris.launch.claim import Orders
from parris.launch.commit import Commit
from parris.reap import adopt
from tests.faults.injector import Call, Death, Injector
from tests.ledger import make_table
from tests.notices import Topic
from tests.plans import NOW, SETTINGS, plan
from tests.world import EVENT, World


@pytest.fixture
def world(credentials: None) -> Iterator[World]:  # noqa: ARG001
    with mock_aws():
        yield World()


@pytest.fixture
def slots(credentials: None) -> Iterator[Slots]:  # noqa: ARG001
    with mock_aws():
        yield Slots(make_table())


def test_so_many_have_room_and_asking_twice_takes_no_more(slots: Slots) -> None:
    for name in ("a", "b", "b"):
        assert slots.take(name, f"job/{name}", 2).granted
    refused = slots.take("c", "job/c", 2)
    assert (refused.granted, refused.holders) == (False, {"a": "job/a", "b": "job/b"})
    slots.give_back("a", "job/another")  # which is not its own
    assert not slots.take("c", "job/c", 2).granted
    slots.give_back("a", "job/a")
    assert slots.take("c", "job/c", 2).granted


def test_a_run_that_wants_anothers_stack_needs_no_more_room_and_gives_it_back(slots: Slots) -> None:
    slots.take("a", "job/first", 1)
    taken = slots.take("a", "job/second", 1)
    assert (taken.granted, taken.previous) == (True, "job/first")
    slots.give_back("a", "job/second", taken.previous)
    assert slots.holders() == {"a": "job/first"}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=30))
def test_never_more_than_the_limit_count(steps: list[tuple[str, bool]]) -> None:
    with mock_aws():
        slots = Slots(make_table())
        held: set[str] = set()
        for name, wants in steps:
            if wants:
                granted = slots.take(name, f"job/{name}", 3).granted
                assert granted == (name in held or len(held) < 3)
                held |= {name} if granted else set()
            else:
                slots.give_back(name, f"job/{name}")
                held -= {name}
            assert set(slots.holders()) == held


def test_a_sweep_counts_what_stands_and_nothing_else(world: World) -> None:
    answer = world.launch()
    slots = Slots(world.table)
    slots.give_back("one", f"default/{answer['run-id']}")
    slots.set("gone", "default/20261101-000000-00000000")
    world.reap(minutes=10)
    assert slots.holders() == {"one": f"default/{answer['run-id']}"}


def test_a_launch_that_is_refused_takes_no_room_and_leaves_the_others(world: World) -> None:
    first = world.launch(max_concurrent_runs=1)
    with pytest.raises(Exception, match="stack one exists"):
        world.launch({**EVENT, "event-id": "e2"}, max_concurrent_runs=1)
    assert Slots(world.table).holders() == {"one": f"default/{first['run-id']}"}


def test_a_sweep_ends_a_run_whose_stack_went_without_an_event(world: World) -> None:
    answer = world.launch()
    world.cloudformation.delete_stack(
        StackName=answer["stack-id"], ClientRequestToken="parris-clean-stacks-1"
    )
    for minutes in (10, 20):
        world.reap(minutes=minutes)
    [told] = world.topic.heard("stopped")
    assert told["run-id"] == answer["run-id"]
    record = world.record(answer["run-id"])
    assert (record.state, record.is_open) == ("stopped", False)
    assert Slots(world.table).holders() == {}


def test_a_sweep_ends_a_run_that_was_replaced_without_an_event(world: World) -> None:
    config = {"training-job-name": "one", "stack-replacement": True}
    world.put("training-config.json", json.dumps(config))
    first = world.launch()
    second = world.launch({**EVENT, "event-id": "e2"})
    world.reap(minutes=10)
    [told] = world.topic.heard("interrupted")
    assert (told["run-id"], told["ended-by"]) == (first["run-id"], "replacement")
    assert world.record(first["run-id"]).state == "interrupted"
    assert world.record(second["run-id"]).is_open
    assert Slots(world.table).holders() == {"one": f"default/{second['run-id']}"}


def test_an_end_that_nobody_could_be_told_of_is_told_by_the_next_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = world.launch()
    world.cloudformation.delete_stack(StackName=answer["stack-id"])
    with monkeypatch.context() as patch:
        patch.setattr(Told, "begin", lambda *_: 1 / 0)
        with pytest.raises(ParrisError, match="division by zero"):
            world.reap(minutes=10)
    assert world.record(answer["run-id"]).is_open
    assert world.topic.heard("stopped") == []
    for minutes in (20, 30):
        world.reap(minutes=minutes)
    assert len(world.topic.heard("stopped")) == 1
    assert not world.record(answer["run-id"]).is_open


def put_run(world: World, run_id: str, *, job: str = "old", **receipt: Any) -> None:
    """Put a run as a version without a ledger left it."""
    body = {"run-id": run_id, "job": job, "claimed": "2026-11-24T11:00:00Z", **receipt}
    key = f"runs/{job}/{run_id}/run.json"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=json.dumps(body).encode())


def test_runs_of_a_version_without_a_ledger_are_taken_in_a_few_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopt, "AT_ONCE", 2)
    for number in range(5):
        put_run(world, f"2026112{number}-000000-0000000{number}", state="launch-failed", reason="x")
    put_run(world, "r-0123456789abcdef", job="old-too", state="skipped")
    world.s3.put_object(Bucket="parris-results", Key="runs/old/evil/run.json", Body=b"{}")
    world.s3.put_object(
        Bucket="parris-results", Key="runs/old/20261129-000000-00000000/run.json", Body=b"["
    )
    known = []
    for minutes in range(4):
        world.reap(minutes=minutes)
        known.append(len(world.ledger.newest(20)[0]))
    assert known == [2, 4, 6, 6]  # the last one cannot be read
    assert {record.state for record in world.ledger.newest(20)[0]} == {"launch-failed", "skipped"}
    assert world.topic.heard() == []
    reads = count(world, "GetObject")
    world.reap(minutes=9)
    assert reads == []  # it is done, for good


def test_a_run_of_a_version_without_a_ledger_that_is_under_way_is_seen_to_its_end(
    world: World,
) -> None:
    run_id = "20261124-110000-00000000"
    tags: Any = {"parris:deployment": "parris", "parris:job": "old", "parris:run-id": run_id}
    stack_id = world.cloudformation.create_stack(
        StackName="old",
        TemplateBody='{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}',
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )["StackId"]
    facts = {"state": "accepted", "stack-id": stack_id, "stack-name": "old"}
    put_run(world, run_id, deadline="2026-11-24T20:00:00Z", **facts)
    world.reap(minutes=1)
    assert Slots(world.table).holders() == {"old": f"old/{run_id}"}
    world.cloudformation.delete_stack(StackName="old")
    world.reap(minutes=11)
    assert len(world.topic.heard("stopped")) == 1
    assert world.record(run_id, "old").state == "stopped"
    assert Slots(world.table).holders() == {}


def count(world: World, operation: str) -> list[str]:
    """Return a list that grows with each call of S3's `operation`."""
    made: list[str] = []
    world.s3.meta.events.register(f"before-call.s3.{operation}", lambda **_: made.append(operation))
    return made


def test_the_newest_runs_come_first(world: World) -> None:
    for number in range(3):
        for job in ("a", "b"):
            run_id = f"2026112{number}-000000-00000000"
            world.ledger.adopt(job, run_id, {"state": "skipped"}, None, NOW)
    newest = [(record.job, record.run_id[:8]) for record in world.ledger.newest(3)[0]]
    assert sorted(newest[:2]) == [("a", "20261122"), ("b", "20261122")]
    assert newest[2][1] == "20261121"


def test_a_refusal_that_could_not_be_told_is_tried_again(world: World) -> None:
    record = {"requestPayload": {"event-id": "e"}, "responsePayload": {"errorMessage": "no job"}}
    world.topic.sns.delete_topic(TopicArn=SETTINGS.topic_arn)
    with pytest.raises(ParrisError, match="could not be told of; Lambda tries again"):
        world.reap(event=record)
    world.topic = Topic(SETTINGS.topic_arn)
    assert world.reap(event=record)["duplicate"] is False
    assert len(world.topic.heard("launch-failed")) == 1


def test_what_was_skipped_is_told_of_by_a_sweep_if_it_could_not_be_before(world: World) -> None:
    event = {"rule": "schedule", "schedule": "n", "overlap": "skip", "event-id": "first"}
    world.launch({**event, "time": "2026-11-24T10:00:00Z"})
    world.topic.sns.delete_topic(TopicArn=SETTINGS.topic_arn)
    second = world.launch({**event, "event-id": "second", "time": "2026-11-24T11:00:00Z"})
    assert second["held-back"] == "skipped"
    world.topic = Topic(SETTINGS.topic_arn)
    for minutes in (10, 20):
        world.reap(minutes=minutes)
    assert len(world.topic.heard("skipped")) == 1
    assert not world.record(second["run-id"]).is_open


def test_an_event_without_an_id_that_waited_is_one_run(world: World) -> None:
    event = {"overlap": "queue-one"}
    world.launch({**event, "event-id": "first"})
    queued = world.launch(event)
    world.cloudformation.delete_stack(StackName="one")
    world.reap(minutes=10)
    [sent] = world.sent
    answer = world.launch({**sent}, minutes=11)
    assert (answer["run-id"], answer["duplicate"]) == (queued["run-id"], False)


def test_what_waited_for_one_name_and_got_another_leaves_the_queue(world: World) -> None:
    event = {"rule": "schedule", "schedule": "n", "overlap": "queue-one"}
    world.launch({**event, "event-id": "first", "time": "2026-11-24T10:00:00Z"})
    world.launch({**event, "event-id": "second", "time": "2026-11-24T11:00:00Z"})
    world.put("training-config.json", '{"training-job-name": "two"}')
    world.cloudformation.delete_stack(StackName="one")
    world.reap(minutes=10)
    assert world.launch(world.sent[0], minutes=11)["stack-name"] == "two"
    world.reap(minutes=20)
    assert Queue(world.table).waiting() == ([], [])


@pytest.mark.parametrize("written", ["plan", "run.json"])
def test_a_launch_that_died_halfway_through_its_orders_is_freed(
    world: World, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    class Dies(BaseException):
        """The process is gone."""

    def dies(*_: Any, **__: Any) -> None:
        raise Dies

    with monkeypatch.context() as patch:
        if written == "plan":
            patch.setattr(Orders, "write", dies)
        else:
            patch.setattr(Commit, "_note_plan", dies)
        with pytest.raises(Dies):
            world.launch(max_concurrent_runs=1)
    for minutes in (10, 20):
        world.reap(minutes=minutes)
    [told] = world.topic.heard("launch-failed")
    assert not world.record(told["run-id"]).is_open
    assert Slots(world.table).holders() == {}
    if written == "run.json":
        assert world.receipt(told["run-id"])["state"] == "launch-failed"


def test_a_sweep_takes_no_room_from_the_launch_that_follows_a_dead_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = Injector(world.clients, Call("cloudformation.CreateStack", 1), "dies-before")
    with pytest.raises(Death), dies.at_work():
        world.launch()
    give_back = Slots.give_back

    def after_another_launch(slots: Slots, *given: Any) -> Any:
        monkeypatch.setattr(Slots, "give_back", give_back)
        world.launch(minutes=10)  # the event comes again while the sweep looks at the dead one
        return give_back(slots, *given)

    monkeypatch.setattr(Slots, "give_back", after_another_launch)
    world.reap(10)
    assert Slots.give_back is give_back
    world.launch(minutes=11)
    assert [stack["StackName"] for stack in world.stacks()] == ["one"]
    assert Slots(world.table).holders().keys() == {"one"}


def test_a_run_that_was_refused_by_an_earlier_version_may_be_launched_again(world: World) -> None:
    run_id = plan("{}", EVENT).run_id
    put_run(world, run_id, job="default", state="launch-failed", reason="x")
    assert world.launch()["duplicate"] is True
    assert world.launch(minutes=1)["duplicate"] is False
    assert world.record(run_id).state == "accepted"


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalFailure"), (400, "TokenAlreadyExistsException")]
)
def test_an_answer_of_500_or_to_a_request_sent_again_is_no_refusal(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int, code: str, *, gone: bool
) -> None:
    create = world.cloudformation.create_stack

    def breaks(**call: Any) -> None:
        create(**call)
        if gone:
            world.cloudformation.delete_stack(StackName="one")
        error: Any = {"Error": {"Code": code, "Message": ""}}
        raise ClientError(error | {"ResponseMetadata": {"HTTPStatusCode": status}}, "CreateStack")

    monkeypatch.setattr(world.cloudformation, "create_stack", breaks)
    if gone:
        with pytest.raises(LaunchUnclear):
            world.launch()
        assert world.stacks() == []
    else:
        assert world.launch()["stack-id"] == world.stacks()[0]["StackId"]


@pytest.mark.parametrize("gone", [False, True])
def test_a_request_that_was_sent_again_and_refused_may_have_made_the_stack_before(
    world: World, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    create = world.cloudformation.create_stack

    def refuses(*_: Any, **call: Any) -> None:
        if not gone:
            create(**call)
        error: Any = {"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}
        answer = {"HTTPStatusCode": 400, "RetryAttempts": 3}
        raise ClientError(error | {"ResponseMetadata": answer}, "CreateStack")

    monkeypatch.setattr(world.cloudformation, "create_stack", refuses)
    if gone:
        with pytest.raises(ClientError, match="Rate exceeded"):
            world.launch()
        assert world.stacks() == []
        monkeypatch.setattr("parris.aws.stacks.stack_of_run", refuses)  # nor can anybody look
        with pytest.raises(LaunchUnclear):
            world.launch({**EVENT, "event-id": "other"})
    else:
        assert world.launch()["stack-id"] == world.stacks()[0]["StackId"]


def test_room_that_another_run_lends_is_given_back_though_an_answer_was_lost(
    world: World,
) -> None:
    first = world.launch(max_concurrent_runs=1)
    lost = {"left": 1}

    def lose(request: Any, **_: Any) -> None:
        if lost["left"] and ":previous" in str(request.body):
            lost["left"] = 0
            raise ReadTimeoutError(endpoint_url=request.url)

    world.dynamodb.meta.events.register_last("before-send.dynamodb.UpdateItem", lose)
    with pytest.raises(StackInTheWay):
        world.launch({**EVENT, "event-id": "e2"}, max_concurrent_runs=1)
    assert lost["left"] == 0
    assert Slots(world.table).holders() == {"one": f"default/{first['run-id']}"}
