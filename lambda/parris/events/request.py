"""What one event asks for, and how the fields of an event are read."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..errors import InvalidEvent, shown
from ..jobs.parameters import read_parameters as read_values

DEFAULT_JOB = "default"
"""The job at the root of the config bucket."""

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}|r-[0-9a-f]{16}")
"""What `plan.run_id_for` returns; the second form is that of runs of older versions."""

GRID_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
"""As of the run that its event would have been."""

OVERLAPS = ("skip", "replace", "queue-one")
"""What a schedule may want when the last run is still going."""

MAX_PAYLOAD_BYTES = 65_536
"""Of a message: 50 parameters of 1,024 characters fit, and little else."""

MAX_TEXT = 512
"""Characters of what names an event, and of the like."""

MAX_UNUSED = 20

_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a pair: a character to JSON, but nothing can write it."""

LAST = "last"
"""Of the job's runs that are over, the one of the latest event."""

ACTIONS = ("launch", "status", "stop")
"""What a button's click may do."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Which trial of which grid a run is."""

    grid_id: str
    number: int
    cost_limit_micros: int | None
    """What all trials of the grid may cost, in millionths of a US dollar."""
    follows: str = ""
    """The metric whose history its machine keeps; "" for none."""


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """What one event asks for."""

    job: str
    identity: str
    """Equal for two deliveries of one event, different for two events."""
    kind: str
    """``direct``, ``schedule``, ``button``, ``device`` or ``data``; of a trial ``grid``."""
    action: str = "launch"
    """One of ACTIONS."""
    resume: str = ""
    """The run whose checkpoints it begins with, or LAST; "" for none."""
    rerun: str = ""
    """The run that is to be run again as it was; "" for what the job is now."""
    grid: Mapping[str, Any] | bool | None = None
    """The grid that it starts; True for that of the job's grid.json, False for none, None for that
    if there is one."""
    trial: Trial | None = None
    overlap: str = ""
    """One of OVERLAPS, or "" for whoever asks without a choice and is refused."""
    time: datetime | None = None
    """When the event happened, by its own word; never the time of delivery."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    """What of the event is worth keeping in the run's record."""
    ignored: tuple[str, ...] = ()
    """Keys of the event that were accepted and not used."""
    notes: tuple[str, ...] = ()
    """What the person who set it off should know, such as a low battery."""


def is_run_key(job: str, run_id: str) -> bool:
    """Return whether both can be a run's, wherever they were read: a key, a tag, a message."""
    return bool(JOB_NAME.fullmatch(job) and RUN_ID.fullmatch(run_id))


def read_job(value: object) -> str:
    if not isinstance(value, str) or not JOB_NAME.fullmatch(value):
        raise InvalidEvent(
            f"job: {shown(value)} is not a job's name (1 to 64 letters, digits, dots, hyphens or "
            "underscores, the first a letter or digit); make jobs lists them"
        )
    return value


def read_parameters(event: Mapping[str, Any]) -> dict[str, str]:
    values, problems = read_values(event.get("parameters", {}))
    if problems:
        raise InvalidEvent("; ".join(f"parameters: {problem}" for problem in problems))
    return values


def read_resume(event: Mapping[str, Any]) -> str:
    """Return the run to go on from, as an event names it; "" if it names none."""
    value = event.get("resume", "")
    if value in ("", LAST) or (isinstance(value, str) and RUN_ID.fullmatch(value)):
        return str(value)
    raise InvalidEvent(f'resume: {shown(value)} is neither the id of a run nor "{LAST}"')


def read_rerun(event: Mapping[str, Any]) -> str:
    """Return the run to run again, as an event names it; "" if it names none."""
    value = event.get("rerun", "")
    if value == "":
        return ""
    if not isinstance(value, str) or not RUN_ID.fullmatch(value):
        raise InvalidEvent(f"rerun: {shown(value)} is not the id of a run")
    if event.get("resume"):
        raise InvalidEvent(
            "rerun: a run begins as another one did, or with what that one stored (resume); give "
            "one of the two"
        )
    return value


def read_grid(event: Mapping[str, Any]) -> Mapping[str, Any] | bool | None:
    """Return the grid that an event asks for, as `LaunchRequest` has it."""
    value = event.get("grid")
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, Mapping):
        raise InvalidEvent(
            f"grid: {shown(value)} is neither an object with parameters, nor true for the job's "
            "grid.json, nor false for one run"
        )
    if event.get("resume") or event.get("rerun"):
        raise InvalidEvent("grid: its trials begin anew; leave resume and rerun out")
    return value


def read_grid_id(event: Mapping[str, Any], key: str) -> str:
    value = event.get(key)
    if not isinstance(value, str) or not GRID_ID.fullmatch(value):
        raise InvalidEvent(f"{key}: {shown(value)} is not the id of a grid")
    return value


def read_payload(event: Mapping[str, Any], where: str) -> Any:
    """Return the JSON value that was published, which the rule hands over as base64.

    Nothing counts as ``{}``; `where` is the message, for whoever published it.
    """
    encoded = event.get("payload")
    if not isinstance(encoded, str):
        raise InvalidEvent(f"payload: {shown(encoded)} is not base64 text")
    if len(encoded) > MAX_PAYLOAD_BYTES * 4 / 3 + 4:
        raise InvalidEvent(f"{where}: its payload has over {MAX_PAYLOAD_BYTES} bytes")
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        return json.loads(text) if text.strip() else {}
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidEvent(
            f"{where}: its payload is not JSON ({error}); send an object of parameters, "
            'such as {"epochs": 5}'
        ) from error


def read_text(event: Mapping[str, Any], key: str, default: str) -> str:
    value = event.get(key, default)
    if not isinstance(value, str) or len(value) > MAX_TEXT or _SURROGATE.search(value):
        raise InvalidEvent(
            f"{key}: {shown(value)} is not a string of at most {MAX_TEXT} whole characters"
        )
    return value


def read_key(event: Mapping[str, Any]) -> str:
    """Return the key of the object that has come: 1,024 bytes at most (S3 user guide)."""
    key = event.get("key")
    if not isinstance(key, str) or not key or len(key) > 1024 or _SURROGATE.search(key):
        raise InvalidEvent(f"key: {shown(key)} is not the key of an object")
    return key


def read_object(event: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = event.get(key)
    if not isinstance(value, dict):
        raise InvalidEvent(f"{key}: {shown(value)} is not an object")
    return value


def read_time(value: object, key: str) -> datetime | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        if time is not None:
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidEvent(f"{key}: {shown(value)} is not a time in ISO 8601")


def read_timestamp(event: Mapping[str, Any]) -> datetime | None:
    value = event.get("timestamp")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidEvent(f"timestamp: {shown(value)} is not a whole number of milliseconds")
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidEvent(f"timestamp: {shown(value)} is not a time in milliseconds") from error


def unused_keys(event: Mapping[str, Any], used: set[str]) -> tuple[str, ...]:
    """Return the keys of `event` that are not used, the first few as :func:`noted` has them."""
    return tuple(noted(key) for key in sorted(set(event) - used)[:MAX_UNUSED])


def noted(value: object) -> str:
    """Return `value` for a record: a short printable text as it is, all else as it is shown."""
    if isinstance(value, str) and len(value) <= 60 and value.isprintable():
        return value
    return shown(value)
