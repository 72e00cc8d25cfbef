"""Any event that may start a training, read into one value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .errors import InvalidEvent
from .parameters import read_parameters

DEFAULT_JOB = "default"
"""The job at the root of the config bucket."""

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_DIRECT_KEYS = {"job", "parameters", "event-id", "time", "schedule"}
_EVENTBRIDGE_KEYS = {"id", "time", "source", "detail-type", "account", "region", "resources"}
_BUTTON_KEYS = {"serialNumber", "batteryVoltage", "clickType", "topic", "traceid", "timestamp"}
_ONE_CLICK_KEYS = {"deviceEvent", "deviceInfo", "placementInfo"}


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """What one event asks for."""

    job: str
    identity: str
    """Equal for two deliveries of one event, different for two events."""
    kind: str
    """``direct``, ``schedule`` or ``button``."""
    time: datetime | None = None
    """When the event happened, by its own word; never the time of delivery."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    """What of the event is worth keeping in the run's record."""
    ignored: tuple[str, ...] = ()
    """Keys of the event that were accepted and not used."""


def read_request(event: object, request_id: str) -> LaunchRequest:
    """Return what `event` asks for.

    Args:
        event: the decoded JSON that Lambda hands to the function, of any origin.
        request_id: Lambda's own id of the invocation, the identity of an event that has none
            (an asynchronous retry keeps it).

    Raises:
        InvalidEvent: if nothing can be started from it; the text says why.
    """
    if event is None:
        event = {}
    if not isinstance(event, dict):
        raise InvalidEvent(
            f"the event is a JSON {_json_type(event)}, not an object; send {{}} for the default "
            'job or {"job": "<name>"}'
        )
    if "deviceEvent" in event:
        return _one_click(event)
    if "clickType" in event or "serialNumber" in event:
        return _button(event, request_id)
    if event.get("source") == "aws.events" and "detail-type" in event:
        return _scheduled_event(event)
    return _direct(event, request_id)


def _direct(event: Mapping[str, Any], request_id: str) -> LaunchRequest:
    event_id = _text(event, "event-id", "") or f"request:{request_id}"
    schedule = _text(event, "schedule", "")
    time = _time(event.get("time"), "time")
    identity = f"{schedule or 'direct'}:{event_id}"
    return LaunchRequest(
        job=_job(event.get("job", DEFAULT_JOB)),
        identity=identity,
        kind="schedule" if schedule else "direct",
        time=time,
        parameters=_parameters(event),
        origin={"schedule": schedule, "event-id": event_id} if schedule else {"event-id": event_id},
        ignored=_rest(event, _DIRECT_KEYS),
    )


def _scheduled_event(event: Mapping[str, Any]) -> LaunchRequest:
    """EventBridge's own form, from a rule without an input transformer."""
    resources = event.get("resources")
    rule = str(resources[0]) if isinstance(resources, list) and resources else "aws.events"
    event_id = _text(event, "id", "")
    if not event_id:
        raise InvalidEvent('the scheduled event has no "id"; EventBridge always sends one')
    return LaunchRequest(
        job=_job(event.get("job", DEFAULT_JOB)),
        identity=f"{rule}:{event_id}",
        kind="schedule",
        time=_time(event.get("time"), "time"),
        parameters=_parameters(event),
        origin={"schedule": rule, "event-id": event_id},
        ignored=_rest(event, _EVENTBRIDGE_KEYS | {"job", "parameters"}),
    )


def _button(event: Mapping[str, Any], request_id: str) -> LaunchRequest:
    serial = _text(event, "serialNumber", "unknown")
    _refuse_other_clicks(event.get("clickType", "SINGLE"))
    trace = _text(event, "traceid", "") or f"request:{request_id}"
    timestamp = event.get("timestamp")
    if timestamp is not None and (isinstance(timestamp, bool) or not isinstance(timestamp, int)):
        raise InvalidEvent(f"timestamp: {timestamp!r} is not a whole number of milliseconds")
    return LaunchRequest(
        job=_job(event.get("job", DEFAULT_JOB)),
        identity=f"button:{serial}:{trace}",
        kind="button",
        time=None if timestamp is None else _from_milliseconds(timestamp),
        parameters=_parameters(event),
        origin={
            "serial-number": serial,
            "click-type": "SINGLE",
            "battery-voltage": str(event.get("batteryVoltage", "")),
            "topic": _text(event, "topic", ""),
        },
        ignored=_rest(event, _BUTTON_KEYS | {"job", "parameters"}),
    )


def _one_click(event: Mapping[str, Any]) -> LaunchRequest:
    """AWS IoT 1-Click's nested form (its developer guide, "Callback Events")."""
    clicked = _object(_object(event, "deviceEvent"), "buttonClicked")
    info = _object(event, "deviceInfo")
    _refuse_other_clicks(clicked.get("clickType", "SINGLE"))
    device = _text(info, "deviceId", "")
    reported = _text(clicked, "reportedTime", "")
    if not device or not reported:
        raise InvalidEvent(
            "the 1-Click event lacks deviceInfo.deviceId or deviceEvent.buttonClicked.reportedTime"
        )
    return LaunchRequest(
        job=_job(event.get("job", DEFAULT_JOB)),
        identity=f"button:{device}:{reported}",
        kind="button",
        time=_time(reported, "deviceEvent.buttonClicked.reportedTime"),
        origin={
            "serial-number": device,
            "click-type": "SINGLE",
            "remaining-life": str(info.get("remainingLife", "")),
        },
        ignored=_rest(event, _ONE_CLICK_KEYS | {"job"}),
    )


def _refuse_other_clicks(click: object) -> None:
    if click != "SINGLE":
        raise InvalidEvent(f"clickType: {click!r} starts nothing; only SINGLE launches the job")


def _job(value: object) -> str:
    if not isinstance(value, str) or not JOB_NAME.fullmatch(value):
        raise InvalidEvent(
            f"job: {value!r} is not a job's name (1 to 64 letters, digits, dots, hyphens or "
            "underscores, the first a letter or digit); make status lists the jobs"
        )
    return value


def _parameters(event: Mapping[str, Any]) -> dict[str, str]:
    values, problems = read_parameters(event.get("parameters", {}))
    if problems:
        raise InvalidEvent("; ".join(f"parameters: {problem}" for problem in problems))
    return values


def _text(event: Mapping[str, Any], key: str, default: str) -> str:
    value = event.get(key, default)
    if not isinstance(value, str) or len(value) > 512:
        raise InvalidEvent(f"{key}: {_short(value)} is not a string of at most 512 characters")
    return value


def _object(event: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = event.get(key)
    if not isinstance(value, dict):
        raise InvalidEvent(f"{key}: {_short(value)} is not an object")
    return value


def _time(value: object, key: str) -> datetime | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        if time is not None:
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidEvent(f"{key}: {_short(value)} is not a time in ISO 8601")


def _from_milliseconds(value: int) -> datetime:
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidEvent(f"timestamp: {_short(value)} is not a time in milliseconds") from error


def _rest(event: Mapping[str, Any], used: set[str]) -> tuple[str, ...]:
    return tuple(sorted(set(event) - used))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _json_type(value: object) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "list"
    return "boolean" if isinstance(value, bool) else "number"
