"""The use case of new data: all that comes within a settle window becomes one run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ..aws.storage import Storage
from ..errors import InvalidEvent, LaunchFailed, shown
from ..events.request import DEFAULT_JOB, read_key, read_text
from ..jobs.parameters import OF_NEW_DATA
from ..runs.plan import iso
from ..settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient

MARGIN = timedelta(seconds=5)
"""So long before its end a window takes no more: its run may be about to start."""

_TRIES = 10


def settle(
    event: Mapping[str, Any],
    settings: Settings,
    storage: Storage,
    scheduler: EventBridgeSchedulerClient,
    now: datetime,
) -> dict[str, Any]:
    """Put an object that has come into the open window, or open one, and return the answer.

    Every step may be done twice, so an arrival that was cut short is mended by its redelivery.
    A window ends with a one-time schedule that invokes the launch function, within a minute of its
    time (EventBridge Scheduler user guide, "Schedule types").

    Raises:
        InvalidEvent: if the trigger is not one of this deployment's.
    """
    name, key = read_text(event, "data-trigger", ""), read_key(event)
    trigger = _trigger(name, settings)
    # S3 sends an event at least once; the sequencer names what happened to the key.
    sequencer = read_text(event, "sequencer", "") or read_text(event, "version", "")
    identity = hashlib.sha256(f"{key}\n{sequencer}".encode()).hexdigest()[:16]
    seen = f"{_folder(name)}seen/{identity}.json"
    if earlier := storage.read(seen):
        return {"data-trigger": name, "window": earlier["window"], "duplicate": True}
    window = _window(name, identity, trigger, storage, now)
    _end_later(name, window, settings, scheduler)
    arrived = f"{read_text(event, 'time', '')}-{sequencer}-{identity}"
    arrival = {"key": key, "version": read_text(event, "version", "")}
    storage.mark(f"{_folder(name)}{window['window']}/{arrived}.json", arrival)
    ours = storage.mark(seen, {"window": window["window"]})
    return {
        "data-trigger": name,
        "window": window["window"],
        "launches": window["ends"],
        "duplicate": not ours,
    }


def at_the_end(event: Mapping[str, Any], settings: Settings, storage: Storage) -> dict[str, Any]:
    """Return the launch event of a window that has ended: its newest object as parameters.

    Raises:
        InvalidEvent: if there is no such trigger, or nothing in the window.
    """
    name, window = read_text(event, "data-trigger", ""), read_text(event, "window", "")
    trigger = _trigger(name, settings)
    arrivals = storage.list_keys(f"{_folder(name)}{window}/")
    if not arrivals:
        raise InvalidEvent(f"window: {shown(window)} of data trigger {name} holds no object")
    newest = storage.read(arrivals[-1])  # their names begin with their time
    told = (trigger["bucket"], newest["key"], newest["version"], len(arrivals))
    parameters = {**trigger.get("parameters", {}), **dict(zip(OF_NEW_DATA, told, strict=True))}
    return {**event, "job": trigger.get("job", DEFAULT_JOB), "parameters": parameters}


def _trigger(name: str, settings: Settings) -> Mapping[str, Any]:
    if name not in settings.data_triggers:
        known = ", ".join(sorted(settings.data_triggers)) or "none"
        raise InvalidEvent(f"data-trigger: {shown(name)} is not one of this deployment's: {known}")
    return settings.data_triggers[name]


def _folder(name: str) -> str:
    return f"events/data/{name}/"


def _window(
    name: str, identity: str, trigger: Mapping[str, Any], storage: Storage, now: datetime
) -> Mapping[str, Any]:
    """Return the open window, ``{"window", "ends"}``; open one if there is none."""
    place = f"{_folder(name)}open.json"
    for _ in range(_TRIES):
        held, etag = storage.read_tagged(place)
        if held and now < datetime.fromisoformat(held["ends"]) - MARGIN:
            return held
        ends = now + timedelta(seconds=trigger["settle_seconds"])
        opened = {"window": identity, "ends": iso(ends)}
        if storage.replace_tagged(place, opened, etag):
            return opened
    raise LaunchFailed(f"data trigger {name}: its window could not be opened in {_TRIES} tries")


def _end_later(
    name: str,
    window: Mapping[str, Any],
    settings: Settings,
    scheduler: EventBridgeSchedulerClient,
) -> None:
    ends = datetime.fromisoformat(window["ends"])
    event = {
        "rule": "window",
        "data-trigger": name,
        "window": window["window"],
        "time": window["ends"],
    }
    try:
        scheduler.create_schedule(
            GroupName=settings.schedule_group,
            Name=f"{settings.deployment}-data-{window['window']}",
            Description=f"Parris: the run of data trigger {name}.",
            ScheduleExpression=f"at({ends:%Y-%m-%dT%H:%M:%S})",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": settings.launch_function_arn,
                "RoleArn": settings.scheduler_role_arn,
                "Input": json.dumps(event),
            },
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConflictException":  # there is one already
            raise
