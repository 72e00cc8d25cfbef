"""The use case of new data: all that comes within a settle window becomes one run."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.arrivals import Arrivals, Window
from ..aws.storage import Storage
from ..errors import InvalidEvent, LaunchFailed, LaunchUnclear, ParrisError, shown
from ..events.request import DEFAULT_JOB, read_key, read_text
from ..events.router import end_event
from ..jobs.parameters import OF_NEW_DATA
from ..runs.times import iso
from ..settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient

log = logging.getLogger(__name__)

MARGIN = timedelta(seconds=5)
"""So long before its end a window takes no more: its run may be about to start."""

_TRIES = 10

_WINDOW_NAME = re.compile(r"[0-9a-f]{16}")


def settle(
    event: Mapping[str, Any],
    settings: Settings,
    arrivals: Arrivals,
    scheduler: Callable[[], EventBridgeSchedulerClient],
    now: datetime,
) -> dict[str, Any]:
    """Put an object that has come into the open window, or open one, and return the answer.

    Every step may be done twice, so an arrival that was cut short is mended by its redelivery.
    A window ends with a one-time schedule that invokes the launch function, within a minute of its
    time (EventBridge Scheduler user guide, "Schedule types"). Who opens it makes the schedule; of
    one that was not made a sweep sends the event.

    Raises:
        InvalidEvent: if the trigger is not one of this deployment's.
    """
    name, key = read_text(event, "data-trigger", ""), read_key(event)
    trigger = _trigger(name, settings)
    # S3 sends an event at least once; the sequencer names what happened to the key.
    sequencer = read_text(event, "sequencer", "") or read_text(event, "version", "")
    identity = hashlib.sha256(f"{key}\n{sequencer}".encode()).hexdigest()[:16]
    if earlier := arrivals.window_of(name, identity):
        return {"data-trigger": name, "window": earlier, "duplicate": True}
    arrived = f"{read_text(event, 'time', '')}-{sequencer}-{identity}"
    version = read_text(event, "version", "")
    for _ in range(_TRIES):
        window, opened = _window(name, identity, trigger, arrivals, now)
        if opened:
            _end_later(window, settings, scheduler())
        if arrivals.put(window, arrived, key, version):
            break
        # It was closed meanwhile, and may not have seen this one.
    else:
        raise LaunchFailed(f"data trigger {name}: no window stayed open in {_TRIES} tries")
    ours = arrivals.remember(name, identity, window.name)
    return {
        "data-trigger": name,
        "window": window.name,
        "launches": iso(window.ends),
        "duplicate": not ours,
    }


def end(
    event: Mapping[str, Any],
    settings: Settings,
    arrivals: Arrivals,
    storage: Storage,
    start: Callable[[dict[str, Any]], Mapping[str, Any]],
) -> Mapping[str, Any]:
    """Start the run of a window that has ended, and return the answer.

    Until the run has its stack, or was refused, the reap function sends the event again.
    """
    name, window = read_text(event, "data-trigger", ""), read_text(event, "window", "")
    if not _WINDOW_NAME.fullmatch(window):
        raise InvalidEvent(f"window: {shown(window)} is not the name of a data trigger's window")
    try:
        answer = start(_at_the_end(event, name, window, settings, arrivals, storage))
    except LaunchUnclear:
        raise
    except ParrisError:
        _finish(arrivals, name, window)
        raise
    if answer["stack-id"] or "grid" in answer or not answer["duplicate"]:
        _finish(arrivals, name, window)
    return answer


def _finish(arrivals: Arrivals, name: str, window: str) -> None:
    try:
        arrivals.finish(name, window)
    except (ClientError, BotoCoreError):
        log.exception("window %s of %s is sent again by the next sweep", window, name)


def _at_the_end(
    event: Mapping[str, Any],
    name: str,
    window: str,
    settings: Settings,
    arrivals: Arrivals,
    storage: Storage,
) -> dict[str, Any]:
    """Return the launch event of a window: its newest object as parameters.

    Raises:
        InvalidEvent: if there is no such trigger, or nothing in the window.
    """
    trigger = _trigger(name, settings)
    newest, count = arrivals.close(name, window)
    if newest is None:  # of a version that kept arrivals in S3
        keys = storage.list_keys(f"events/data/{name}/{window}/")
        newest, count = storage.read(keys[-1]) if keys else None, len(keys)
    if newest is None:
        raise InvalidEvent(f"window: {shown(window)} of data trigger {name} holds no object")
    told = (trigger["bucket"], newest["key"], newest["version"], count)
    parameters = {**trigger.get("parameters", {}), **dict(zip(OF_NEW_DATA, told, strict=True))}
    return {**event, "job": trigger.get("job", DEFAULT_JOB), "parameters": parameters}


def _trigger(name: str, settings: Settings) -> Mapping[str, Any]:
    if name not in settings.data_triggers:
        known = ", ".join(sorted(settings.data_triggers)) or "none"
        raise InvalidEvent(f"data-trigger: {shown(name)} is not one of this deployment's: {known}")
    return settings.data_triggers[name]


def _window(
    name: str, identity: str, trigger: Mapping[str, Any], arrivals: Arrivals, now: datetime
) -> tuple[Window, bool]:
    """Return the open window, and whether it was opened here for want of one."""
    for _ in range(_TRIES):
        held, takes = arrivals.open_window(name)
        if held is not None and takes and now < held.ends - MARGIN:
            return held, held.name == identity  # its opener may not have come to schedule it
        ends = (now + timedelta(seconds=trigger["settle_seconds"])).replace(microsecond=0)
        opened = Window(trigger=name, name=identity, ends=ends)
        if arrivals.open(opened, held):
            return opened, True
    raise LaunchFailed(f"data trigger {name}: its window could not be opened in {_TRIES} tries")


def _end_later(window: Window, settings: Settings, scheduler: EventBridgeSchedulerClient) -> None:
    try:
        scheduler.create_schedule(
            GroupName=settings.schedule_group,
            Name=f"{settings.deployment}-data-{window.name}",
            Description=f"Parris: the run of data trigger {window.trigger}.",
            ScheduleExpression=f"at({window.ends:%Y-%m-%dT%H:%M:%S})",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": settings.launch_function_arn,
                "RoleArn": settings.scheduler_role_arn,
                "Input": json.dumps(end_event(window.trigger, window.name, iso(window.ends))),
            },
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConflictException":  # there is one already
            raise
