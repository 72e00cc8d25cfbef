"""The machines that would do for a run: what each costs, where it is, and whether EC2 grants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from parris.errors import PriceUnknown
from parris.jobs.retry import CAPACITY, SPOT, Retry
from parris.runs.attempts import untried
from parris.runs.budget import Price
from parris.runs.ladder import Rung
from parris.runs.refusals import NOT_OFFERED, QUOTA, SPOT_QUOTA, Cause
from scripts.planning.quotas import Standing


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Rungs that differ in nothing but their place: one type, bought in one way."""

    instance_type: str
    market: str
    rungs: tuple[Rung, ...]
    """As EC2 would be asked for them."""
    vcpus: int | None
    """Of all nodes, as its prices are."""
    gpus: str
    """Such as "1 x A10G"; empty without any."""
    zones: tuple[str, ...] | None
    """Of its subnets, those that have the type; None if nobody was allowed to look."""
    price: Price | None
    unpriced: str
    """Why it has none."""
    most_hourly_usd: Decimal | None
    """What an hour may come to: of a spot machine without a limit, the on-demand price."""
    standing: Standing | None
    refusal: str
    """Why EC2 would not grant it; empty if nothing is known that speaks against it."""
    cause: Cause | None
    """What the refusal says of other rungs."""

    def read_price(self) -> Price:
        """Return its price.

        Raises:
            PriceUnknown: if it has none.
        """
        if self.price is None:
            raise PriceUnknown(self.unpriced)
        return self.price


def kinds_of(rungs: Sequence[Rung]) -> list[tuple[Rung, ...]]:
    """Return the rungs by type and market, in the ladder's order."""
    found: dict[tuple[str, str], list[Rung]] = {}
    for rung in rungs:
        found.setdefault((rung.instance_type, rung.market), []).append(rung)
    return [tuple(each) for each in found.values()]


def zones_of(
    rungs: Sequence[Rung], zones: Mapping[str, str], offers: set[tuple[str, str]]
) -> tuple[str, ...]:
    """Return the zones in which a kind may be had.

    Args:
        rungs: of one kind; one without a subnet may be in any of `zones`.
        zones: of subnets, by subnet.
        offers: types with zones that have them.
    """
    places = {
        zone
        for rung in rungs
        for subnet, zone in zones.items()
        if rung.subnet_id in ("", subnet) and (rung.instance_type, zone) in offers
    }
    return tuple(sorted(places))


def not_offered(kind: str, zones: Mapping[str, str], region: str) -> str:
    """Return that a type is in none of `zones` (see `zones_of`), with the cure."""
    if not zones:
        return (
            f"there is no default VPC with subnets in {region}: name one (subnet-id, or the "
            "Terraform variable subnet_ids)"
        )
    looked = ", ".join(sorted(set(zones.values())))
    return f"EC2 does not offer {kind} in {looked}; name another subnet-id or instance-type"


def starts_on(kinds: Sequence[Kind], retry: Retry) -> Kind | None:
    """Return the kind that a run would begin with; None if EC2 would refuse all it may try.

    The reap function goes down the ladder in the same way (parris/runs/attempts.py, `follow`).
    """
    ladder = [(kind, rung) for kind in kinds for rung in kind.rungs]
    refused: list[tuple[Rung, Cause]] = []
    for _ in range(len(ladder) if CAPACITY in retry.on else 1):
        rung = untried(refused, [rung for _, rung in ladder])
        if rung is None:
            return None
        kind = next(kind for kind, one in ladder if one == rung)
        if kind.cause is None:
            return kind
        refused.append((rung, kind.cause))
    return None


def reachable(kinds: Sequence[Kind], first: Kind, retry: Retry) -> list[Kind]:
    """Return the kinds that a run which begins with `first` may come to."""
    if not retry.on:
        return [first]
    return [kind for kind in kinds if kind.cause is None]


def cause_of(market: str, *, offered: bool, quota: str | None) -> Cause | None:
    """Return what a refusal says of other rungs, if there is one."""
    if not offered:
        return NOT_OFFERED
    if quota is None:
        return None
    return SPOT_QUOTA if market == SPOT else QUOTA


def worst_usd(
    reached: Sequence[Kind], begun: datetime, over: datetime, budget_usd: Decimal | None
) -> Decimal | None:
    """Return what a run may have cost by its deadline, in US dollars; None without a price.

    Args:
        reached: the kinds it may come to.
        budget_usd: what it may cost, if that counts: each machine ends by what is left of it.
    """
    hourly = [kind.most_hourly_usd for kind in reached]
    known = [usd for usd in hourly if usd is not None]
    if len(known) < len(hourly) or not known:
        return None
    # EC2 bills at least a minute (runs/budget.py).
    usd = max(known) * Decimal(max(60, (over - begun).total_seconds())) / 3600
    return (usd if budget_usd is None else min(usd, budget_usd)).quantize(Decimal("0.0001"))
