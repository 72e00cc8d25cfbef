"""EC2's spot price history, which MiniStack lacks.

Stands in for DescribeSpotPriceHistory (EC2 API reference): for every type of the price table the
price now in effect in each zone. It has no past; a fault moves a price (faults.py, ``spot-usd``).
"""

from __future__ import annotations

import datetime
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ec2

from scripts.jobs import price_table
from scripts.local import placement

_PRODUCT = "Linux/UNIX"
_ASKED_AS = {_PRODUCT, f"{_PRODUCT} (Amazon VPC)"}
_ZONES = "abcdef"


def register() -> None:
    """Add the action."""
    ec2._ACTION_MAP["DescribeSpotPriceHistory"] = _describe_spot_price_history


def _describe_spot_price_history(parameters: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    wanted = {
        "instance-type": set(ec2._parse_member_list(parameters, "InstanceType")),
        "product-description": set(ec2._parse_member_list(parameters, "ProductDescription")),
        "availability-zone": {ec2._p(parameters, "AvailabilityZone")} - {""},
    }
    if ec2._parse_filters(parameters):
        message = "Filters are not known here: use InstanceTypes and AvailabilityZone"
        return ec2._error("InvalidParameterValue", message, 400)  # type: ignore[no-any-return]
    region = get_region()
    since = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    items = []
    if not wanted["product-description"] or wanted["product-description"] & _ASKED_AS:
        for instance_type in sorted(wanted["instance-type"] or price_table.HOURLY_USD):
            for zone in (f"{region}{letter}" for letter in _ZONES):
                usd = placement.spot_usd(instance_type, zone)
                if usd is None or zone not in (wanted["availability-zone"] or {zone}):
                    continue
                items.append(
                    f"<item><instanceType>{instance_type}</instanceType>"
                    f"<productDescription>{_PRODUCT}</productDescription>"
                    f"<spotPrice>{usd}</spotPrice>"
                    f"<timestamp>{since:%Y-%m-%dT%H:%M:%S.000Z}</timestamp>"
                    f"<availabilityZone>{zone}</availabilityZone></item>"
                )
    inner = f"<spotPriceHistorySet>{''.join(items)}</spotPriceHistorySet><nextToken></nextToken>"
    return ec2._xml(200, "DescribeSpotPriceHistoryResponse", inner)  # type: ignore[no-any-return]
