"""Schedules of EventBridge Scheduler that fire on time, and each time they are set.

Stands in for parts of CreateSchedule, UpdateSchedule ("CreateSchedule", "UpdateSchedule",
EventBridge Scheduler API reference; "Schedule types", its user guide) and of
AWS::Scheduler::Schedule (CloudFormation template reference). MiniStack looks at its schedules
every ten seconds only, never fires a one-time schedule again that was moved or made anew under its
name, takes any expression, and lets a stack succeed whose schedule failed. It reads every time as
UTC, and so do these.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import get_account_id, get_region
from ministack.services import scheduler
from ministack.services.cloudformation import provisioners

from scripts.local import faults

TYPE = "AWS::Scheduler::Schedule"

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_SECONDS_BETWEEN_LOOKS = 1
_Answer = tuple[int, dict[str, str], bytes]
_Change = Callable[[str, dict[str, Any]], _Answer]


class _Refused(ValueError):
    """What Scheduler answered, in its words."""


def register() -> None:
    """Put these functions in the place of MiniStack's."""
    scheduler._SCHEDULE_TICK_INTERVAL = _SECONDS_BETWEEN_LOOKS
    scheduler._create_schedule = _checked(scheduler._create_schedule)
    scheduler._update_schedule = _checked(scheduler._update_schedule)
    iam_actions.extract_resource_arn = _in_its_group(iam_actions.extract_resource_arn)
    tick = scheduler._tick_schedules
    scheduler._tick_schedules = lambda: None if faults.scheduler_is_down() else tick()
    provisioners._RESOURCE_HANDLERS[TYPE] = {
        "create": _create,
        "update": _update,
        "delete": _delete,
    }
    provisioners._REPLACING_PROPERTIES[TYPE] = ("Name",)


def _in_its_group(extract: Callable[..., str]) -> Callable[..., str]:
    """Name a schedule with its group, for which MiniStack always takes ``default``.

    Source: service authorization reference, "Amazon EventBridge Scheduler", resource types.
    """

    def extracted(service: str, *request: Any) -> str:
        arn = extract(service, *request)
        if service != "scheduler" or ":schedule/default/" not in arn:
            return arn
        body, query = request[3], request[4]  # after method, path and headers
        group = iam_actions._safe_json_field(body, "GroupName")
        group = group or iam_actions._query_param(query, "groupName") or "default"
        return arn.replace(":schedule/default/", f":schedule/{group}/")

    return extracted


def _checked(change: _Change) -> _Change:
    def checked(name: str, body: dict[str, Any]) -> _Answer:
        expression = str(body.get("ScheduleExpression") or "")
        if expression.startswith("at") and not _is_moment(expression):
            message = f"Invalid Schedule Expression {expression}."
            return scheduler._error(400, "ValidationException", message)  # type: ignore[no-any-return]
        answer = change(name, body)
        if answer[0] == 200:
            key = f"{body.get('GroupName', 'default')}/{name}"
            scheduler._schedule_last_fired.pop((get_account_id(), get_region(), key), None)
        return answer

    return checked


def _is_moment(expression: str) -> bool:
    match = _AT.fullmatch(expression)
    try:
        return match is not None and bool(datetime.datetime.fromisoformat(match[1]))
    except ValueError:  # the 31st of February
        return False


def _told(answer: _Answer) -> None:
    """Raise what Scheduler answered unless it agreed."""
    if answer[0] != 200:
        raise _Refused(json.loads(answer[2])["Message"])


def _create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, Any]:
    name = properties.get("Name") or provisioners._physical_name(stack, logical_id, max_len=64)
    _told(scheduler._create_schedule(name, properties))
    return name, _attributes(name, properties)


def _update(
    name: str, _old: dict[str, Any], properties: dict[str, Any], _stack: str
) -> tuple[str, Any]:
    _told(scheduler._update_schedule(name, properties))
    return name, _attributes(name, properties)


def _delete(name: str, properties: dict[str, Any]) -> None:
    # One that somebody has deleted by hand counts as deleted.
    scheduler._delete_schedule(name, {"groupName": properties.get("GroupName", "default")})


def _attributes(name: str, properties: dict[str, Any]) -> dict[str, str]:
    return {"Arn": scheduler._schedule_arn(properties.get("GroupName", "default"), name)}
