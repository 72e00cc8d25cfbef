"""Any event becomes one LaunchRequest, or one clear refusal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parris.errors import InvalidEvent, ParrisError
from parris.plan import run_id_for
from parris.trigger import read_request

BUTTON = {"serialNumber": "G030JF055364XVRB", "batteryVoltage": "1568mV", "clickType": "SINGLE"}
ONE_CLICK = {
    "deviceEvent": {
        "buttonClicked": {"clickType": "SINGLE", "reportedTime": "2018-05-04T23:26:33.747Z"}
    },
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
    assert run_id_for(first) == run_id_for(again) != run_id_for(other)


def test_the_nested_one_click_form_is_understood() -> None:
    request = read_request(ONE_CLICK, "r")
    assert request.kind == "button"
    assert request.origin["serial-number"] == "G030PMXXXXXXXXXX"
    assert run_id_for(request).startswith("20180504-232633-")


@pytest.mark.parametrize("click", ["DOUBLE", "LONG", "TRIPLE", None])
def test_any_other_click_launches_nothing(click: str | None) -> None:
    with pytest.raises(InvalidEvent, match="only SINGLE launches"):
        read_request(BUTTON | {"clickType": click}, "r")


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
    ],
)
def test_a_bad_event_is_refused_by_its_place(event: Any, says: str) -> None:
    with pytest.raises(InvalidEvent, match=says):
        read_request(event, "r")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        *("job", "parameters", "event-id", "time", "schedule", "serialNumber", "clickType"),
        *("traceid", "timestamp", "deviceEvent", "deviceInfo", "source", "detail-type", "id"),
    ]
)


@given(JSON | st.dictionaries(KEYS | st.text(), JSON))
def test_no_event_raises_anything_but_a_parris_error(event: Any) -> None:
    try:
        request = read_request(event, "request-1")
    except ParrisError:
        return
    assert run_id_for(request) == run_id_for(read_request(event, "request-1"))
