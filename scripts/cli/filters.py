"""Which runs are meant: by time, state and metric. Nothing is imported here that takes time."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from parris.contract import State
from parris.errors import meant

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LENGTH = re.compile(r"(\d{1,6})\s?(s|m|min|h|d|w)")
STATES = tuple(str(state) for state in State if state not in (State.ACCEPTED, State.GRID))
"""What a run may be called: ``accepted`` and ``grid`` are the ledger's own words."""


@dataclass(frozen=True, kw_only=True)
class Since:
    """A moment, as it was typed."""

    text: str
    moment: datetime
    """Aware UTC."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What counts as good: the highest value of a metric, or the lowest."""

    metric: str
    lowest: bool


def goal(value: str) -> Goal:
    """Return what ``accuracy`` or ``-loss`` means.

    Raises:
        argparse.ArgumentTypeError: if there is no name.
    """
    metric = value.removeprefix("-").strip()
    if not metric:
        raise argparse.ArgumentTypeError(f"{value} names no metric, as accuracy or -loss does")
    return Goal(metric=metric, lowest=value.startswith("-"))


def since(value: str) -> Since:
    """Return the moment that a length of time before now, or an ISO date, names.

    A date or a time without a zone is UTC, as all times are that Parris prints.

    Raises:
        argparse.ArgumentTypeError: saying what it may be.
    """
    now = datetime.now(UTC)
    if length := _LENGTH.fullmatch(value.strip()):
        ago = timedelta(seconds=int(length[1]) * _UNITS[length[2]])
        try:
            return Since(text=value, moment=now - ago)
        except OverflowError:
            pass
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{value} is neither a length of time, such as 10m, 2h or 3d, nor an ISO date or "
            f"time, such as {now:%Y-%m-%d} or {now:%Y-%m-%dT%H:%MZ}"
        ) from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    if moment > now:
        raise argparse.ArgumentTypeError(f"{value} has yet to come: it is {now:%Y-%m-%dT%H:%M:%SZ}")
    return Since(text=value, moment=moment)


def states(value: str) -> tuple[str, ...]:
    """Return the states in a list with commas between.

    Raises:
        argparse.ArgumentTypeError: naming what is none.
    """
    given = [word.strip().lower() for word in value.split(",") if word.strip()]
    for word in given:
        if word not in STATES:
            known = ", ".join(STATES)
            raise argparse.ArgumentTypeError(
                f"{word} is not a state ({known}){meant(word, STATES)}"
            )
    if not given:
        raise argparse.ArgumentTypeError(f"no state is named; there are {', '.join(STATES)}")
    return tuple(dict.fromkeys(given))
