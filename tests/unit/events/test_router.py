"""Any event becomes one LaunchRequest, or one clear refusal."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parris.errors import InvalidConfig, InvalidEvent, ParrisError, plain
from parris.events import router
from parris.events.buttons import Buttons
from parris.events.request import LaunchRequest
from parris.runs.plan import event_digest
from tests.plans import read_request

BUTTON = {"serialNumber": "G030JF055364XVRB", "batteryVoltage": "1568mV", "clickType": "SINGLE"}
CLICKED = {"clickType": "SINGLE", "reportedTime": "2018-05-04T23:26:33.747Z"}
ONE_CLICK = {
    "deviceEvent": {"buttonClicked": CLICKED},
    "deviceInfo": {"deviceId": "G030PMXXXXXXXXXX", "type": "button", "remainingLife": 99.9},
    "placementInfo": {"projectName": "lab", "placementName": "desk"},
}


def test_an_empty_event_asks_for_the_default_job() -> None:
    request = read_request({}, "request-1")
    assert (request.job, request.kind, request.parameters) == ("default", "direct", {})


def test_no_event_at_all_is_an_empty_one() -> None:
    assert read_request(None, "request-1") == read_request({}, "request-1")


def test_a_named_job_takes_its_parameters_as_text() -> None:
    request = read_request({"job": "digits", "parameters": {"lr": 0.1, "deep": True}}, "r")
    assert request.job == "digits"
    assert request.parameters == {"lr": "0.1", "deep": "true"}


def test_a_schedule_is_known_by_name_event_id_and_time() -> None:
    event = {
        "job": "digits",
        "schedule": "nightly",
        "event-id": "7b1e",
        "time": "2026-11-24T03:00:00Z",
    }
    request = read_request(event, "r")
    assert (request.kind, request.identity) == ("schedule", "nightly:7b1e")
    assert request.time == datetime(2026, 11, 24, 3, tzinfo=UTC)


def test_eventbridges_own_form_starts_the_default_job() -> None:
    event = {
        "source": "aws.events",
        "detail-type": "Scheduled Event",
        "id": "53dc4d37",
        "time": "2026-11-24T03:00:00Z",
        "resources": ["arn:aws:events:eu-west-1:123456789012:rule/nightly"],
        "detail": {},
    }
    request = read_request(event, "r")
    assert (request.job, request.kind) == ("default", "schedule")
    assert request.ignored == ("detail",)


def test_a_button_press_is_known_by_its_message() -> None:
    first = read_request(BUTTON | {"traceid": "t1", "timestamp": 1479935578000}, "r1")
    again = read_request(BUTTON | {"traceid": "t1", "timestamp": 1479935578000}, "r2")
    other = read_request(BUTTON | {"traceid": "t2", "timestamp": 1479935579000}, "r3")
    assert first.kind == "button"
    assert event_digest(first) == event_digest(again) != event_digest(other)


def test_the_nested_one_click_form_is_understood() -> None:
    request = read_request(ONE_CLICK, "r")
    assert request.kind == "button"
    assert request.origin["serial-number"] == "G030PMXXXXXXXXXX"
    assert request.time == datetime(2018, 5, 4, 23, 26, 33, 747000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("click", "action"), [("SINGLE", "launch"), ("DOUBLE", "status"), ("LONG", "stop")]
)
def test_a_click_does_what_its_kind_says_in_both_forms(click: str, action: str) -> None:
    nested: Any = ONE_CLICK | {"deviceEvent": {"buttonClicked": dict(CLICKED, clickType=click)}}
    for event in (BUTTON | {"clickType": click}, nested):
        request = read_request(event, "r")
        assert (request.action, request.job) == (action, "default")


def test_a_button_has_a_job_of_its_own_by_serial_number() -> None:
    buttons = Buttons(
        actions={"SINGLE": {"job": "both", "parameters": {"epochs": "3", "lr": "1"}}},
        jobs={BUTTON["serialNumber"]: "mine"},
    )
    mine = router.read_request(BUTTON | {"job": "another", "parameters": {}}, "r", buttons)
    other = router.read_request(BUTTON | {"serialNumber": "other"}, "r", buttons)
    assert (mine.job, mine.parameters) == ("mine", {"epochs": "3", "lr": "1"})
    assert mine.ignored == ("job", "parameters")
    assert (other.job, other.parameters) == ("both", {"epochs": "3", "lr": "1"})


@pytest.mark.parametrize("click", ["TRIPLE", None, 3, ["SINGLE"]])
def test_any_other_click_is_refused_with_those_there_are(click: object) -> None:
    with pytest.raises(InvalidEvent, match="button_actions has DOUBLE, LONG, SINGLE"):
        read_request(BUTTON | {"clickType": click}, "r")


@pytest.mark.parametrize(
    ("event", "notes"),
    [
        ({"batteryVoltage": "1100mV"}, ("the button's battery is low (1100mV)",)),
        ({"batteryVoltage": "1500mV"}, ()),
        ({"batteryVoltage": "unknown"}, ()),
    ],
)
def test_a_low_battery_is_noted(event: dict[str, str], notes: tuple[str, ...]) -> None:
    assert read_request(BUTTON | event, "r").notes == notes


def message(payload: bytes, **event: Any) -> dict[str, Any]:
    """What the topic rule makes of a message."""
    given = {"payload": base64.b64encode(payload).decode(), "job": "digits", "traceid": "t"}
    return given | {"topic": "parris/launch/digits", "timestamp": 1479935578000} | event


def test_a_message_launches_the_job_of_its_topic_with_its_payload() -> None:
    request = read_request(message(b'{"epochs": 3, "why": "new"}'), "r")
    assert (request.job, request.kind) == ("digits", "device")
    assert request.parameters == {"epochs": "3", "why": "new"}
    assert event_digest(request) == event_digest(read_request(message(b"{}"), "r2"))
    assert event_digest(request) != event_digest(read_request(message(b"{}", traceid="u"), "r"))
    assert read_request(message(b""), "r").parameters == {}


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"epochs=3", "payload is not JSON"),
        (b"\xff\xfe", "payload is not JSON"),
        (b"[1]", "is not an object of names and values"),
        (b"[" * 60_000, "payload is not JSON"),
        (b" " * 70_000, "over 65536 bytes"),
        (b'{"a": {}}', "parameters: a: not a string"),
    ],
)
def test_a_bad_payload_is_refused_with_its_topic(payload: bytes, said: str) -> None:
    with pytest.raises(InvalidEvent, match=said) as refusal:
        read_request(message(payload), "r")
    assert "message on parris/launch/digits: " in str(refusal.value)


RUN = "20261124-120000-0123abcd"


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("direct", {"job": "digits"}),
        ("schedule", {"schedule": "nightly", "event-id": "e", "rule": "schedule"}),
        ("schedule", {"source": "aws.events", "detail-type": "Scheduled Event", "id": "e"}),
        ("device", message(b"{}", rule="device")),
        ("data", {"rule": "window", "data-trigger": "new", "window": "0123456789abcdef"}),
    ],
)
def test_an_event_may_name_the_run_to_go_on_from(kind: str, event: dict[str, Any]) -> None:
    for named in (RUN, "last"):
        request = read_request(event | {"resume": named}, "r")
        assert (request.kind, request.resume, request.ignored) == (kind, named, ())
    assert read_request(event, "r").resume == ""
    with pytest.raises(InvalidEvent, match=r'resume: .* is neither the id of a run nor "last"'):
        read_request(event | {"resume": "../other"}, "r")


def test_a_payload_names_no_run_to_go_on_from() -> None:
    request = read_request(message(json.dumps({"resume": RUN}).encode()), "r")
    assert (request.resume, request.parameters) == ("", {"resume": RUN})


def test_a_click_goes_on_from_no_run() -> None:
    request = read_request(BUTTON | {"resume": RUN}, "r")
    assert (request.resume, request.ignored) == ("", ("resume",))


def test_an_unknown_overlap_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="overlap: 'both' is not one of skip, replace"):
        read_request({"schedule": "nightly", "event-id": "e", "overlap": "both"}, "r")


def test_other_keys_are_accepted_and_named() -> None:
    assert read_request({"job": "a", "colour": "red"}, "r").ignored == ("colour",)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ([], "not an object"),
        ("go", "not an object"),
        ({"job": "../secrets"}, "not a job's name"),
        ({"job": 7}, "not a job's name"),
        ({"job": "a\n"}, "not a job's name"),
        ({"time": "yesterday"}, "ISO 8601"),
        ({"event-id": {"a": 1}}, "event-id"),
        ({"parameters": ["a"]}, "parameters"),
        ({"parameters": {"a b": "c"}}, "'a b' is not a name"),
        ({"parameters": {"a": None}}, "a: not a string"),
        (BUTTON | {"timestamp": "now"}, "timestamp"),
        (BUTTON | {"timestamp": 10**30}, "timestamp"),
        ({"deviceEvent": {}}, "buttonClicked"),
        ({"deviceEvent": {"buttonClicked": CLICKED}, "deviceInfo": {}}, "deviceInfo.deviceId"),
        ({"rule": "schedule", "event-id": "e"}, "does not name its schedule"),
        ({"rule": "direct"}, "rule: 'direct' is not one of button, device, schedule, data, window"),
        ({"rule": ["button"]}, "is not one of button, device"),
    ],
)
def test_a_bad_event_is_refused_by_its_place(event: Any, says: str) -> None:
    with pytest.raises(InvalidEvent, match=says):
        read_request(event, "r")


TEXT = st.text(st.characters(codec=None, exclude_categories=())) | st.sampled_from(
    ["\ud800", "\x1b]0;owned\x07", "\u202e", "x" * 100_000]
)
"""Halves of surrogate pairs too, which JSON can hold and nothing can write."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXT, children),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        *("job", "parameters", "event-id", "time", "schedule", "serialNumber", "clickType", "rule"),
        *("traceid", "timestamp", "deviceEvent", "deviceInfo", "source", "detail-type", "id"),
        *("resume", "payload", "data-trigger", "window"),
    ]
)


def written(request: LaunchRequest) -> str:
    """Return what of a request goes into records, answers and messages."""
    kept = (request.job, request.kind, request.parameters, request.origin, request.ignored)
    return json.dumps([*kept, request.notes], ensure_ascii=False)


@given(JSON | st.dictionaries(KEYS | TEXT, JSON))
def test_any_event_becomes_a_request_or_a_refusal_that_can_be_written(event: Any) -> None:
    try:
        request = read_request(event, "request-1")
    except ParrisError as error:
        said = str(error)
        assert len(said.encode()) <= 8_000
        return
    assert event_digest(request) == event_digest(read_request(event, "request-1"))
    assert len(written(request).encode()) <= 500_000  # 50 parameters of 1,024 characters are most


HUGE = "\ud83d" * 10_000_000


@pytest.mark.parametrize(
    "event",
    [
        {"job": HUGE},
        {"event-id": HUGE},
        {"time": HUGE},
        {"parameters": {HUGE: 1}},
        {"parameters": HUGE},
        {"schedule": "s", "overlap": HUGE},
        {"rule": HUGE},
        {"payload": HUGE},
        {"payload": "e30=", "job": "a", "topic": HUGE},
        {"rule": "button", "serial": HUGE},
        BUTTON | {"clickType": HUGE},
        BUTTON | {"timestamp": HUGE},
        {"source": "aws.events", "detail-type": "x", "id": "e", "resources": [HUGE]},
        {"data-trigger": HUGE, "window": "w"},
    ],
    ids=lambda event: ",".join(event),
)
def test_ten_million_halves_of_characters_are_refused_in_a_line(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        read_request(event, "r")
    assert len(str(refusal.value).encode()) < 500


@pytest.mark.parametrize(
    "event",
    [
        {"event-id": "\ud800"},
        {"event-id": "e", "schedule": "\ud800"},
        {"rule": "button", "serial": "\ud800", "payload": "e30="},
        {"rule": "device", "topic": "\ud800", "job": "a", "payload": "e30="},
        {"source": "aws.events", "detail-type": "x", "id": "e", "resources": ["\ud800"]},
    ],
)
def test_half_a_character_names_no_event(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent, match=r"'\\ud800' is not a string of at most 512 whole"):
        read_request(event, "r")


def test_what_is_ignored_or_recorded_of_an_event_is_short_and_can_be_written() -> None:
    event = BUTTON | {"batteryVoltage": HUGE, HUGE: 1} | {f"key-{n}": n for n in range(10_000)}
    request = read_request(event, "r")
    assert len(written(request).encode()) < 2_000
    assert request.ignored[0] == "key-0"


@given(TEXT)
def test_every_refusal_can_be_written_and_is_short(text: str) -> None:
    for refusal in (ParrisError(text * 9), InvalidConfig(text, [text] * 9)):
        assert len(str(refusal)) <= refusal.MAX_LENGTH
        assert str(refusal).encode().decode() == str(refusal)
        assert str(refusal) == plain(str(refusal))
