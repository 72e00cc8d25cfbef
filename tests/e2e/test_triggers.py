"""Every trigger by its real rule and target, once each, and what a person is told of it."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.conftest import Clone, wait_for
from tests.notices import Topic

DELIVERIES = 200


@pytest.fixture(scope="module")
def topic(clone: Clone) -> Topic:
    return clone.listen("triggers")


def click(clone: Clone, serial: str, kind: str, millivolts: int = 1500) -> None:
    press = {"serialNumber": serial, "batteryVoltage": f"{millivolts}mV", "clickType": kind}
    clone.publish(f"parris/button/{serial}", json.dumps(press).encode())


def test_a_run_is_told_of_when_it_starts_and_when_it_is_over(clone: Clone, topic: Topic) -> None:
    clone.publish("parris/launch/told", b'{"why": "a message"}')
    (ended,) = wait_for(lambda: topic.heard("succeeded", "told"), 90)
    (run_id,) = clone.run_ids("told")
    assert clone.read("told", run_id, "output/why.txt") == b"a message\n"
    assert ended["run-id"] == run_id
    assert ended["subject"].startswith("Parris: told succeeded after ")
    assert ended["cost-usd"] > 0
    (started,) = topic.heard("started", "told")
    assert (started["run-id"], started["trigger"]) == (run_id, "device")


def test_a_run_that_fails_is_told_of_with_the_end_of_its_log(clone: Clone, topic: Topic) -> None:
    clone.publish("parris/launch/told-failing", b"")
    (failed,) = wait_for(lambda: topic.heard("failed", "told-failing"), 90)
    assert failed["log"] == ["about to fail"]
    assert failed["exit-status"] == 3
    assert "Parris: told-failing failed after" in failed["subject"]


def test_a_double_click_tells_how_things_are(clone: Clone, topic: Topic) -> None:
    click(clone, "G030", "DOUBLE", millivolts=1100)
    (status,) = wait_for(lambda: topic.heard("status"), 60)
    assert {"told", "told-failing"} <= {run["job"] for run in status["runs"]}
    states = {run["job"]: run["state"] for run in status["runs"]}
    assert (states["told"], states["told-failing"]) == ("succeeded", "failed")


def test_a_low_battery_is_told_of_with_the_run(clone: Clone, topic: Topic) -> None:
    click(clone, "low", "SINGLE", millivolts=1100)
    found = wait_for(
        lambda: [told for told in topic.heard("started", "told") if told["trigger"] == "button"], 60
    )
    assert found[0]["notes"] == ["the button's battery is low (1100mV)"]


def test_a_payload_on_a_buttons_topic_is_a_click_of_that_button_or_nothing(
    clone: Clone, topic: Topic
) -> None:
    before = {job: clone.run_ids(job) for job in ("told", "long", "fresh", "default")}
    forged: list[dict[str, Any]] = [
        {"schedule": "x", "overlap": "replace", "job": "long", "event-id": "e", "clickType": "NO"},
        {"rule": "schedule", "schedule": "x", "job": "long", "clickType": "NO"},
        {"data-trigger": "fresh", "key": "in/forged", "rule": "data", "clickType": "NO"},
        {"serialNumber": "long-button", "job": "long", "clickType": "NO"},
    ]
    for payload in forged:
        clone.publish("parris/button/evil", json.dumps(payload).encode())

    def refused() -> list[dict[str, Any]]:
        told = topic.heard("launch-failed")
        return [one for one in told if "clickType: 'NO' does nothing" in one["reason"]]

    wait_for(lambda: len(refused()) == len(forged), 60)
    assert {job: clone.run_ids(job) for job in before} == before
    # A click with a job in it is a click of the topic's own button, whose job is "told".
    stop = {"serialNumber": "long-button", "job": "long", "clickType": "LONG"}
    clone.publish("parris/button/low", json.dumps(stop).encode())
    (asked,) = wait_for(
        lambda: [one for one in topic.heard("stop", "told") if "told" in one["subject"]], 60
    )
    assert asked["job"] == "told"


def test_a_long_click_stops_the_buttons_own_job(clone: Clone, topic: Topic) -> None:
    click(clone, "long-button", "SINGLE")
    (started,) = wait_for(lambda: topic.heard("started", "long"), 60)
    wait_for(lambda: clone.read("long", started["run-id"], "log.txt") is not None, 60)
    click(clone, "long-button", "LONG")
    outcome = clone.outcome("long", started["run-id"], 90)
    assert (outcome["state"], outcome["ended-by"]) == ("stopped", "stop")
    (stopped,) = wait_for(lambda: topic.heard("stopped", "long"), 60)
    assert stopped["run-id"] == started["run-id"]
    assert clone.read("long", started["run-id"], "output/x") == b"kept\n"


@pytest.mark.parametrize(
    ("where", "payload", "said"),
    [
        ("told", b"epochs=3", "message on parris/launch/told: its payload is not JSON"),
        ("told", b"x" * 100_000, "its payload has over 65536 bytes"),
        ("nowhere", b"{}", "job 'nowhere' has no training-config.json"),
    ],
)
def test_a_bad_message_is_one_error_in_the_log_and_on_the_topic(
    clone: Clone, topic: Topic, where: str, payload: bytes, said: str
) -> None:
    before = clone.run_ids(where)

    def told() -> list[dict[str, Any]]:
        return [one for one in topic.heard("launch-failed", where) if said in one["reason"]]

    clone.publish(f"parris/launch/{where}", payload)
    (failed,) = wait_for(told, 60)
    assert failed["subject"] == f"Parris: {where} was not launched"
    lines = clone.client("logs").get_log_events(
        logGroupName="/parris/iot-errors", logStreamName="launch"
    )["events"]
    assert len([line for line in lines if said in line["message"]]) == 1
    assert clone.run_ids(where) == before
    assert len(told()) == 1


def test_a_burst_of_new_objects_becomes_one_run_with_the_newest(
    clone: Clone, topic: Topic, data_bucket: str
) -> None:
    s3 = clone.client("s3")
    s3.put_object(Bucket=data_bucket, Key="elsewhere/a", Body=b"a")
    for name in ("a", "b", "last one"):
        version = s3.put_object(Bucket=data_bucket, Key=f"in/{name}", Body=b"a")["VersionId"]
    (started,) = wait_for(lambda: topic.heard("started", "fresh"), 120)
    assert clone.outcome("fresh", started["run-id"])["state"] == "succeeded"
    text = (clone.read("fresh", started["run-id"], "output/env.txt") or b"").decode()
    given = dict(line.split("=", 1) for line in text.splitlines())
    assert given["PARRIS_PARAM_DATA_OBJECTS"] == "3"
    assert given["PARRIS_PARAM_DATA_BUCKET"] == data_bucket
    assert given["PARRIS_PARAM_DATA_KEY"] == "in/last one"
    assert given["PARRIS_PARAM_DATA_VERSION"] == version
    assert clone.run_ids("fresh") == [started["run-id"]]


def _events() -> dict[str, dict[str, Any]]:
    """One event of each kind, as its rule hands it to the function."""
    moment = {"traceid": "one", "timestamp": 1479935578000}
    return {
        "button": {
            "rule": "button",
            "serial": "many-button",
            "topic": "parris/button/many-button",
            "payload": "e30=",
            **moment,
        },
        "device": {
            "rule": "device",
            "payload": "e30=",
            "job": "crowded",
            "topic": "parris/launch/crowded",
            **moment,
        },
        "schedule": {
            "rule": "schedule",
            "job": "crowded",
            "schedule": "x",
            "event-id": "x",
            "overlap": "skip",
        },
        "direct": {"job": "crowded", "event-id": "two"},
    }


@pytest.mark.parametrize("kind", _events())
def test_two_hundred_deliveries_of_one_event_make_one_run(
    clone: Clone, topic: Topic, kind: str
) -> None:
    event, before = _events()[kind], set(clone.run_ids("crowded"))
    # Ten at once, as in test_whole_path: here functions share the host's processors.
    with ThreadPoolExecutor(max_workers=10) as pool:
        answers = list(pool.map(lambda _: clone.invoke(event), range(DELIVERIES)))
    assert [answer for answer in answers if "errorMessage" in answer] == []
    assert sum(not answer["duplicate"] for answer in answers) == 1
    (run_id,) = {answer["run-id"] for answer in answers}
    assert clone.outcome("crowded", run_id)["state"] == "succeeded"
    assert clone.invoke(event)["duplicate"] is True  # however late
    assert set(clone.run_ids("crowded")) - before == {run_id}
    wait_for(lambda: [one for one in topic.heard("succeeded") if one["run-id"] == run_id], 60)
    told = [one["event"] for one in topic.heard(job="crowded") if one["run-id"] == run_id]
    assert sorted(told) == ["started", "succeeded"]
    wait_for(lambda: "e2e-crowded" not in _stacks(clone), 60)


def test_two_hundred_deliveries_of_one_new_object_make_one_window(clone: Clone) -> None:
    event = {"data-trigger": "fresh", "key": "in/again", "version": "", "sequencer": "0055"}
    event |= {"time": "2026-11-24T12:00:00Z", "rule": "data"}
    with ThreadPoolExecutor(max_workers=10) as pool:
        answers = list(pool.map(lambda _: clone.invoke(event), range(DELIVERIES)))
    assert [answer for answer in answers if "errorMessage" in answer] == []
    assert len({answer["window"] for answer in answers}) == 1
    assert sum(not answer["duplicate"] for answer in answers) == 1
    late = {"rule": "window", "data-trigger": "fresh", "window": answers[0]["window"]}
    wait_for(lambda: "e2e-fresh" not in _stacks(clone), 60)  # that of a run before
    runs = [clone.invoke(late) for _ in range(3)]
    assert [answer for answer in runs if "errorMessage" in answer] == []
    assert len({run["run-id"] for run in runs}) == 1
    assert clone.outcome("fresh", runs[0]["run-id"])["state"] == "succeeded"


def test_two_events_that_want_one_stack_are_refused_and_told_of(clone: Clone, topic: Topic) -> None:
    clone.publish("parris/launch/long", b"{}")
    clone.publish("parris/launch/long", b"{}")

    def refused() -> list[dict[str, Any]]:
        return [
            one
            for one in topic.heard("launch-failed", "long")
            if "stack e2e-long exists" in one["reason"]
        ]

    assert len(wait_for(refused, 60)) == 1
    clone.make("stop", "LOCAL=1", "JOB=long", "WAIT=1", check=False)


@pytest.mark.usefixtures("data_bucket")
def test_make_fire_sets_each_trigger_off(clone: Clone, topic: Topic) -> None:
    stated = len(topic.heard("status"))
    said = clone.make("fire", "LOCAL=1", "TRIGGER=button", "CLICK=DOUBLE").stdout
    assert "published a DOUBLE click of button make-fire to parris/button/make-fire" in said
    assert "the click told the newest runs' states to the notification topic" in said
    wait_for(lambda: len(topic.heard("status")) == stated + 1, 60)

    started = len(topic.heard("started", "told"))
    message = ("TRIGGER=device", "JOB=told", 'PAYLOAD={"why": "make fire"}')
    said = clone.make("fire", "LOCAL=1", *message, "WAIT=1").stdout
    assert f"run {clone.run_ids('told')[-1]} of job told launched" in said
    assert "succeeded: trainer-script.sh exited with status 0" in said
    wait_for(lambda: len(topic.heard("started", "told")) == started + 1, 60)

    message = ("TRIGGER=device", "JOB=told", 'PAYLOAD={"wy": "make fire"}')
    refused = clone.make("fire", "LOCAL=1", *message, check=False)
    assert (
        "error: the launch function refused: parameters: wy is not a parameter of job told; "
        "did you mean why?\n"
    ) in refused.stderr

    said = clone.make("fire", "LOCAL=1", "TRIGGER=schedule", "NAME=skipping").stdout
    assert re.search(r"run \S+ of job skipping (launched|is skipped: run \S+ is still)", said)
    wait_for(lambda: topic.heard("skipped", "skipping") or topic.heard("started", "skipping"), 60)

    said = clone.make("fire", "LOCAL=1", "TRIGGER=data", "KEY=in/a", "FILE=README.md").stdout
    assert "put README.md to s3://e2e-data/in/a (trigger fresh)" in said
    assert "its run begins 10 s after the first of the objects that come together" in said
    again = ("fire", "LOCAL=1", "TRIGGER=data", "KEY=in/a", "WAIT=1", "JSON=1")
    fired = clone.make(*again, check=False)
    if "stack e2e-fresh exists" in fired.stderr:  # a busy machine: the first window was over
        stacks = clone.client("cloudformation").describe_stacks
        wait_for(lambda: all(s["StackName"] != "e2e-fresh" for s in stacks()["Stacks"]), 120)
        fired = clone.make(*again)
    answer = json.loads(fired.stdout)
    assert (answer["job"], answer["state"]) == ("fresh", "succeeded")
    assert answer["run-id"] in clone.run_ids("fresh")

    def told() -> list[str]:
        ids = [started["run-id"] for started in topic.heard("started", "fresh")]
        return ids if answer["run-id"] in ids else []

    ids = wait_for(told, 120)
    assert len(set(ids)) == len(ids)  # each window is told of once


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("TRIGGER=bell",), "TRIGGER=bell: not one of button, device, schedule, data"),
        (("TRIGGER=button", "CLICK=TRIPLE"), "CLICK=TRIPLE is not one of SINGLE, DOUBLE, LONG"),
        (("TRIGGER=schedule", "NAME=x"), "NAME=x is no schedule of this deployment: often, queue"),
        (("TRIGGER=data", "NAME=fresh", "KEY=b"), "KEY=b does not begin with 'in/'"),
        (("TRIGGER=data", "KEY=in/nothing"), "there is no s3://e2e-data/in/nothing; FILE=path"),
    ],
)
@pytest.mark.usefixtures("data_bucket")
def test_make_fire_says_what_is_allowed(clone: Clone, words: tuple[str, ...], said: str) -> None:
    refused = clone.make("fire", "LOCAL=1", *words, check=False)
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_policy_for_callers_allows_to_launch_and_no_more(clone: Clone) -> None:
    [statement] = json.loads(clone.outputs["caller_policy"])["Statement"]
    assert statement["Action"] == "lambda:InvokeFunction"
    assert statement["Resource"].endswith(":function:parris-launch")


def _stacks(clone: Clone) -> set[str]:
    stacks = clone.client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"}


def test_a_runs_machine_is_taken_away_on_demand(clone: Clone) -> None:
    answer = clone.invoke({"job": "taken", "event-id": "taken"})
    run_id, wanted = answer["run-id"], ("fire", "TRIGGER=interruption", "LOCAL=1")
    wait_for(lambda: [m for m in clone.instances("taken") if m["State"]["Name"] == "running"], 60)
    (machine,) = clone.instances("taken")
    identifier = machine["InstanceId"]
    did = clone.make(*wanted, f"RUN={run_id}", "NOTICE=0").stdout
    said = f"let EC2 take spot machine {identifier} without notice, run {run_id} of job taken"
    assert said in did

    def reason() -> str:
        (found,) = [m for m in clone.instances("taken") if m["InstanceId"] == identifier]
        ended = found["State"]["Name"] == "terminated"
        return found["StateReason"]["Code"] if ended else ""

    assert wait_for(reason, 60) == "Server.SpotInstanceTermination"
    again = clone.make("fire", "TRIGGER=interruption", f"RUN={run_id}", check=False)
    assert again.returncode == 2
    assert "AWS Fault Injection Service" in again.stderr
    clone.delete_stack(answer["stack-name"])
