"""What is to be done next about a grid and its trials. The rules of the reap function."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from ..contract import State
from ..jobs.points import MIN
from .grid import MONEY, Best, Entry, GridRecord
from .month import MICROS
from .record import LEASE, RunRecord

FAILED = {State.FAILED, State.LAUNCH_FAILED}
"""Ends that say something about the job, if all trials have them. What the clock, the budget, EC2
or a person ended may have trained well until then."""

MAX_TRIES = 10
"""How often in a row a trial's launch is tried again that fails for another reason."""

MOST_FAILED = 100
"""The same in all, so that a trial which now finds no room and now fails comes to an end."""

LASTS = timedelta(days=28)
"""How long after its event a grid begins trials: their ids have its time, and a month's budget is
put together from ids of that month and the one before."""


def trials_to_begin(record: GridRecord, now: datetime) -> range:
    """Return the numbers of the trials that may begin now.

    None begins while another one waits for room or dollars: it would wait too.
    """
    waits = any(entry.waits for entry in record.running.values())
    if record.stop or waits or not record.is_open or now > record.began + LASTS:
        return range(0)
    places = record.grid.max_parallel - len(record.running)
    return range(record.next, min(record.next + places, record.grid.count + 1))


def fits(record: GridRecord, entry: Entry) -> bool:
    """Return whether a trial that waits may find what it waits for, as far as the grid knows."""
    if entry.waits != MONEY or record.limit is None:
        return True
    return record.committed + entry.needs <= record.limit


def why_to_stop(record: GridRecord, now: datetime) -> str:
    """Return why no more trials can begin; "" if they can, or if there are none left."""
    if record.stop:
        return ""
    waiting = [entry for entry in record.running.values() if not fits(record, entry)]
    if waiting and len(waiting) == len(record.running):  # nobody is left who might give some back
        need = min(entry.needs for entry in waiting) / MICROS
        limit, spent = (record.limit or 0) / MICROS, record.spent / MICROS
        return (
            f"the next trial may cost ${need:.4f}, and ${limit - spent:.4f} are left of the grid's "
            f"cost-limit: ${spent:.4f} of ${limit:.2f} are spent"
        )
    if record.next > record.grid.count:
        return ""
    if now > record.began + LASTS:
        return f"a grid begins trials for {LASTS.days} days at most"
    if record.over >= record.grid.give_up_after and record.ended.keys() <= FAILED:
        return f"the first {record.over} trials to end all failed"
    return ""


class Fate(Enum):
    """What is to be done about a trial that has begun."""

    GOES_ON = "its run has yet to end, or to be written down as over"
    SEND = "its launch was lost or refused, and may be asked for again"
    WAIT = "its launch may be under way, or there is nothing yet for it"
    SETTLE = "it is over"
    DROP = "it has not begun to cost anything, and is not to begin any more"
    STOP = "somebody stopped the grid, and it goes on"


def fate_of(record: GridRecord, entry: Entry, run: RunRecord | None, now: datetime) -> Fate:
    """Return what is to be done about a trial, given its run; None if no launch has claimed it."""
    if run is not None and run.outcome is not None:
        return Fate.SETTLE
    stacked = run is not None and run.stack_id is not None
    if run is not None and not stacked and run.state == State.LAUNCH_FAILED:
        # Of a grid that was stopped this may be the first half of `DROP`.
        return Fate.DROP if record.stop and entry.kept is None else Fate.SETTLE
    idle = run is None or (not stacked and run.state == State.QUEUED)
    if not idle:
        return Fate.STOP if record.by_hand else Fate.GOES_ON
    if record.stop:
        return Fate.DROP if entry.kept is None else Fate.WAIT
    if entry.waits:
        return Fate.SEND if fits(record, entry) else Fate.WAIT
    if now <= entry.sent + LEASE:  # it may be under way, or what it met may take a while
        return Fate.WAIT
    is_hopeful = entry.tries < MAX_TRIES and entry.failed < MOST_FAILED
    return Fate.SEND if is_hopeful else Fate.SETTLE


def reached(record: GridRecord, number: int, outcome: Mapping[str, Any]) -> Best | None:
    """Return what a trial reached, if it counts: of one that succeeded, a finite number."""
    value = (outcome.get("metrics") or {}).get(record.grid.metric)
    if outcome.get("state") != State.SUCCEEDED or not isinstance(value, (int, float)):
        return None
    if not math.isfinite(value):
        return None
    value = float(value)
    return Best(number=number, value=value, order=order_of(value, record.grid.goal))


def order_of(value: float, goal: str) -> int:
    """Return a whole number that is greater the better `value` is.

    The bits of a float, read as a whole number, are in its order (IEEE 754, binary64); those of
    negative numbers the other way round.
    """
    number = -value if goal == MIN else value
    bits: int = struct.unpack(">q", struct.pack(">d", number + 0.0))[0]
    return bits if bits >= 0 else -(bits & (2**63 - 1))


def states_line(ended: Mapping[str, int], order: Iterable[str] = ()) -> str:
    """Return how many trials ended how, in words."""
    names = [*[name for name in order if name in ended], *sorted(set(ended) - set(order))]
    return ", ".join(f"{ended[name]} {name}" for name in names if ended[name])
