"""Room for one more run: below the deployment's number, and within its month's budget."""

from __future__ import annotations

from collections.abc import Mapping

from ..aws.ledger import Ledger
from ..aws.slots import Ask, Slot, Slots
from ..runs.month import MICROS, Reservation, Sums, beginning, month_of, to_micros
from ..runs.plan import RunPlan
from ..runs.record import RunRecord
from ..settings import Settings


def take_room(ledger: Ledger, plan: RunPlan, record: RunRecord, settings: Settings) -> Slot:
    """Count a run, and reserve what it may cost, if there is a budget and room for both.

    The first launch of a month that has a budget reads what the month's runs have cost so far.
    """
    slots, month = Slots(ledger.table), month_of(plan.claimed)
    limit, ask = settings.max_concurrent_runs, _ask(plan, record, settings)
    slot = slots.take(plan.stack_name, record.name, limit, month, ask)
    if not slot.begun:
        known = beginning(ledger.claimed_in(month), month, settings.grace)
        slots.begin_month(month, *known)
        slot = slots.take(plan.stack_name, record.name, limit, month, ask)
    return slot


def give_back(
    ledger: Ledger, plan: RunPlan, record: RunRecord, settings: Settings, previous: str | None
) -> None:
    """Let a run no longer count that has come to nothing; the `previous` one does again."""
    slots = Slots(ledger.table)
    slots.give_back(plan.stack_name, record.name, previous)
    if ask := _ask(plan, record, settings):
        slots.settle(ask.reservation, 0)


def _ask(plan: RunPlan, record: RunRecord, settings: Settings) -> Ask | None:
    if settings.monthly_budget_usd is None or plan.reserved_usd is None:
        return None
    reservation = Reservation(
        run=record.name,
        month=month_of(plan.claimed),
        micros=to_micros(plan.reserved_usd),
        claim=record.claims,
    )
    return Ask(reservation=reservation, budget=to_micros(settings.monthly_budget_usd))


def no_room(slot: Slot, plan: RunPlan, settings: Settings) -> str:
    """Return why there is no room, and what to do."""
    if slot.sums is not None:
        return over_budget(slot.sums, plan, settings)
    return too_many(slot.holders, settings.max_concurrent_runs)


def too_many(held: Mapping[str, str], limit: int) -> str:
    """Return why a run has no room, given who has some (`Slots.holders`)."""
    runs = ", ".join(f"{name} (run {run.partition('/')[2]})" for name, run in held.items())
    return (
        f"{len(held)} runs are under way, and max_concurrent_runs allows {limit}: {runs}; "
        "wait until one ends (make status), end one (make stop RUN=…), or raise "
        "max_concurrent_runs and apply"
    )


def over_budget(sums: Sums, plan: RunPlan, settings: Settings) -> str:
    """Return why the month's budget has no room for a run."""
    spent, reserved = sums.spent / MICROS, sums.reserved / MICROS
    worst, budget = float(plan.reserved_usd or 0), float(settings.monthly_budget_usd or 0)
    left = max(0.0, budget - spent - reserved)
    under_way = "1 run" if sums.runs == 1 else f"{sums.runs} runs"
    grace = int(settings.grace.total_seconds() // 60)
    waits = "wait until one ends, which gives back what it does not use (make costs); " * (
        sums.runs > 0
    )
    return (
        f"this run may cost ${worst:.4f}, and ${left:.4f} are left of monthly_budget_usd: in "
        f"{sums.month} ${spent:.4f} are spent and ${reserved:.4f} reserved for {under_way} under "
        f"way, with this one ${spent + reserved + worst:.4f} of ${budget:.2f}; it counts until "
        f"{plan.limit_minutes + grace} minutes from now, when its stack deletes itself; {waits}"
        "lower its time-limit or its cost-limit, or raise monthly_budget_usd and apply"
    )
