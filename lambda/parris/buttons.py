"""Clicks of a button, read into requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .errors import InvalidEvent
from .request import (
    DEFAULT_JOB,
    LaunchRequest,
    read_job,
    read_object,
    read_parameters,
    read_text,
    read_time,
    read_timestamp,
    shown,
    unused_keys,
)

_BUTTON_KEYS = {"serialNumber", "batteryVoltage", "clickType", "topic", "traceid", "timestamp"}
_ONE_CLICK_KEYS = {"deviceEvent", "deviceInfo", "placementInfo"}


@dataclass(frozen=True, kw_only=True)
class Buttons:
    """What a click does, by its kind, and whose job it is about, by serial number."""

    actions: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {
            "SINGLE": {},
            "DOUBLE": {"action": "status"},
            "LONG": {"action": "stop"},
        }
    )
    """Click type to ``{"action", "job", "parameters"}``."""
    jobs: Mapping[str, str] = field(default_factory=dict)
    """Serial number to the job of that button, in place of the actions' own."""


def read_click(event: Mapping[str, Any], request_id: str, buttons: Buttons) -> LaunchRequest:
    serial = read_text(event, "serialNumber", "unknown")
    trace = read_text(event, "traceid", "") or f"request:{request_id}"
    return _click(
        event,
        buttons,
        serial=serial,
        click=event.get("clickType", "SINGLE"),
        identity=f"button:{serial}:{trace}",
        time=read_timestamp(event),
        origin={
            "battery-voltage": str(event.get("batteryVoltage", "")),
            "topic": read_text(event, "topic", ""),
        },
        ignored=unused_keys(event, _BUTTON_KEYS | {"job", "parameters"}),
        notes=_battery(event.get("batteryVoltage")),
    )


def read_one_click(event: Mapping[str, Any], buttons: Buttons) -> LaunchRequest:
    """AWS IoT 1-Click's nested form (its developer guide, "Callback Events")."""
    clicked = read_object(read_object(event, "deviceEvent"), "buttonClicked")
    info = read_object(event, "deviceInfo")
    device = read_text(info, "deviceId", "")
    reported = read_text(clicked, "reportedTime", "")
    if not device or not reported:
        raise InvalidEvent(
            "the 1-Click event lacks deviceInfo.deviceId or deviceEvent.buttonClicked.reportedTime"
        )
    life = info.get("remainingLife", "")
    low = isinstance(life, (int, float)) and not isinstance(life, bool) and life < LOW_LIFE
    return _click(
        event,
        buttons,
        serial=device,
        click=clicked.get("clickType", "SINGLE"),
        identity=f"button:{device}:{reported}",
        time=read_time(reported, "deviceEvent.buttonClicked.reportedTime"),
        origin={"remaining-life": str(life)},
        ignored=unused_keys(event, _ONE_CLICK_KEYS | {"job", "parameters"}),
        notes=(f"the button's battery is low ({life:g} % of its life is left)",) if low else (),
    )


LOW_LIFE = 10
"""Per cent of a 1-Click button's life."""

LOW_MILLIVOLTS = 1200
"""Of an AWS IoT button: a full AAA cell has 1,500, and is all but empty at 1,000."""


def _battery(voltage: object) -> tuple[str, ...]:
    """Return what to say of a voltage such as "1498mV", as an AWS IoT button sends it."""
    found = re.fullmatch(r"([0-9]{1,6}) ?mV", voltage) if isinstance(voltage, str) else None
    if found is None or int(found[1]) >= LOW_MILLIVOLTS:
        return ()
    return (f"the button's battery is low ({found[0]})",)


def _click(
    event: Mapping[str, Any],
    buttons: Buttons,
    *,
    serial: str,
    click: object,
    identity: str,
    time: datetime | None,
    origin: Mapping[str, str],
    ignored: tuple[str, ...],
    notes: tuple[str, ...],
) -> LaunchRequest:
    chosen = buttons.actions.get(click) if isinstance(click, str) else None
    if chosen is None:
        raise InvalidEvent(
            f"clickType: {shown(click)} does nothing; button_actions has "
            f"{', '.join(sorted(buttons.actions)) or 'no click at all'}"
        )
    job = event.get("job", buttons.jobs.get(serial, chosen.get("job", DEFAULT_JOB)))
    return LaunchRequest(
        job=read_job(job),
        identity=identity,
        kind="button",
        action=str(chosen.get("action", "launch")),
        time=time,
        parameters={**read_parameters(chosen), **read_parameters(event)},
        origin={"serial-number": serial, "click-type": str(click), **origin},
        ignored=ignored,
        notes=notes,
    )
