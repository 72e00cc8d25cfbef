"""What one event asks for, and how the fields of an event are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .errors import InvalidEvent
from .parameters import read_parameters as read_values

DEFAULT_JOB = "default"
"""The job at the root of the config bucket."""

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RUN_ID = re.compile(r"r-[0-9a-f]{16}|[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
"""What `plan.run_id_for` returns."""

OVERLAPS = ("skip", "replace", "queue-one")
"""What a schedule may want when the last run is still going."""

ACTIONS = ("launch", "status", "stop")
"""What a button's click may do."""


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """What one event asks for."""

    job: str
    identity: str
    """Equal for two deliveries of one event, different for two events."""
    kind: str
    """``direct``, ``schedule``, ``button``, ``device`` or ``data``."""
    action: str = "launch"
    """One of ACTIONS."""
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
            f"job: {value!r} is not a job's name (1 to 64 letters, digits, dots, hyphens or "
            "underscores, the first a letter or digit); make status lists the jobs"
        )
    return value


def read_parameters(event: Mapping[str, Any]) -> dict[str, str]:
    values, problems = read_values(event.get("parameters", {}))
    if problems:
        raise InvalidEvent("; ".join(f"parameters: {problem}" for problem in problems))
    return values


def read_text(event: Mapping[str, Any], key: str, default: str) -> str:
    value = event.get(key, default)
    if not isinstance(value, str) or len(value) > 512:
        raise InvalidEvent(f"{key}: {shown(value)} is not a string of at most 512 characters")
    return value


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
        raise InvalidEvent(f"timestamp: {value!r} is not a whole number of milliseconds")
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidEvent(f"timestamp: {shown(value)} is not a time in milliseconds") from error


def unused_keys(event: Mapping[str, Any], used: set[str]) -> tuple[str, ...]:
    return tuple(sorted(set(event) - used))


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
