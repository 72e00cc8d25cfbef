"""Any event that may start a training, read into one value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from ..errors import InvalidEvent, shown
from .buttons import Buttons, read_click
from .request import (
    DEFAULT_JOB,
    OVERLAPS,
    LaunchRequest,
    Trial,
    read_grid,
    read_grid_id,
    read_job,
    read_parameters,
    read_payload,
    read_rerun,
    read_resume,
    read_text,
    read_time,
    read_timestamp,
    unused_keys,
)

if TYPE_CHECKING:
    from .sent import GridEvent, RefusedEvent, RelaunchEvent, StopGridEvent, TrialEvent, WindowEvent

RULES = ("button", "device", "schedule", "data", "window", "relaunch", "trial")
"""What an event's ``rule`` may be: its rule's own literal (triggers.tf; `end_event`,
`relaunch_event`, `trial_event`)."""

_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of a trial, which nobody reads: its id follows from its grid's."""

_DIRECT_KEYS = {"rule", "job", "parameters", "event-id", "time", "schedule", "overlap"} | {
    *("resume", "rerun", "grid")
}
_DEVICE_KEYS = {"rule", "job", "payload", "topic", "traceid", "timestamp", "resume"}
_DATA_KEYS = {"rule", "data-trigger", "job", "parameters", "window", "event-id", "time", "resume"}
_EVENTBRIDGE_KEYS = {"id", "time", "source", "detail-type", "account", "region", "resources"}


def rule_of(event: Mapping[str, Any]) -> str:
    """Return what kind of event `event` is.

    Each rule puts its own name there, and whoever merely publishes a message or puts an object
    cannot change it. An event without one comes from somebody who may invoke the function, and so
    launch anything: its shape tells what it is.

    Raises:
        InvalidEvent: if it names no rule.
    """
    if "rule" in event:
        rule = event["rule"]
        if rule not in RULES:
            raise InvalidEvent(f"rule: {shown(rule)} is not one of {', '.join(RULES)}")
        return str(rule)
    if not {"deviceEvent", "clickType", "serialNumber"}.isdisjoint(event):
        return "button"
    if "payload" in event:
        return "device"
    if "data-trigger" in event:
        return "data" if "key" in event else "window"
    if event.get("source") == "aws.events" and "detail-type" in event:
        return "eventbridge"
    return "direct"


def is_arrival(event: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether `event` says that an object has come, as a data trigger's rule does."""
    return isinstance(event, dict) and rule_of(event) == "data"


def is_settled(event: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether `event` is the end of a data trigger's window."""
    return isinstance(event, dict) and rule_of(event) == "window"


def end_event(trigger: str, window: str, ends: str) -> WindowEvent:
    """Return the event that ends a data trigger's window.

    Args:
        ends: ISO 8601 UTC.
    """
    return {"rule": "window", "data-trigger": trigger, "window": window, "time": ends}


def is_relaunch(event: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether `event` asks for the next machine of a run."""
    return isinstance(event, dict) and event.get("rule") == "relaunch"


def relaunch_event(job: str, run_id: str, attempt: int) -> RelaunchEvent:
    """Return the event that asks for machine number `attempt` of a run."""
    return {"rule": "relaunch", "job": job, "run-id": run_id, "attempt": attempt}


REFUSED: Final = "refused"
"""Of an event for the reap function: the run that gets no other machine."""


def refused_event(job: str, run_id: str) -> RefusedEvent:
    """Return the event that asks the reap function to end a run without another machine."""
    return {REFUSED: {"job": job, "run_id": run_id}}


GRID: Final = "grid"
"""Of an event for the reap function: the grid to look after."""


def grid_event(job: str, grid_id: str) -> GridEvent:
    """Return the event that asks the reap function to look after a grid."""
    return {GRID: {"job": job, "grid_id": grid_id}}


def is_trial(event: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether `event` asks for a trial of a grid."""
    return isinstance(event, dict) and event.get("rule") == "trial"


STOP_GRID: Final = "stop-grid"


def stops_grid(event: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether `event` asks for the end of a grid, sent by who may invoke the function."""
    return isinstance(event, dict) and STOP_GRID in event and rule_of(event) == "direct"


def stop_grid_event(job: str, grid_id: str) -> StopGridEvent:
    return {"job": job, STOP_GRID: grid_id}


def trial_event(job: str, trial: Trial, parameters: Mapping[str, str]) -> TrialEvent:
    """Return the event that launches a trial of a grid, the same for each of its launches."""
    return {
        "rule": "trial",
        "job": job,
        "grid": trial.grid_id,
        "trial": trial.number,
        "cost-limit-micros": trial.cost_limit_micros,
        "parameters": dict(parameters),
        "history": trial.follows,
    }


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
    match rule_of(event):
        case "button":
            return read_click(event, request_id, buttons)
        case "device":
            return _message(event, request_id)
        case "data" | "window":
            return _data(event)
        case "eventbridge":
            return _scheduled_event(event)
        case "trial":
            return _trial(event)
        case _:
            return _direct(event, request_id)


def _direct(event: Mapping[str, Any], request_id: str) -> LaunchRequest:
    event_id = read_text(event, "event-id", "") or f"request:{request_id}"
    schedule = read_text(event, "schedule", "")
    if event.get("rule") == "schedule" and not schedule:
        raise InvalidEvent("the schedule's event does not name its schedule")
    overlap = read_text(event, "overlap", "")
    if overlap and overlap not in OVERLAPS:
        raise InvalidEvent(f"overlap: {shown(overlap)} is not one of {', '.join(OVERLAPS)}")
    time = read_time(event.get("time"), "time")
    identity = f"{schedule or 'direct'}:{event_id}"
    return LaunchRequest(
        job=read_job(event.get("job", DEFAULT_JOB)),
        identity=identity,
        kind="schedule" if schedule else "direct",
        resume=read_resume(event),
        rerun=read_rerun(event),
        grid=read_grid(event),
        overlap=overlap,
        time=time,
        parameters=read_parameters(event),
        origin={"schedule": schedule, "event-id": event_id} if schedule else {"event-id": event_id},
        ignored=unused_keys(event, _DIRECT_KEYS),
    )


def _trial(event: Mapping[str, Any]) -> LaunchRequest:
    """A trial of a grid, whose identity is its number there."""
    grid_id = read_grid_id(event, "grid")
    number, limit = event.get("trial"), event.get("cost-limit-micros")
    if type(number) is not int or type(limit) not in (int, NoneType):
        raise InvalidEvent(f"trial: {shown(number)} is not a number, or its limit is none")
    return LaunchRequest(
        job=read_job(event.get("job")),
        identity=f"grid:{grid_id}:{number}",
        kind="grid",
        time=_BEFORE,
        trial=Trial(
            grid_id=grid_id,
            number=number,
            cost_limit_micros=limit,
            follows=read_text(event, "history", ""),
        ),
        parameters=read_parameters(event),
        origin={"grid": grid_id, "trial": str(number)},
    )


def _scheduled_event(event: Mapping[str, Any]) -> LaunchRequest:
    """EventBridge's own form, from a rule without an input transformer."""
    resources = event.get("resources")
    named = {"resource": resources[0]} if isinstance(resources, list) and resources else {}
    rule = read_text(named, "resource", "aws.events")
    event_id = read_text(event, "id", "")
    if not event_id:
        raise InvalidEvent('the scheduled event has no "id"; EventBridge always sends one')
    return LaunchRequest(
        job=read_job(event.get("job", DEFAULT_JOB)),
        identity=f"{rule}:{event_id}",
        kind="schedule",
        resume=read_resume(event),
        time=read_time(event.get("time"), "time"),
        parameters=read_parameters(event),
        origin={"schedule": rule, "event-id": event_id},
        ignored=unused_keys(event, _EVENTBRIDGE_KEYS | {"job", "parameters", "resume"}),
    )


def _message(event: Mapping[str, Any], request_id: str) -> LaunchRequest:
    """A device's message: its topic names the job, its payload is the parameters and no more.

    A run to go on from is for the rule to name, never for whoever publishes.
    """
    topic = read_text(event, "topic", "")
    trace = read_text(event, "traceid", "") or f"request:{request_id}"
    where = f"message on {topic or 'the launch topic'}"
    parameters = read_payload(event, where)
    try:
        given = read_parameters({"parameters": parameters})
    except InvalidEvent as error:
        raise InvalidEvent(f"{where}: {error}") from error
    return LaunchRequest(
        job=read_job(event.get("job")),
        identity=f"device:{topic}:{trace}",
        kind="device",
        resume=read_resume(event),
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
        resume=read_resume(event),
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
