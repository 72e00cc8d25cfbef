"""DescribeInstanceTypes as EC2 answers it, and the offerings, which MiniStack lacks.

A type that does not exist is refused by name (EC2 API reference, "Error codes for the Amazon EC2
API", InvalidInstanceType); MiniStack has every type that anybody asks for. Those of the price table
exist, all others do not, with the processor, the vCPUs and the placement groups that their names
tell. Each is offered in
every zone of the default VPC but where a fault takes it away (faults.py, ``not-offered``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ec2

from parris.runs.images import default_image
from scripts.jobs import price_table
from scripts.local import faults

_FILTERS = {"instance-type", "location"}
_ITEM = re.compile(
    r"<instanceType>([^<]+)</instanceType>.*?<supportedArchitectures>.*?</supportedArchitectures>"
    r".*?<vCpuInfo>.*?</vCpuInfo>",
    re.DOTALL,
)
_STRATEGIES = re.compile(
    r"(<instanceType>([^<]+)</instanceType>(?:(?!<instanceType>).)*?<supportedStrategies>).*?"
    r"(?=</supportedStrategies>)",
    re.DOTALL,
)
_NO_CLUSTER = re.compile(r"t\d|mac|[a-z0-9]+-flex\.")


def register() -> None:
    """Put the refusal before MiniStack's answer, and add the other action."""
    describe = ec2._ACTION_MAP["DescribeInstanceTypes"]

    def describe_instance_types(parameters: dict[str, Any]) -> Any:
        asked = ec2._parse_member_list(parameters, "InstanceType")
        if unknown := [name for name in asked if name not in price_table.HOURLY_USD]:
            message = f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
            return ec2._error("InvalidInstanceType", message, 400)
        status, headers, body = describe(parameters)
        text = _ITEM.sub(_told_by_its_name, body.decode())
        return status, headers, _STRATEGIES.sub(_with_strategies, text).encode()

    ec2._ACTION_MAP["DescribeInstanceTypes"] = describe_instance_types
    ec2._ACTION_MAP["DescribeInstanceTypeOfferings"] = _describe_offerings


def vcpus(instance_type: str) -> int:
    """Return how many vCPUs a size has in most families ("Instance types", EC2 user guide)."""
    size = instance_type.rpartition(".")[2]
    if found := re.fullmatch(r"(\d*)xlarge", size):
        return 4 * int(found[1] or 1)
    return 96 if size.startswith("metal") else 2


def strategies(instance_type: str) -> list[str]:
    """Return the placement groups that a type may be in.

    In a cluster: all but burstable, Mac and flex types ("Placement strategies for your placement
    groups", EC2 user guide, rules and limitations of cluster placement groups).
    """
    return [*([] if _NO_CLUSTER.match(instance_type) else ["cluster"]), "partition", "spread"]


def _with_strategies(found: re.Match[str]) -> str:
    return found[1] + "".join(f"<item>{name}</item>" for name in strategies(found[2]))


def _told_by_its_name(found: re.Match[str]) -> str:
    count = vcpus(found[1])
    processor = "arm64" if "arm64" in default_image(found[1]) else "x86_64"
    text = re.sub(
        r"(<supportedArchitectures>).*?(</supportedArchitectures>)",
        rf"\1<item>{processor}</item>\2",
        found[0],
        flags=re.DOTALL,
    )
    cores = re.sub(r"(<defaultVCpus>)\d+", rf"\g<1>{count}", text)
    return re.sub(r"(<defaultCores>)\d+", rf"\g<1>{count}", cores)


def _describe_offerings(parameters: dict[str, Any]) -> Any:
    location = ec2._p(parameters, "LocationType") or "region"
    filters = ec2._parse_filters(parameters)
    if unknown := set(filters) - _FILTERS:
        message = f"The filter '{min(unknown)}' is invalid"
        return ec2._error("InvalidParameterValue", message, 400)
    items = [
        f"<item><instanceType>{kind}</instanceType><locationType>{location}</locationType>"
        f"<location>{place}</location></item>"
        for kind, place in _offerings(location)
        if _fits(kind, filters.get("instance-type")) and _fits(place, filters.get("location"))
    ]
    inner = f"<instanceTypeOfferingSet>{''.join(items)}</instanceTypeOfferingSet>"
    return ec2._xml(200, "DescribeInstanceTypeOfferingsResponse", inner)


def _offerings(location: str) -> Iterator[tuple[str, str]]:
    subnets = [subnet for subnet in ec2._subnets.values() if subnet.get("DefaultForAz")]
    by_id = location == "availability-zone-id"
    names = {
        subnet["AvailabilityZone"]: subnet["AvailabilityZoneId" if by_id else "AvailabilityZone"]
        for subnet in subnets
    }
    for kind in sorted(price_table.HOURLY_USD):
        offered = [name for zone, name in sorted(names.items()) if faults.is_offered(kind, zone)]
        if location == "region":
            offered = [get_region()] if offered else []
        for place in offered:
            yield kind, place


def _fits(value: str, patterns: list[str] | None) -> bool:
    """Return whether one of a filter's values fits; ``*`` and ``?`` are wildcards there."""
    return patterns is None or any(fnmatchcase(value, pattern) for pattern in patterns)
