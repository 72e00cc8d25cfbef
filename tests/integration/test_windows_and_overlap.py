"""New data, schedules that overlap, and what is told, against moto and by a clock of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from parris.aws.objects import QUEUE
from parris.errors import InvalidEvent, StackInTheWay
from tests.integration import test_reap
from tests.integration.test_launch import World


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


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"data-trigger": "stale", "key": "a"}, "'stale' is not one of this deployment's: fresh"),
        ({"data-trigger": "fresh", "window": "w"}, "holds no object"),
        ({"data-trigger": "fresh"}, "holds no object"),
        ({"data-trigger": "fresh", "window": "w", "key": "a", "rule": "window"}, "holds no object"),
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
    assert (again["held-back"], again["reason"]) == ("queued", "it waits already")
    body = world.s3.get_object(Bucket="parris-results", Key=f"{QUEUE}one.json")["Body"].read()
    world.cloudformation.delete_stack(StackName="one")
    launched = world.launch(json.loads(body)["event"], minutes=30)
    assert (launched["run-id"], launched["duplicate"]) == (second["run-id"], False)
    assert "held-back" not in launched
    assert len(world.topic.heard("queued")) == 1


def test_a_schedule_whose_last_run_is_over_but_kept_is_refused(world: World) -> None:
    first = world.launch(scheduled(0, "skip"))
    key = f"runs/default/{first['run-id']}/outcome.json"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=b'{"state": "succeeded"}')
    with pytest.raises(StackInTheWay, match="make clean-stacks"):
        world.launch(scheduled(1, "skip"))


def test_a_launch_succeeds_though_nobody_can_be_told(world: World) -> None:
    world.topic.sns.delete_topic(TopicArn=test_reap.SETTINGS.topic_arn)
    answer = world.launch()
    assert answer["duplicate"] is False
    found = world.s3.list_objects_v2(Bucket="parris-results", Prefix="events/")
    assert "Contents" not in found  # so that whoever looks next may tell


def test_what_waits_is_sent_again_when_the_stacks_name_is_free() -> None:
    with mock_aws():
        world = test_reap.World()
        for name in ("busy", "free"):
            waiting = {"run-id": name, "stack-name": name, "event": {"event-id": name}}
            world.s3.put_object(
                Bucket="results", Key=f"{QUEUE}{name}.json", Body=json.dumps(waiting).encode()
            )
        world.run("busy")
        world.reap()
        assert world.functions.sent == [{"event-id": "free"}]
        world.reap()
        assert len(world.functions.sent) == 1


def test_the_end_of_a_run_is_told_once_with_the_end_of_its_log() -> None:
    with mock_aws():
        world = test_reap.World()
        instance_id = world.run("done", **{"keep-stack": "always"})
        said: dict[str, Any] = {"trainer-seconds": 5400, "cost-usd": 0.5, "reason": "exit 0"}
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
        assert told["run-id"] == test_reap.run_id("done")


@pytest.mark.parametrize("event", [{"job": "digits"}, [], "text", None, {"job": ["x"]}])
def test_whatever_the_launch_function_refused_is_told_once(event: Any) -> None:
    record = {
        "requestPayload": event,
        "requestContext": {"condition": "RetriesExhausted"},
        "responsePayload": {"errorMessage": "no such job", "errorType": "UnknownJob"},
    }
    with mock_aws():
        world = test_reap.World()
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
        world = test_reap.World()
        world.reap(record)
        listed = world.s3.list_objects_v2(Bucket="results", Prefix="events/")["Contents"]
        [key] = [item["Key"] for item in listed]
        assert key.endswith("/launch-failed.json")
        mark = json.loads(world.s3.get_object(Bucket="results", Key=key)["Body"].read())
        assert mark == {"reason": "no such job", "event": known}


def test_two_events_without_a_name_are_two_messages() -> None:
    with mock_aws():
        world = test_reap.World()
        for request in ("r1", "r2", "r2"):
            world.reap({"requestPayload": {}, "requestContext": {"requestId": request}})
        assert len(world.topic.heard("launch-failed")) == 2


def test_a_function_that_timed_out_is_told_of_too() -> None:
    record = {"requestPayload": {}, "requestContext": {"condition": "RetriesExhausted"}}
    with mock_aws():
        world = test_reap.World()
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
        world = test_reap.World()
        group = test_reap.SETTINGS.iot_log_group
        world.logs.create_log_group(logGroupName=group)
        world.reap({"requestPayload": event, "responsePayload": {"errorMessage": "no such job"}})
        streams = world.logs.describe_log_streams(logGroupName=group)["logStreams"]
        assert [stream["logStreamName"] for stream in streams] == (["launch"] if logged else [])
