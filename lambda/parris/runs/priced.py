"""A planned run with the price of its machine, and what follows from that."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from ..errors import InvalidConfig, PriceUnknown
from ..jobs import config as configuration
from .budget import BudgetTooSmall, Price, minutes_for_budget, worst_usd
from .plan import GRID_COST_LIMIT, RunPlan


def within_budget(plan: RunPlan, price: Price) -> RunPlan:
    """Return `plan` with its price, ended where its budget ends if that is earlier.

    Raises:
        InvalidConfig: if the budget is too small to begin.
    """
    if plan.budget_usd is None:
        moves = ("the spot price may rise, to the on-demand price at most",) if price.spot else ()
        return replace(plan, price=price, notes=(*plan.notes, *moves))
    try:
        minutes = minutes_for_budget(plan.budget_usd, price.hourly_usd)
    except BudgetTooSmall as error:
        source = f"{plan.job}/{configuration.CONFIG_FILENAME}"
        raise InvalidConfig(source, [f"{plan.capped_by}: {error}"]) from error
    spare = max(0, plan.limit_minutes - minutes)
    return replace(
        plan,
        price=price,
        limit_minutes=plan.limit_minutes - spare,
        deadline=plan.deadline - timedelta(minutes=spare),
        delete_at=plan.delete_at - timedelta(minutes=spare),
    )


def without_price(plan: RunPlan, error: PriceUnknown) -> RunPlan:
    """Return `plan` with a note on why it has no price.

    Raises:
        PriceUnknown: if nothing but its budget would end the run (``around-cost``), or if the
            deployment has a limit in dollars.
    """
    if plan.priced_for:
        cure = f"launch again, or set {plan.priced_for} to null and apply"
        if plan.priced_for == GRID_COST_LIMIT:
            cure = "it is launched again, or start a grid without one"
        raise PriceUnknown(
            f"{error}; without a price nobody can keep to {plan.priced_for}: {cure}"
        ) from error
    if plan.budget_usd is None:
        return replace(plan, notes=(*plan.notes, f"price unknown: {error}"))
    if plan.config.termination_method == configuration.COST:
        raise error
    note = (
        f"cost-limit {plan.budget_usd} has no effect, since the price is unknown ({error}); "
        f"the time-limit ends the run after {plan.limit_minutes} minutes"
    )
    return replace(plan, budget_usd=None, notes=(*plan.notes, note))


def with_share(plan: RunPlan, most_hourly_usd: Decimal, grace: timedelta) -> RunPlan:
    """Return a priced `plan` with what all its machines together may cost at most.

    Args:
        most_hourly_usd: what an hour of the dearest machine of its ladder may cost.
        grace: how long after its deadline its stack deletes itself.
    """
    worst = worst_usd(most_hourly_usd, plan.limit_minutes, plan.budget_usd, grace)
    whose = "its grid's cost-limit" if plan.request.trial else "the month's budget"
    note = f"{worst:f} US dollars of {whose} are reserved for it until it is over"
    return replace(plan, reserved_usd=worst, notes=(*plan.notes, note))
