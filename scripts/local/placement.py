"""Where an instance goes, and whether there is a machine for it.

Stands in for what RunInstances does with a zone or a subnet, or without either ("Regions and
Zones", EC2 user guide: with none named EC2 chooses one of the default VPC's), for offerings
("DescribeInstanceTypeOfferings", EC2 API reference) and for the price that a spot request may
cost at most ("Spot Instances", EC2 user guide: the on-demand price unless it says less).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ministack.services import ec2

from scripts.jobs import price_table
from scripts.local import capacity, faults

Request = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Obstacle:
    code: str
    rule: faults.CapacityRule | None = None


def subnet_for(request: Request) -> str:
    """Return the subnet that a launch goes to.

    Args:
        request: RunInstances' parameters, also AvailabilityZone as AWS::EC2::Instance has it.

    Raises:
        capacity.Refused: if EC2 has no machine there.
    """
    candidates = _candidates(request)
    obstacles = {subnet: _obstacle(request, subnet) for subnet in candidates}
    for subnet, obstacle in obstacles.items():
        if obstacle is None:
            faults.grant(_launch(request, subnet))
            return subnet
    subnet, obstacle = next(iter(obstacles.items()))
    assert obstacle is not None  # noqa: S101  # else it was returned above
    if obstacle.rule is not None:
        faults.strike(obstacle.rule)
    text = capacity.message(
        obstacle.code,
        named=bool(_subnet(request) or _zone(request)),
        spot=is_spot(request),
        facts=_facts(request, subnet),
    )
    raise capacity.refused(obstacle.code, text)


def group(request: Request) -> str:
    """Return the name of the placement group that a launch asks for; "" for none."""
    placement = request.get("Placement") or {}
    return str(request.get("PlacementGroupName") or placement.get("GroupName") or "")


def zone_of(subnet: str) -> str:
    return str(ec2._subnets[subnet]["AvailabilityZone"])


def spot_usd(instance_type: str, zone: str) -> Decimal | None:
    """Return what a spot machine costs an hour now, or None for a type that nobody knows."""
    moved = faults.spot_usd(instance_type, zone)
    return price_table.spot_usd(instance_type, zone) if moved is None else moved


def is_spot(request: Request) -> bool:
    return (request.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"


def _candidates(request: Request) -> list[str]:
    if subnet := _subnet(request):
        return [subnet]
    zone = _zone(request)
    found = sorted(
        name
        for name, subnet in ec2._subnets.items()
        if subnet.get("DefaultForAz") and subnet["AvailabilityZone"] == (zone or zone_of(name))
    )
    if not found:
        text = f"Invalid availability zone: [{zone}]"
        raise capacity.refused("InvalidParameterValue", text)
    return found


def _subnet(request: Request) -> str:
    interface = (request.get("NetworkInterfaces") or [{}])[0]
    return str(request.get("SubnetId") or interface.get("SubnetId") or "")


def _zone(request: Request) -> str:
    placement = request.get("Placement") or {}
    return str(request.get("AvailabilityZone") or placement.get("AvailabilityZone") or "")


def _obstacle(request: Request, subnet: str) -> _Obstacle | None:
    launch = _launch(request, subnet)
    kind, market, zone = launch["instance-type"], launch["market"], launch["zone"]
    if not faults.is_offered(kind, zone):
        return _Obstacle(code="Unsupported")
    rule = faults.of_capacity(launch)
    if rule is not None:
        return _Obstacle(code=rule.error, rule=rule)
    price, most = spot_usd(kind, zone), _most(request)
    if market == "spot" and price is not None and most is not None and most < price:
        return _Obstacle(code="SpotMaxPriceTooLow")
    return None


def _launch(request: Request, subnet: str) -> dict[str, str]:
    """Return what the rules of a fault go by."""
    market = "spot" if is_spot(request) else "on-demand"
    kind = instance_type(request)
    return {"instance-type": kind, "market": market, "zone": zone_of(subnet), "subnet": subnet}


def instance_type(request: Request) -> str:
    return str(request.get("InstanceType") or "m1.small")


def _most(request: Request) -> Decimal | None:
    options = (request.get("InstanceMarketOptions") or {}).get("SpotOptions") or {}
    if said := options.get("MaxPrice"):
        return Decimal(said)
    return price_table.HOURLY_USD.get(instance_type(request))


def _facts(request: Request, subnet: str) -> dict[str, str]:
    kind, zone = instance_type(request), zone_of(subnet)
    others = sorted(
        {
            zone_of(other)
            for other, found in ec2._subnets.items()
            if found.get("DefaultForAz") and _obstacle(request, other) is None
        }
        - {zone}
    )
    return {
        "type": kind,
        "zone": zone,
        "subnet": subnet,
        "others": ", ".join(others),
        "most": _usd(_most(request)),
        "price": _usd(spot_usd(kind, zone)),
    }


def _usd(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount.normalize():f}"
