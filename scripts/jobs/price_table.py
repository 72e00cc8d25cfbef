"""What EC2 costs in us-east-1, for the embedded cloud's price APIs and for checks without AWS.

On-demand prices are in on_demand_prices.json, which names its source and its date: every type,
of current and previous generations, that is sold by the hour. What is only sold as a dedicated
host (mac) or a capacity block (trn2) has no such price. Storage and addresses: the public price
lists ("Amazon EBS pricing"; "Amazon VPC pricing", public IPv4 addresses). They are here to
calculate with: on a real account the real Price List answers.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from parris.errors import meant

REGION = "us-east-1"
LOCATION = "US East (N. Virginia)"

_LIST = json.loads(Path(__file__).with_name("on_demand_prices.json").read_text())
PUBLISHED: str = _LIST["published"]

HOURLY_USD = {
    f"{family}.{size}": Decimal(usd)
    for family, sizes in _LIST["hourly-usd"].items()
    for size, usd in sizes.items()
}
"""On-demand, Linux, shared tenancy, per hour."""

GP3_MONTHLY_USD = Decimal("0.08")
"""gp3 storage, per GB and month."""

IPV4_HOURLY_USD = Decimal("0.005")
"""A public IPv4 address, in use or idle, per hour, since February 2024."""

SPOT_SHARE = Decimal("0.36")
SPOT_SHARE_STEP = Decimal("0.02")
"""Spot prices as a share of on-demand: of the first zone, and by how much each next one is dearer.
Made up, near what the spot price history shows for most types."""


def nearest(instance_type: str) -> str | None:
    """Return what to say to somebody who named a type that the list has not; None if it has."""
    if instance_type in HOURLY_USD:
        return None
    return meant(instance_type, HOURLY_USD)


def spot_usd(instance_type: str, zone: str) -> Decimal | None:
    """Return an hour's spot price in a zone, ``us-east-1b``, or None for an unknown type."""
    hourly = HOURLY_USD.get(instance_type)
    if hourly is None:
        return None
    share = SPOT_SHARE + SPOT_SHARE_STEP * (ord(zone[-1]) - ord("a"))
    return (hourly * share).quantize(Decimal("0.000001"))
