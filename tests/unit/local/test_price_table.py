"""The embedded cloud's price list, against what is known of it from elsewhere."""

from __future__ import annotations

from decimal import Decimal

import pytest

from scripts.jobs import price_table


@pytest.mark.parametrize(
    ("instance_type", "usd"),
    [
        # As AWS's own pages gave them ("Amazon EC2 On-Demand Pricing", Linux, us-east-1).
        ("t2.micro", "0.0116"),
        ("m1.small", "0.044"),  # previous generations
        ("t1.micro", "0.02"),
        ("p2.xlarge", "0.9"),
        ("t3.medium", "0.0416"),
        ("c7g.large", "0.0725"),
        ("m5.large", "0.096"),
        ("g5.xlarge", "1.006"),
        ("p3.2xlarge", "3.06"),
    ],
)
def test_current_and_previous_generations_have_their_price(instance_type: str, usd: str) -> None:
    assert price_table.HOURLY_USD[instance_type] == Decimal(usd)


def test_every_price_is_one() -> None:
    assert len(price_table.HOURLY_USD) > 1_300
    assert all(0 < usd < 1_000 for usd in price_table.HOURLY_USD.values())


@pytest.mark.parametrize(
    ("instance_type", "said"),
    [
        ("t3.medium", None),
        ("t3.mediun", "; did you mean t3.medium?"),
        ("c7i.largee", "; did you mean c7i.large?"),
        ("zzzzz.qqqqq", ""),
    ],
)
def test_a_type_that_is_none_is_answered_with_the_nearest(
    instance_type: str, said: str | None
) -> None:
    assert price_table.nearest(instance_type) == said
