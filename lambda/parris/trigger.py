"""Any event that may start a training, read into one value."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from .buttons import Buttons, read_click, read_one_click
from .errors import InvalidEvent
from .request import (
    DEFAULT_JOB,
    OVERLAPS,
    LaunchRequest,
    read_job,
    read_parameters,
    read_text,
    read_time,
    read_timestamp,
    shown,
    unused_keys,
)

MAX_PAYLOAD_BYTES = 65_536
"""Of a message: 50 parameters of 1,024 characters fit, and little else."""

_DIRECT_KEYS = {"job", "parameters", "event-id", "time", "schedule", "overlap"}
_DEVICE_KEYS = {"job", "payload", "topic", "traceid", "timestamp"}
_DATA_KEYS = {"data-trigger", "job", "parameters", "window", "event-id", "time"}
_EVENTBRIDGE_KEYS = {"id", "time", "source", "detail-type", "account", "region", "resources"}


def is_arrival(event: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether `event` says that an object has come, as a data trigger's rule does."""
    return isinstance(event, dict) and "data-trigger" in event and "key" in event


def is_settled(event: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether `event` is the end of a data trigger's window."""
    return isinstance(event, dict) and "data-trigger" in event and "key" not in event


def read_request(event: object, request_id: str, buttons: Buttons) -> LaunchRequest:
    """Return what `event` asks for.

    Args:
        event: the decoded JSON that Lambda hands to the function, of any origin.
        request_id: Lambda's own id of the invocation, the identity of an event that has none
            (an asynchronous retry keeps it).
        buttons: what this deployment's clicks do.

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
        return read_one_click(event, buttons)
    if "clickType" in event or "serialNumber" in event:
        return read_click(event, request_id, buttons)
    if "payload" in event:
        return _message(event, request_id)
    if "data-trigger" in event:
        return _data(event)
    if event.get("source") == "aws.events" and "detail-type" in event:
        return _scheduled_event(event)
    return _direct(event, request_id)


def _direct(event: Mapping[str, Any], request_id: str) -> LaunchRequest:
    event_id = read_text(event, "event-id", "") or f"request:{request_id}"
    schedule = read_text(event, "schedule", "")
    overlap = read_text(event, "overlap", "")
    if overlap and overlap not in OVERLAPS:
        raise InvalidEvent(f"overlap: {overlap!r} is not one of {', '.join(OVERLAPS)}")
    time = read_time(event.get("time"), "time")
    identity = f"{schedule or 'direct'}:{event_id}"
    return LaunchRequest(
        job=read_job(event.get("job", DEFAULT_JOB)),
        identity=identity,
        kind="schedule" if schedule else "direct",
        overlap=overlap,
        time=time,
        parameters=read_parameters(event),
        origin={"schedule": schedule, "event-id": event_id} if schedule else {"event-id": event_id},
        ignored=unused_keys(event, _DIRECT_KEYS),
    )


def _scheduled_event(event: Mapping[str, Any]) -> LaunchRequest:
    """EventBridge's own form, from a rule without an input transformer."""
    resources = event.get("resources")
    rule = str(resources[0]) if isinstance(resources, list) and resources else "aws.events"
    event_id = read_text(event, "id", "")
    if not event_id:
        raise InvalidEvent('the scheduled event has no "id"; EventBridge always sends one')
    return LaunchRequest(
        job=read_job(event.get("job", DEFAULT_JOB)),
        identity=f"{rule}:{event_id}",
        kind="schedule",
        time=read_time(event.get("time"), "time"),
        parameters=read_parameters(event),
        origin={"schedule": rule, "event-id": event_id},
        ignored=unused_keys(event, _EVENTBRIDGE_KEYS | {"job", "parameters"}),
    )


def _message(event: Mapping[str, Any], request_id: str) -> LaunchRequest:
    """A device's message, as the topic rule hands it over: its payload base64, whatever it is."""
    topic = read_text(event, "topic", "")
    trace = read_text(event, "traceid", "") or f"request:{request_id}"
    encoded = event["payload"]
    if not isinstance(encoded, str):
        raise InvalidEvent(f"payload: {shown(encoded)} is not base64 text")
    where = f"message on {topic or 'the launch topic'}"
    if len(encoded) > MAX_PAYLOAD_BYTES * 4 / 3 + 4:
        raise InvalidEvent(f"{where}: its payload has over {MAX_PAYLOAD_BYTES} bytes")
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        parameters = json.loads(text) if text.strip() else {}
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidEvent(
            f"{where}: its payload is not JSON ({error}); send an object of parameters, "
            'such as {"epochs": 5}'
        ) from error
    try:
        given = read_parameters({"parameters": parameters})
    except InvalidEvent as error:
        raise InvalidEvent(f"{where}: {error}") from error
    return LaunchRequest(
        job=read_job(event.get("job")),
        identity=f"device:{topic}:{trace}",
        kind="device",
        time=read_timestamp(event),
        parameters=given,
        origin={"topic": topic, "traceid": trace},
        ignored=unused_keys(event, _DEVICE_KEYS),
    )


def _data(event: Mapping[str, Any]) -> LaunchRequest:
    """The end of a data trigger's settle window: one run for all that arrived in it."""
    name, window = read_text(event, "data-trigger", ""), read_text(event, "window", "")
    if not name or not window:
        raise InvalidEvent("the data trigger's event lacks its data-trigger or its window")
    return LaunchRequest(
        job=read_job(event.get("job", DEFAULT_JOB)),
        identity=f"data:{name}:{window}",
        kind="data",
        time=read_time(event.get("time"), "time"),
        parameters=read_parameters(event),
        origin={"data-trigger": name, "window": window},
        ignored=unused_keys(event, _DATA_KEYS),
    )


def _json_type(value: object) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "list"
    return "boolean" if isinstance(value, bool) else "number"
