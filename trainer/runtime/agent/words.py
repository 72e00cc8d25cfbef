"""What is said of a run: times, lines on the console, how it ended."""

from __future__ import annotations

import contextlib
import queue
from datetime import datetime, timezone
from typing import NamedTuple, Union


def iso(seconds: float) -> str:
    """Return a time.time() as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_iso(text: str) -> float:
    """Return an ISO 8601 time (``…Z``; UTC if it does not say) as seconds since the epoch."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()


def say(text: str) -> None:
    """Print to the console, which EC2 keeps when nothing else is left."""
    with contextlib.suppress(OSError):  # no console is no reason to stop
        print(f"parris {text}".encode("ascii", "backslashreplace").decode(), flush=True)


UNKNOWN = (
    "whether the training succeeded is unknown: let the script end with the training's own exit "
    "status, and without a power-off, which is not needed"
)


class RunError(Exception):
    """The run cannot go on; the text is its reason."""


class Ending(NamedTuple):
    """How a run ended: `state`, `reason` and `ended-by` of its outcome."""

    state: str
    reason: str
    ended_by: str


Event = Union[str, Ending]
"""What ends a run or moves its end: exit, signal, log-lost, deadline, or an ending by others."""
Events = queue.SimpleQueue[Event]


def disk_reason(said: str) -> str:
    """Return `said`, with what to do about it if it is about a full disk."""
    if "No space left" in said:  # ENOSPC, errno(3)
        return f"the disk is full: {said}; raise volume-size-gb"
    return said
