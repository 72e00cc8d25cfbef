"""New data, schedules that overlap, and what is told, against moto and by a clock of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from parris.aws.arrivals import Arrivals
from parris.aws.queue import Queue
from parris.aws.told import Told
from parris.errors import InvalidConfig, InvalidEvent, LaunchRefused, StackInTheWay
from parris.launch.commit import Commit
from parris.runs.lifecycle import MAX_CLAIMS
from tests import reap_world
from tests.notices import Topic
from tests.plans import NOW, SETTINGS
from tests.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with mock_aws():
        yield World()


def arrival(key: str, sequencer: str, time: str = "2026-11-24T12:00:00Z") -> dict[str, Any]:
    """What the rule of data trigger "fresh" sends."""
    event = {"data-trigger": "fresh", "key": key, "version": f"v{sequencer}", "time": time}
    return event | {"sequencer": sequencer, "rule": "data"}


def schedules(world: World) -> list[str]:
    return [item["Name"] for item in world.scheduler.list_schedules()["Schedules"]]


def test_all_that_comes_within_the_window_is_one_run_with_the_newest(world: World) -> None:
    first = world.launch(arrival("a", "1"))
    second = world.launch(arrival("b", "3", "2026-11-24T12:00:02Z"), minutes=0.5)
    older = world.launch(arrival("c", "2", "2026-11-24T12:00:01Z"), minutes=0.6)
    assert first["launches"] == "2026-11-24T12:01:00Z"
    assert {first["window"], second["window"], older["window"]} == {first["window"]}
    assert schedules(world) == [f"parris-data-{first['window']}"]
    schedule = world.scheduler.get_schedule(
        GroupName="parris", Name=f"parris-data-{first['window']}"
    )
    end = json.loads(schedule["Target"]["Input"])
    assert end == {
        "rule": "window",
        "data-trigger": "fresh",
        "window": first["window"],
        "time": first["launches"],
    }
    answer = world.launch(end, minutes=2)
    receipt = world.receipt(answer["run-id"])
    assert receipt["trigger"]["kind"] == "data"
    assert receipt["parameters"] == {
        "data-bucket": "data",
        "data-key": "b",
        "data-version": "v3",
        "data-objects": "3",
    }
    assert world.launch(end, minutes=60)["duplicate"] is True


def test_an_object_does_not_choose_whose_checkpoints_its_run_begins_with(world: World) -> None:
    window = world.launch(arrival("a", "1") | {"resume": "last"})["window"]
    end = {"rule": "window", "data-trigger": "fresh", "window": window}
    with pytest.raises(LaunchRefused, match="resume: none of the last runs"):
        world.launch(end | {"resume": "last"}, minutes=1)  # whoever may invoke the function does
    window = world.launch(arrival("b", "2") | {"resume": "last"}, minutes=5)["window"]
    assert "resumes" not in world.launch(end | {"window": window}, minutes=7)


def test_what_comes_after_the_window_opens_another(world: World) -> None:
    first = world.launch(arrival("a", "1"))
    second = world.launch(arrival("a", "2"), minutes=0.95)  # too near to the end to be in time
    assert first["window"] != second["window"]
    assert len(schedules(world)) == 2


def test_an_object_that_is_told_of_again_an_hour_later_opens_nothing(world: World) -> None:
    first = world.launch(arrival("a", "1"))
    again = world.launch(arrival("a", "1"), minutes=60)
    assert again == {"data-trigger": "fresh", "window": first["window"], "duplicate": True}
    assert len(schedules(world)) == 1


def test_an_arrival_that_was_cut_short_is_mended_by_its_redelivery(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = world.scheduler.create_schedule
    monkeypatch.setattr(world.scheduler, "create_schedule", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.launch(arrival("a", "1"))
    monkeypatch.setattr(world.scheduler, "create_schedule", create)
    again = world.launch(arrival("a", "1"), minutes=0.1)
    assert again["duplicate"] is False
    assert schedules(world) == [f"parris-data-{again['window']}"]


def test_only_who_opens_a_window_makes_its_schedule(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    create = world.scheduler.create_schedule
    monkeypatch.setattr(
        world.scheduler, "create_schedule", lambda **call: made.append(create(**call))
    )
    windows = {world.launch(arrival(f"k{n}", str(n)))["window"] for n in range(20)}
    assert (len(windows), len(made)) == (1, 1)


def test_a_window_whose_schedule_was_never_made_is_ended_by_a_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(world.scheduler, "create_schedule", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            world.launch(arrival("a", "1"))
    second = world.launch(arrival("b", "2"), minutes=0.1)  # which does not make it either
    assert schedules(world) == []
    world.reap(minutes=2)
    assert world.sent == []  # a schedule may be a minute late, and a launch takes another
    world.reap(minutes=12)
    assert [event["window"] for event in world.sent] == [second["window"]]
    answer = world.launch(world.sent[0], minutes=13)
    assert world.receipt(answer["run-id"])["parameters"]["data-key"] == "b"
    world.reap(minutes=22)
    assert len(world.sent) == 1


def test_an_object_that_comes_while_its_window_is_closed_is_in_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.launch(arrival("a", "1"))
    end = {"rule": "window", "data-trigger": "fresh", "window": first["window"]}
    put = Arrivals.put

    def slow(arrivals: Arrivals, window: Any, *arrived: str) -> bool:
        monkeypatch.setattr(Arrivals, "put", put)
        world.launch({**end, "time": first["launches"]}, minutes=1)  # between look and write
        return put(arrivals, window, *arrived)

    monkeypatch.setattr(Arrivals, "put", slow)
    late = world.launch(arrival("b", "2"), minutes=0.8)
    assert late["window"] != first["window"]
    world.cloudformation.delete_stack(StackName="one")
    second_end = {**end, "window": late["window"], "time": late["launches"]}
    run = world.launch(second_end, minutes=3)
    assert world.receipt(run["run-id"])["parameters"]["data-key"] == "b"


def test_a_window_whose_launch_is_refused_is_told_of_and_not_sent_again(world: World) -> None:
    first = world.launch(arrival("a", "1"))
    world.put("training-config.json", "{")
    end = {"rule": "window", "data-trigger": "fresh", "window": first["window"]}
    with pytest.raises(InvalidConfig):
        world.launch({**end, "time": first["launches"]}, minutes=1)
    world.reap(minutes=12)
    assert world.sent == []


def test_a_window_of_a_version_that_kept_arrivals_in_s3_is_launched(world: World) -> None:
    for sequencer, key in (("1", "old"), ("2", "new")):
        world.s3.put_object(
            Bucket="parris-results",
            Key=f"events/data/fresh/0123456789abcdef/2026-11-24T12:00:00Z-{sequencer}-x.json",
            Body=json.dumps({"key": key, "version": "v"}).encode(),
        )
    end = {"rule": "window", "data-trigger": "fresh", "window": "0123456789abcdef"}
    answer = world.launch({**end, "time": "2026-11-24T12:01:00Z"})
    parameters = world.receipt(answer["run-id"])["parameters"]
    assert (parameters["data-key"], parameters["data-objects"]) == ("new", "2")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"data-trigger": "stale", "key": "a"}, "'stale' is not one of this deployment's: fresh"),
        ({"data-trigger": "fresh", "window": "f" * 16}, "holds no object"),
        ({"data-trigger": "fresh"}, "window: '' is not the name of a data trigger's window"),
        ({"data-trigger": "fresh", "window": "a.b"}, "window: 'a.b' is not the name"),
        ({"data-trigger": "fresh", "window": "}"}, "window: '}' is not the name"),
        ({"data-trigger": "fresh", "window": "w", "key": "a", "rule": "window"}, "not the name"),
        ({"data-trigger": "fresh", "key": "\ud800", "rule": "data"}, "key: .* is not the key"),
        ({"data-trigger": "fresh", "rule": "data"}, "key: None is not the key of an object"),
    ],
)
def test_a_trigger_or_window_that_is_not_there_is_refused(
    world: World, event: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidEvent, match=said):
        world.launch(event)


MOMENT = {"traceid": "one", "timestamp": 1795521600000}


@pytest.mark.parametrize(
    "event",
    [
        {"event-id": "mine"},
        {"rule": "schedule", "schedule": "nightly", "event-id": "s", "overlap": "skip"},
        {"rule": "button", "payload": "e30=", "serial": "G030", **MOMENT},
        {"serialNumber": "G030", "clickType": "SINGLE", **MOMENT},
        {"rule": "device", "payload": "e30=", "job": "default", "topic": "x/default", **MOMENT},
    ],
    ids=["direct", "schedule", "button", "click", "device"],
)
def test_an_event_that_comes_again_an_hour_later_starts_nothing(
    world: World, event: dict[str, Any]
) -> None:
    first = world.launch(event)
    world.cloudformation.delete_stack(StackName="one")  # its run is long over
    late = world.launch(event, minutes=60)
    assert (late["run-id"], late["duplicate"]) == (first["run-id"], True)
    assert len(world.topic.heard("started")) == 1
    stacks = world.cloudformation.list_stacks()["StackSummaries"]
    assert [stack["StackStatus"] for stack in stacks] == ["DELETE_COMPLETE"]


def scheduled(number: int, overlap: str) -> dict[str, Any]:
    event = {"schedule": "nightly", "event-id": f"s{number}", "overlap": overlap}
    return event | {"time": f"2026-11-24T1{number}:00:00Z"}


def test_a_schedule_skips_while_the_last_run_goes_and_says_so_once(world: World) -> None:
    first = world.launch(scheduled(0, "skip"))
    second = world.launch(scheduled(1, "skip"))
    assert (second["held-back"], second["stack-id"]) == ("skipped", None)
    assert second["reason"] == f"run {first['run-id']} is still going"
    assert world.receipt(second["run-id"])["state"] == "skipped"
    # Late, when the way is free: it was skipped, and stays so.
    world.cloudformation.delete_stack(StackName="one")
    assert world.launch(scheduled(1, "skip"), minutes=60)["duplicate"] is True
    [told] = world.topic.heard("skipped")
    assert told["subject"] == "Parris: default was skipped"
    assert len(world.topic.heard("started")) == 1


def test_a_schedule_replaces_the_run_that_is_going(world: World) -> None:
    world.launch(scheduled(0, "replace"))
    second = world.launch(scheduled(1, "replace"))
    [stack] = world.cloudformation.describe_stacks(StackName="one")["Stacks"]
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    assert tags["parris:run-id"] == second["run-id"]


def test_a_schedule_queues_one_and_skips_the_next(world: World) -> None:
    world.launch(scheduled(0, "queue-one"))
    second, third = (world.launch(scheduled(n, "queue-one")) for n in (1, 2))
    assert (second["held-back"], third["held-back"]) == ("queued", "skipped")
    again = world.launch(scheduled(1, "queue-one"))
    assert again["held-back"] == "queued"
    world.reap(minutes=20)
    assert world.sent == []  # its turn has not come
    world.cloudformation.delete_stack(StackName="one")
    world.reap(minutes=30)
    world.reap(minutes=40)  # the launch that was sent may have died
    assert world.sent == [scheduled(1, "queue-one")] * 2
    launched = world.launch(world.sent[0], minutes=41)
    assert (launched["run-id"], launched["duplicate"]) == (second["run-id"], False)
    assert "held-back" not in launched
    assert world.launch(world.sent[1], minutes=42)["duplicate"] is True
    world.reap(minutes=50)
    assert len(world.sent) == 2  # it has left the queue
    assert len(world.topic.heard("queued")) == 1


def test_a_schedule_whose_last_run_is_just_over_waits_for_its_stack_to_go(world: World) -> None:
    first = world.launch(scheduled(0, "skip"))
    key = f"runs/default/{first['run-id']}/outcome.json"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=b"{}")
    second = world.launch(scheduled(1, "skip"))
    assert second["held-back"] == "queued"
    assert second["reason"] == (
        f"run {first['run-id']} is just over; this one starts when its stack is gone"
    )


def test_what_waits_and_then_cannot_start_leaves_the_queue(world: World) -> None:
    world.launch(scheduled(0, "queue-one"))
    second = world.launch(scheduled(1, "queue-one"))
    world.cloudformation.delete_stack(StackName="one")
    world.put("training-config.json", "{")
    with pytest.raises(InvalidConfig):
        world.launch(scheduled(1, "queue-one"), minutes=30)
    assert Queue(world.table).waiting() == ([], [])
    assert world.record(second["run-id"]).state == "launch-failed"


def test_a_launch_that_waits_and_always_dies_is_told_of_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.launch(scheduled(0, "queue-one"))
    second = world.launch(scheduled(1, "queue-one"))
    world.cloudformation.delete_stack(StackName="one")
    world.reap(minutes=5)

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Commit, "run", dies)
    for number in range(1, MAX_CLAIMS + 2):
        if Queue(world.table).waiting()[0]:
            with pytest.raises(KeyboardInterrupt):
                world.launch(scheduled(1, "queue-one"), minutes=10 * number)
        world.reap(minutes=10 * number + 5)
    assert world.record(second["run-id"]).state == "launch-failed"
    assert not world.record(second["run-id"]).is_open
    assert len(world.topic.heard("launch-failed")) == 1
    assert Queue(world.table).waiting() == ([], [])


def test_a_schedule_whose_last_run_is_over_but_kept_is_refused(world: World) -> None:
    config = {"training-job-name": "one", "keep-stack": "always"}
    world.put("training-config.json", json.dumps(config))
    first = world.launch(scheduled(0, "skip"))
    key = f"runs/default/{first['run-id']}/outcome.json"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=b'{"state": "succeeded"}')
    with pytest.raises(StackInTheWay, match="make clean-stacks"):
        world.launch(scheduled(1, "skip"))


def test_a_launch_succeeds_though_nobody_can_be_told(world: World) -> None:
    world.topic.sns.delete_topic(TopicArn=reap_world.SETTINGS.topic_arn)
    answer = world.launch()
    assert answer["duplicate"] is False
    assert world.record(answer["run-id"]).state == "launching"  # so that a sweep tells of it
    world.topic = Topic(SETTINGS.topic_arn)
    world.reap(minutes=1)
    assert world.topic.heard("started") == []  # its launch may still do so
    for minutes in (3, 4):
        world.reap(minutes=minutes)
    [told] = world.topic.heard("started")
    assert told["stack-id"] == answer["stack-id"]
    assert world.record(answer["run-id"]).state == "accepted"


def test_the_end_of_a_run_is_told_once_with_the_end_of_its_log() -> None:
    with mock_aws():
        world = reap_world.World()
        asked: dict[str, Any] = {"keep-stack": "always", "price": {"hourly-usd": "30"}}
        instance_id = world.run("done", **asked)  # a minute is paid for at least
        said: dict[str, Any] = {"trainer-seconds": 5400, "cost-usd": 0.1, "reason": "exit 0"}
        world.end("done", instance_id, **said)
        log = "\n".join(f"line {number}" for number in range(2000))
        world.write("done", instance_id, log.encode(), "log.txt")
        for _ in range(3):
            world.reap()
        [told] = world.topic.heard()
        assert told["subject"] == "Parris: job succeeded after 90 min, $0.50"
        assert told["log"][-1] == "line 1999"
        assert len(told["log"]) == 10
        assert (told["event"], told["cost-usd"]) == ("succeeded", 0.5)
        assert told["run-id"] == reap_world.run_id("done")


@pytest.mark.parametrize("event", [{"job": "digits"}, [], "text", None, {"job": ["x"]}])
def test_whatever_the_launch_function_refused_is_told_once(event: Any) -> None:
    record = {
        "requestPayload": event,
        "requestContext": {"condition": "RetriesExhausted"},
        "responsePayload": {"errorMessage": "no such job", "errorType": "UnknownJob"},
    }
    with mock_aws():
        world = reap_world.World()
        assert world.reap(record)["duplicate"] is False
        assert world.reap(record)["duplicate"] is True
        [told] = world.topic.heard("launch-failed")
        assert told["reason"] == "no such job"


@pytest.mark.parametrize(
    ("event", "known"),
    [
        ({"job": "digits", "event-id": "e", "parameters": {"a": 1}}, {"event-id": "e"}),
        ({"topic": "t/x", "traceid": "1", "payload": ""}, {"topic": "t/x"}),
        ({"rule": "window", "data-trigger": "fresh", "window": "w"}, {"data-trigger": "fresh"}),
        ({"event-id": ["x"]}, {}),
        ("text", {}),
    ],
)
def test_a_refusal_is_remembered_with_its_reason_and_what_names_its_event(
    event: Any, known: dict[str, str]
) -> None:
    record = {"requestPayload": event, "responsePayload": {"errorMessage": "no such job"}}
    with mock_aws():
        world = reap_world.World()
        world.reap(record)
        [(key, said)] = Told(table=world.ledger.table, now=NOW).contents().items()
        assert key.endswith("/launch-failed")
        assert said == {"reason": "no such job", "event": known}


def test_two_events_without_a_name_are_two_messages() -> None:
    with mock_aws():
        world = reap_world.World()
        for request in ("r1", "r2", "r2"):
            world.reap({"requestPayload": {}, "requestContext": {"requestId": request}})
        assert len(world.topic.heard("launch-failed")) == 2


def test_a_function_that_timed_out_is_told_of_too() -> None:
    record = {"requestPayload": {}, "requestContext": {"condition": "RetriesExhausted"}}
    with mock_aws():
        world = reap_world.World()
        world.reap(record)
        [told] = world.topic.heard("launch-failed")
        assert told["reason"] == "the function gave up: RetriesExhausted"


@pytest.mark.parametrize(
    ("event", "logged"),
    [
        ({"rule": "device", "topic": "parris/launch/x", "traceid": "t"}, True),
        ({"rule": "button", "topic": "parris/button/x", "traceid": "t"}, True),
        ({"event-id": "e", "topic": "parris/button/x"}, False),
    ],
)
def test_why_a_message_started_nothing_is_written_where_its_rules_errors_are(
    event: dict[str, Any], logged: bool
) -> None:
    with mock_aws():
        world = reap_world.World()
        group = reap_world.SETTINGS.iot_log_group
        world.logs.create_log_group(logGroupName=group)
        world.reap({"requestPayload": event, "responsePayload": {"errorMessage": "no such job"}})
        streams = world.logs.describe_log_streams(logGroupName=group)["logStreams"]
        assert [stream["logStreamName"] for stream in streams] == (["launch"] if logged else [])
