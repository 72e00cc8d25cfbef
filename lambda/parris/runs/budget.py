"""Dollars as a deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .documents import PriceRecord, Receipt

MINIMUM_MINUTES = 5
"""A budget that buys less would be spent on booting."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a run's machines cost together, as far as it is known when it is launched."""

    parts: Mapping[str, Decimal]
    """US dollars per hour of ``instance``, ``volume`` and ``public-ipv4`` of one machine."""
    source: str
    read: datetime
    """Aware UTC."""
    spot: bool
    on_demand: Decimal | None = None
    """The on-demand price of the same instance, US dollars an hour; None where it is not known."""
    nodes: int = 1
    """How many such machines the run has at once."""

    @property
    def hourly_usd(self) -> Decimal:
        """Of all machines together."""
        return self.nodes * sum(self.parts.values(), Decimal(0))

    @property
    def max_spot_price(self) -> str:
        """The most to pay for the instance an hour, as RunInstances takes it; "" on demand."""
        return f"{self.parts['instance']:f}" if self.spot else ""

    def record(self) -> PriceRecord:
        """Return the price as ``run.json`` holds it (docs/contracts.md)."""
        all_of: Any = {name: self.nodes * part for name, part in self.parts.items()}
        parts: Any = {f"{name}-hourly-usd": f"{part:.6f}" for name, part in all_of.items()}
        known: PriceRecord = {
            "hourly-usd": f"{self.hourly_usd:.6f}",
            "source": self.source,
            "read": f"{self.read:%Y-%m-%dT%H:%M:%SZ}",
        }
        if self.on_demand is not None:
            whole = self.hourly_usd + self.nodes * (self.on_demand - self.parts["instance"])
            known["on-demand-hourly-usd"] = f"{whole:.6f}"
        known.update(parts)
        return known


class BudgetTooSmall(ValueError):
    """A budget buys less than MINIMUM_MINUTES; the text says what would do."""


def cost(receipt: Receipt, since: datetime, until: datetime) -> float | None:
    """Return what a machine costs from `since` to `until`, in US dollars; None without a price.

    EC2 bills Linux instances by the second with a minimum of 60 s (EC2 user guide, "On-Demand
    Instances").
    """
    price = receipt.get("price")
    if not price:
        return None
    seconds = max(60, (until - since.astimezone(UTC)).total_seconds())
    return round(float(Decimal(price["hourly-usd"]) * Decimal(seconds) / 3600), 4)


LATE = timedelta(minutes=1)
"""How late a stack's own schedule may be (EventBridge Scheduler user guide, "Schedule types")."""


def after_deadline_usd(hourly_usd: Decimal, grace: timedelta) -> Decimal:
    """Return what a machine costs from its deadline until its stack's schedule deletes it.

    Args:
        hourly_usd: instance, volume and address, US dollars per hour.
        grace: how long after the deadline that is.
    """
    return hourly_usd * int((grace + LATE).total_seconds()) / 3600


def worst_usd(
    hourly_usd: Decimal, minutes: int, budget_usd: Decimal | None, grace: timedelta
) -> Decimal:
    """Return what a run costs at most, in US dollars, rounded up to 4 decimals.

    Its machines, one at a time, go on to its deadline, or until its budget is spent; the last one
    does not end then, and goes with its stack.

    Args:
        hourly_usd: of the dearest machine that it may have.
        minutes: to its deadline.
        budget_usd: what its machines may cost until then, if that counts.
        grace: how long after its deadline its stack deletes itself.
    """
    until = hourly_usd * minutes / 60
    until = until if budget_usd is None else min(until, budget_usd)
    whole = until + after_deadline_usd(hourly_usd, grace)
    return whole.quantize(Decimal("0.0001"), ROUND_CEILING)


def minutes_for_budget(budget_usd: Decimal, hourly_usd: Decimal) -> int:
    """Return the whole minutes that `budget_usd` buys.

    Args:
        budget_usd: the job's ``cost-limit``, in US dollars, greater than 0.
        hourly_usd: instance, volume and address, US dollars per hour, greater than 0.

    Raises:
        BudgetTooSmall: if that is less than MINIMUM_MINUTES. EC2 bills Linux instances by the
            second with a minimum of 60 s (EC2 user guide, "On-Demand Instances"), so every
            minute that is not used is not paid for.
    """
    minutes = int((budget_usd * 60 / hourly_usd).to_integral_value(ROUND_FLOOR))
    if minutes < MINIMUM_MINUTES:
        smallest = (hourly_usd * MINIMUM_MINUTES / 60).quantize(Decimal("0.0001"), ROUND_CEILING)
        raise BudgetTooSmall(
            f"{budget_usd} US dollars buy {minutes} minutes at {hourly_usd:.4f} an hour; the "
            f"smallest budget that would do, for {MINIMUM_MINUTES} minutes, is {smallest}"
        )
    return minutes
