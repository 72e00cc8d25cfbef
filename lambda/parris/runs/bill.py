"""What a machine has cost, by the word of those who do not gain by it: EC2, and S3's clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from .budget import LATE, cost
from .ending import DEAD
from .lifecycle import APPEARING, Machine
from .times import read_time

if TYPE_CHECKING:
    from .documents import Receipt

SIGN = timedelta(minutes=2)
"""How often a machine that runs stores something (ALIVE_SECONDS in alive.py)."""


@dataclass(frozen=True, kw_only=True)
class Bill:
    """One machine: from when to when it is paid for, and what that is."""

    began: datetime
    """Aware UTC, as `ended`."""
    ended: datetime
    usd: float | None
    """None without a price."""


def with_end(machine: Machine, at: datetime | None) -> Machine:
    """Return a machine that has ended at the time of EC2's event, if EC2 gives it no other."""
    unknown = machine.state in DEAD and _told_end(machine) is None
    return replace(machine, ended=at) if unknown else machine


def needs_sign(machine: Machine | None) -> bool:
    """Return whether EC2 does not say when a machine ended that does nothing any more."""
    return machine is None or (machine.state in DEAD and _told_end(machine) is None)


def latest_end(receipt: Receipt, grace: timedelta) -> datetime | None:
    """Return when the last of what ends a machine has ended it; None without a deadline.

    Args:
        grace: how long after its deadline a stack deletes itself.
    """
    deadline = read_time(receipt.get("deadline"))
    return None if deadline is None else deadline + grace + LATE


def bill(
    receipt: Receipt,
    machine: Machine | None,
    *,
    now: datetime,
    grace: timedelta,
    sign: datetime | None,
    said_usd: float | None = None,
) -> Bill:
    """Return what a machine has cost that was asked for as `receipt` says.

    EC2's own times count: LaunchTime, and the time that it gives to the end. Whoever trains can
    neither change these nor gain by what he says.

    EC2 gives no time where it took a spot machine, but that of its event, and knows no machine an
    hour after its end. A sweep that comes late, when events were lost or the function was stopped,
    would book the machine until then. So it counts until the earliest of: now; SIGN after S3 heard
    of it last, since a machine that runs is heard of that often; and when the last of the layers
    has ended it. The machine's own word on when it ended is none of these: it can be any time, and
    what it says at its end S3 hears then.

    What the machine says that it cost counts only where EC2 knows it no more, and only between
    what it cost at least, if it took APPEARING to come and went with its last sign, and at most.

    Args:
        machine: None if EC2 does not list it.
        now: aware UTC.
        grace: how long after its deadline its stack deletes itself.
        sign: when S3 last heard of it, by S3's clock; only looked at if `needs_sign`.
    """
    asked = read_time(receipt.get("attempt-began")) or read_time(receipt.get("claimed")) or now
    began = machine.launched if machine else asked
    until = now
    if told := machine and _told_end(machine):
        until = told
    elif needs_sign(machine):
        # One from before it began is of another clock.
        heard = sign + SIGN if sign is not None and sign >= began else now
        until = min(heard, latest_end(receipt, grace) or now)
    ended = max(began, min(until, now))
    usd = cost(receipt, began, ended)
    if machine is None and usd is not None and said_usd is not None:
        least = cost(receipt, began + APPEARING, min(sign or began, ended)) or 0.0
        usd = min(max(said_usd, least), usd)
    return Bill(began=began, ended=ended, usd=usd)


def _told_end(machine: Machine) -> datetime | None:
    """Return the time that EC2 gives to a machine's end, if it has ended since it began."""
    alive = machine.state in ("pending", "running")
    ended = machine.ended
    return None if alive or ended is None or ended < machine.launched else ended
