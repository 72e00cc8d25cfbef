"""Numbers and times as a sentence has them."""

from __future__ import annotations

from datetime import datetime


def counted(number: int, one: str, many: str = "") -> str:
    """Return "1 stack" or "2 stacks"; `many` where an s at the end is not enough."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Return a length of time by its largest unit, rounded down: "3 min"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def ago(moment: datetime, now: datetime) -> str:
    """Return how long before `now` the `moment` was: "3 min ago"."""
    return f"{duration((now - moment).total_seconds())} ago"
