"""Dollars that a deployment allows: what they make of a plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from parris.errors import InvalidConfig, PriceUnknown
from parris.jobs.config import read_config
from parris.runs.budget import Price, worst_usd
from parris.runs.plan import RunPlan, plan_run, receipt
from parris.runs.priced import with_share, within_budget, without_price
from tests.plans import NOW, SETTINGS, read_request

GRACE = timedelta(minutes=15)
PRICE = Price(
    parts={
        "instance": Decimal("0.05"),
        "volume": Decimal("0.006"),
        "public-ipv4": Decimal("0.004"),
    },
    source="s",
    read=NOW,
    spot=False,
)


def planned(config: str = "{}", **settings: Any) -> RunPlan:
    request = read_request({"event-id": "e"}, "r")
    given = replace(SETTINGS, **settings)
    read = read_config(config, "test")
    return plan_run(request, read, given, NOW, run_id="20261124-120000-00000000", nonce="n")


def test_max_run_usd_is_the_cost_limit_of_a_job_that_names_none() -> None:
    plan = within_budget(planned(max_run_usd=Decimal("0.06")), PRICE)
    assert plan.limit_minutes == 60
    assert receipt(plan)["cost-limit-usd"] == "0.06"


def test_max_run_usd_caps_a_cost_limit_and_says_so() -> None:
    config = '{"termination-method": "around-cost", "cost-limit": 5}'
    plan = planned(config, max_run_usd=Decimal(2))
    assert plan.budget_usd == 2
    assert plan.notes == (
        "cost-limit 5 is above the deployment's max_run_usd; the run may cost 2 US dollars",
    )
    assert planned(config, max_run_usd=Decimal(7)).budget_usd == 5


def test_a_max_run_usd_that_buys_nothing_is_named() -> None:
    with pytest.raises(InvalidConfig, match=r"max_run_usd: 0\.001 US dollars buy 1 minutes"):
        within_budget(planned(max_run_usd=Decimal("0.001")), PRICE)


@pytest.mark.parametrize("setting", ["max_run_usd", "monthly_budget_usd"])
def test_no_limit_in_dollars_is_kept_without_a_price(setting: str) -> None:
    given: dict[str, Any] = {setting: Decimal(5)}
    plan = planned(**given)
    with pytest.raises(PriceUnknown, match=f"no answer; .* keep to {setting}: launch again"):
        without_price(plan, PriceUnknown("no answer"))


def test_the_worst_case_goes_on_until_the_stack_deletes_itself() -> None:
    assert worst_usd(Decimal("0.06"), 60, None, GRACE) == Decimal("0.0760")
    assert worst_usd(Decimal("0.06"), 60, Decimal("0.02"), GRACE) == Decimal("0.0360")
    assert worst_usd(Decimal("0.06"), 60, Decimal(9), GRACE) == Decimal("0.0760")


def test_what_is_reserved_stands_in_the_receipt_where_there_is_a_budget() -> None:
    plan = within_budget(
        planned('{"termination-method": "at-fixed-time", "time-limit": 60}'), PRICE
    )
    assert "reserved-usd" not in receipt(plan)
    whole = with_share(plan, Decimal("0.12"), GRACE)
    assert receipt(whole)["reserved-usd"] == "0.1520"


def test_a_spot_price_is_kept_beside_that_on_demand() -> None:
    spot = replace(PRICE, spot=True, on_demand=Decimal("0.2"))
    assert spot.record()["on-demand-hourly-usd"] == "0.210000"
    assert "on-demand-hourly-usd" not in PRICE.record()
