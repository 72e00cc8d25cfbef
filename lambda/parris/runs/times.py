"""Times as records have them: ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(time: datetime) -> str:
    """Return `time` as ISO 8601 in UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: object) -> datetime | None:
    """Return an aware time of this era; None for anything else."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return time if time and time.tzinfo and 2000 <= time.year <= 2200 else None
