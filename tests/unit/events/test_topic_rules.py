"""What is published on a topic is a click or a message of that topic, whatever it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ministack.services import iot

from parris.errors import InvalidEvent
from parris.events import router
from parris.events.buttons import Buttons
from tests.unit.events.test_router import BUTTON, JSON, KEYS, ONE_CLICK, TEXT

BUTTONS = Buttons(
    actions={"SINGLE": {"job": "both", "parameters": {"lr": "1"}}, "LONG": {"action": "stop"}},
    jobs={"G030": "mine"},
)
MESSAGE = (
    "encode(*, 'base64') AS payload, topic() AS topic, traceid() AS traceid, "
    "timestamp() AS timestamp FROM"
)
SQL = {
    "button": f"SELECT 'button' AS rule, topic(3) AS serial, {MESSAGE} 'parris/button/+'",
    "device": f"SELECT 'device' AS rule, topic(3) AS job, {MESSAGE} 'lab/train/+'",
}


def published(rule: str, topic: str, payload: bytes) -> dict[str, Any]:
    """Return what the rule hands to the function, by an engine of AWS IoT SQL."""
    event: dict[str, Any] = iot._rule_event(SQL[rule], topic, payload)
    return event | {"traceid": "t-1"}


@pytest.mark.parametrize("rule", SQL)
def test_the_rules_are_those_that_terraform_plans(rule: str) -> None:
    plans = Path(__file__).parents[2] / "terraform" / "module.tftest.hcl"
    assert f'sql == "{SQL[rule]}"' in plans.read_text()


HOSTILE = st.sampled_from(
    [
        *("rule", "payload", "serial", "topic", "overlap", "data-trigger", "key", "window"),
        *("batteryVoltage", "deviceInfo", "remainingLife", "reportedTime", "sequencer"),
    ]
)
PAYLOAD = st.binary() | (JSON | st.dictionaries(KEYS | HOSTILE | TEXT, JSON)).map(
    lambda value: json.dumps(value).encode()
)


@given(PAYLOAD)
@example(b'{"resume": "last", "rerun": "20261124-120000-0123abcd"}')
@example(b'{"schedule": "x", "overlap": "replace", "job": "evil", "event-id": "e"}')
@example(b'{"rule": "schedule", "schedule": "x", "overlap": "replace", "job": "evil"}')
@example(b'{"data-trigger": "fresh", "key": "forged"}')
@example(b'{"serialNumber": "other", "job": "evil", "parameters": {"a": "b"}, "clickType": "LONG"}')
@example(json.dumps(ONE_CLICK | {"job": "evil"}).encode())
def test_whatever_is_published_is_a_click_of_the_topics_button_or_is_refused(
    payload: bytes,
) -> None:
    event = published("button", "parris/button/G030", payload)
    assert not router.is_arrival(event)
    assert not router.is_settled(event)
    try:
        request = router.read_request(event, "r", BUTTONS)
    except InvalidEvent:
        return
    assert (request.kind, request.job, request.overlap) == ("button", "mine", "")
    assert (request.resume, request.rerun) == ("", "")
    assert request.identity == "button:G030:t-1"
    assert request.origin["serial-number"] == "G030"
    assert request.origin["topic"] == "parris/button/G030"
    assert (request.action, request.parameters) in [("launch", {"lr": "1"}), ("stop", {})]


@given(PAYLOAD)
@example(b'{"resume": "last", "rerun": "20261124-120000-0123abcd"}')
def test_whatever_is_published_launches_the_topics_job_or_is_refused(payload: bytes) -> None:
    event = published("device", "lab/train/digits", payload)
    assert not router.is_arrival(event)
    assert not router.is_settled(event)
    try:
        request = router.read_request(event, "r", BUTTONS)
    except InvalidEvent:
        return
    assert (request.kind, request.job, request.overlap) == ("device", "digits", "")
    assert (request.resume, request.rerun) == ("", "")
    assert request.identity == "device:lab/train/digits:t-1"


@pytest.mark.parametrize("pressed", [BUTTON, ONE_CLICK, {}])
def test_each_form_of_a_click_is_understood(pressed: dict[str, Any]) -> None:
    event = published("button", "parris/button/any", json.dumps(pressed | {"job": "x"}).encode())
    request = router.read_request(event, "r", BUTTONS)
    assert (request.job, request.action) == ("both", "launch")
    assert request.ignored == ("job",)
    assert request.time is not None


@pytest.mark.parametrize(
    ("topic", "payload", "said"),
    [
        ("parris/button/", b"{}", "does not end in a serial number"),
        ("parris", b"{}", "does not end in a serial number"),  # Basic Ingest takes any topic
        ("parris/button/G030", b"SINGLE", "click on parris/button/G030: its payload is not JSON"),
        ("parris/button/G030", b"[1]", "is not an object"),
        ("parris/button/G030", b'{"clickType": "TRIPLE"}', "does nothing"),
    ],
)
def test_what_is_no_click_is_refused(topic: str, payload: bytes, said: str) -> None:
    with pytest.raises(InvalidEvent, match=said):
        router.read_request(published("button", topic, payload), "r", BUTTONS)


@pytest.mark.parametrize(
    ("event", "notes"),
    [
        ({"batteryVoltage": "1100mV"}, ("the button's battery is low (1100mV)",)),
        (
            ONE_CLICK | {"deviceInfo": {"remainingLife": 4.5}},
            ("the button's battery is low (4.5 % of its life is left)",),
        ),
        (ONE_CLICK, ()),
    ],
)
def test_a_low_battery_is_noted(event: dict[str, Any], notes: tuple[str, ...]) -> None:
    given = published("button", "parris/button/G030", json.dumps(event).encode())
    assert router.read_request(given, "r", BUTTONS).notes == notes
