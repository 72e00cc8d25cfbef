"""Clicks of a button, read into requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidEvent, shown
from .request import (
    DEFAULT_JOB,
    LaunchRequest,
    noted,
    read_job,
    read_object,
    read_parameters,
    read_payload,
    read_text,
    read_time,
    read_timestamp,
    unused_keys,
)

_KEYS = {
    *("rule", "payload", "serial", "topic", "traceid", "timestamp"),
    *("serialNumber", "batteryVoltage", "clickType"),
    *("deviceEvent", "deviceInfo", "placementInfo"),
}


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
    """Return the click that the button's rule hands over, or whoever may invoke the function.

    Of what was published only the click and the battery count: nobody gets more from it than a
    click of the button whose serial number ends the topic, and a policy says who publishes there.
    """
    topic, time = read_text(event, "topic", ""), read_timestamp(event)
    name = read_text(event, "traceid", "")
    ruled, pressed = event.get("rule") == "button", event
    if ruled:
        serial = read_text(event, "serial", "")
        if not serial:
            raise InvalidEvent(f"topic: {topic!r} does not end in a serial number")
        pressed = read_object({"payload": read_payload(event, f"click on {topic}")}, "payload")
    else:
        serial = read_text(event, "serialNumber", "unknown")
    clicked, info = pressed, None
    if "deviceEvent" in pressed:  # AWS IoT 1-Click (its developer guide, "Callback Events")
        clicked = read_object(read_object(pressed, "deviceEvent"), "buttonClicked")
        info = read_object(pressed, "deviceInfo")
        if not ruled:
            serial, name = read_text(info, "deviceId", ""), read_text(clicked, "reportedTime", "")
            if not serial or not name:
                raise InvalidEvent("the event lacks its deviceInfo.deviceId or reportedTime")
            time = read_time(name, "reportedTime")
    click = clicked.get("clickType", "SINGLE")
    chosen = buttons.actions.get(click) if isinstance(click, str) else None
    if chosen is None:
        raise InvalidEvent(
            f"clickType: {shown(click)} does nothing; button_actions has "
            f"{', '.join(sorted(buttons.actions)) or 'no click at all'}"
        )
    battery = pressed.get("batteryVoltage", "") if info is None else info.get("remainingLife", "")
    return LaunchRequest(
        job=read_job(buttons.jobs.get(serial, chosen.get("job", DEFAULT_JOB))),
        identity=f"button:{serial}:{name or f'request:{request_id}'}",
        kind="button",
        action=str(chosen.get("action", "launch")),
        time=time,
        parameters=read_parameters(chosen),
        origin={
            "serial-number": serial,
            "click-type": str(click),
            "battery-voltage" if info is None else "remaining-life": noted(battery),
            "topic": topic,
        },
        ignored=unused_keys({**event, **pressed}, _KEYS),
        notes=_low(battery),
    )


LOW_LIFE = 10
"""Per cent of a 1-Click button's life."""

LOW_MILLIVOLTS = 1200
"""Of an AWS IoT button: a full AAA cell has 1,500, and is all but empty at 1,000."""


def _low(battery: object) -> tuple[str, ...]:
    """Return what to say of a voltage such as "1498mV", or of a life that is left in per cent."""
    found = re.fullmatch(r"([0-9]{1,6}) ?mV", battery) if isinstance(battery, str) else None
    if found is not None and int(found[1]) < LOW_MILLIVOLTS:
        return (f"the button's battery is low ({battery})",)
    number = isinstance(battery, (int, float)) and not isinstance(battery, bool)
    if number and 0 <= battery < LOW_LIFE:  # type: ignore[operator]
        return (f"the button's battery is low ({battery:g} % of its life is left)",)
    return ()
