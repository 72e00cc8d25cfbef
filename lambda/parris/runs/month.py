"""A month's money: what runs have cost, and what is reserved for those that are not over.

A run is of the month in which it was launched (UTC), also if it ends in the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

from ..contract import State
from .budget import worst_usd
from .record import RunRecord
from .times import read_time

if TYPE_CHECKING:
    from .documents import Outcome, Receipt

MICROS = 1_000_000
"""In which sums are kept, of a US dollar: the ledger has whole numbers."""

TOLD_AT = Decimal("0.8")
"""The part of a month's budget of which people are told when it is spent or reserved."""


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What a run may cost at most, of one month's budget."""

    run: str
    """``<job>/<run id>``."""
    month: str
    """Such as ``2026-11``."""
    micros: int
    claim: int
    """Which launch of the run reserved it (`RunRecord.claims`)."""

    @property
    def text(self) -> str:
        """As the ledger holds it: a text, since a condition compares it as a whole."""
        return f"{self.run} {self.month} {self.micros} {self.claim}"


def read_reservation(text: str) -> Reservation:
    run, month, micros, claim = text.split(" ")
    return Reservation(run=run, month=month, micros=int(micros), claim=int(claim))


@dataclass(frozen=True, kw_only=True)
class Sums:
    """A month's, in millionths of a US dollar."""

    month: str
    spent: int
    """By the runs that are over."""
    reserved: int
    runs: int
    """For how many."""


def month_of(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m}"


def id_beginnings(month: str) -> tuple[str, ...]:
    """Return the prefixes of the ids of a month's runs.

    A run's id has the time of its event; one that waited for its turn, or is a trial of a grid, may
    be of the month after.
    """
    first = datetime.fromisoformat(f"{month}-01")
    return (f"{first:%Y%m}", f"{first - timedelta(days=1):%Y%m}")


def to_micros(usd: Decimal | float | str) -> int:
    """Return US dollars in millionths, rounded up."""
    return int((Decimal(str(usd)) * MICROS).to_integral_value(ROUND_CEILING))


def real_micros(outcome: Outcome | None, reserved: int) -> int:
    """Return what a run has cost for which `reserved` was reserved, as far as it is known.

    One without a machine has cost nothing. One that nobody knows the cost of counts as reserved,
    and none counts for more, whatever its machine says: that was the worst case.
    """
    if outcome is None:
        return 0
    usd = outcome.get("cost-usd")
    if usd is not None:
        return min(to_micros(usd), reserved)
    unmade = outcome.get("state") == State.LAUNCH_FAILED and outcome.get("instance-id") is None
    return 0 if unmade else reserved


def beginning(
    records: Iterable[RunRecord], month: str, grace: timedelta
) -> tuple[int, dict[str, Reservation]]:
    """Return what runs of a month have cost, and what is to be reserved for those under way.

    Args:
        records: at least the runs of that month.
        grace: how long after its deadline a stack deletes itself.
    """
    spent, reserved = 0, dict[str, Reservation]()
    for record in records:
        claimed = read_time(record.receipt.get("claimed"))
        if claimed is None or month_of(claimed) != month:
            continue
        worst = worst_micros(record.receipt, grace)
        if record.outcome is not None:
            spent += to_micros(record.outcome.get("cost-usd") or 0)
        elif keeps(record) and worst:
            reserved[record.name] = Reservation(
                run=record.name, month=month, micros=worst, claim=record.claims
            )
    return spent, reserved


def keeps(record: RunRecord | None) -> bool:
    """Return whether a run may still cost something."""
    if record is None or record.outcome is not None or not record.is_open:
        return False
    return record.state not in _WITHOUT_STACK


def worst_micros(receipt: Receipt, grace: timedelta) -> int:
    """Return what a run may cost at most by its receipt; 0 if that has no price."""
    if known := receipt.get("reserved-usd"):
        return to_micros(known)
    price, claimed = receipt.get("price"), read_time(receipt.get("claimed"))
    deadline = read_time(receipt.get("deadline"))
    if not price or claimed is None or deadline is None:
        return 0
    minutes = -int((claimed - deadline).total_seconds() // 60)
    return to_micros(worst_usd(Decimal(price["hourly-usd"]), minutes, None, grace))


_WITHOUT_STACK = (State.QUEUED, State.SKIPPED, State.LAUNCH_FAILED)
