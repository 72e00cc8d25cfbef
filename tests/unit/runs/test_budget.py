"""Dollars become minutes, and minutes dollars."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parris.runs.budget import MINIMUM_MINUTES, BudgetTooSmall, Price, cost, minutes_for_budget

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
AMOUNTS = st.decimals(Decimal("0.0001"), Decimal(100_000), places=4)


@given(budget=AMOUNTS, hourly=AMOUNTS)
def test_the_minutes_cost_no_more_than_the_budget_and_one_more_would(
    budget: Decimal, hourly: Decimal
) -> None:
    try:
        minutes = minutes_for_budget(budget, hourly)
    except BudgetTooSmall:
        assert hourly * MINIMUM_MINUTES / 60 > budget
    else:
        assert hourly * minutes / 60 <= budget < hourly * (minutes + 1) / 60


@given(hourly=AMOUNTS)
def test_the_smallest_budget_that_a_refusal_names_would_do(hourly: Decimal) -> None:
    with pytest.raises(BudgetTooSmall) as refusal:
        minutes_for_budget(hourly / 1000, hourly)
    smallest = Decimal(str(refusal.value).rsplit(" ", 1)[1])
    assert minutes_for_budget(smallest, hourly) >= MINIMUM_MINUTES


def test_only_a_spot_machine_has_a_maximum_price() -> None:
    parts = {"instance": Decimal("0.04"), "volume": Decimal("0.003"), "public-ipv4": Decimal(0)}
    spot = Price(parts=parts, source="s", read=NOW, spot=True)
    assert spot.max_spot_price == "0.04"
    assert Price(parts=parts, source="s", read=NOW, spot=False).max_spot_price == ""
    assert spot.record()["hourly-usd"] == "0.043000"


def test_a_run_costs_by_the_second_and_a_minute_at_least() -> None:
    receipt: Any = {"price": {"hourly-usd": "0.36"}}
    assert cost(receipt, NOW, NOW + timedelta(seconds=100)) == 0.01
    assert cost(receipt, NOW, NOW + timedelta(seconds=1)) == 0.006
    assert cost({"price": None}, NOW, NOW) is None
