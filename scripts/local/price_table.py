"""What EC2 costs in us-east-1: the few rows that the embedded cloud's price APIs know.

Source: the public price lists of AWS for us-east-1 ("Amazon EC2 On-Demand Pricing", Linux;
"Amazon EBS pricing"; "Amazon VPC pricing", public IPv4 addresses), as they stood on `PUBLISHED`.
They are here to calculate with: on a real account the real Price List answers.
"""

from __future__ import annotations

from decimal import Decimal

REGION = "us-east-1"
LOCATION = "US East (N. Virginia)"
PUBLISHED = "2025-07-01T00:00:00Z"

HOURLY_USD = {
    "c5.large": Decimal("0.085"),
    "c7g.large": Decimal("0.0725"),
    "c7i.large": Decimal("0.08925"),
    "g4dn.xlarge": Decimal("0.526"),
    "g5.xlarge": Decimal("1.006"),
    "g6.xlarge": Decimal("0.8048"),
    "m5.large": Decimal("0.096"),
    "m5.xlarge": Decimal("0.192"),
    "p3.2xlarge": Decimal("3.06"),
    "r5.large": Decimal("0.126"),
    "t3.large": Decimal("0.0832"),
    "t3.medium": Decimal("0.0416"),
    "t3.micro": Decimal("0.0104"),
    "t3.small": Decimal("0.0208"),
    "t3.xlarge": Decimal("0.1664"),
    "t4g.medium": Decimal("0.0336"),
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


def spot_usd(instance_type: str, zone: str) -> Decimal | None:
    """Return an hour's spot price in a zone, ``us-east-1b``, or None for an unknown type."""
    hourly = HOURLY_USD.get(instance_type)
    if hourly is None:
        return None
    share = SPOT_SHARE + SPOT_SHARE_STEP * (ord(zone[-1]) - ord("a"))
    return (hourly * share).quantize(Decimal("0.000001"))
