"""How many vCPUs EC2 lets an account run, by family and market, and how many run."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from parris.jobs.retry import ON_DEMAND, SPOT

SERVICE = "ec2"
_UNSET = "NoSuchResourceException"
"""An account's own value of a quota that was never changed (Service Quotas API reference,
"GetServiceQuota")."""

_COUNTED = {ON_DEMAND: ("running",), SPOT: ("pending", "running")}
"""States of machines that count. EC2 user guide, "Amazon EC2 instance type quotas": pending,
stopping, stopped and hibernated ones do not count on demand; spot machines count from the
request on."""

_ROWS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("quota_codes.json").read_text())[
    "quotas"
]


@dataclass(frozen=True, kw_only=True)
class Quota:
    """One quota of EC2 in vCPUs."""

    code: str
    name: str
    default: int
    """Of a new account."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A quota with what is taken of it."""

    quota: Quota
    limit: int
    used: int
    """vCPUs that run now, of the whole account."""

    @property
    def free(self) -> int:
        return max(0, self.limit - self.used)


def quota_of(instance_type: str, market: str) -> Quota | None:
    """Return the quota that a machine counts against, None if none is known."""
    generation = re.match(r"[a-z]+\d*", instance_type)
    family = re.match(r"[a-z]+", instance_type)
    if generation is None or family is None:
        return None
    for row in _ROWS:
        if {generation[0], family[0]} & set(row["families"]):
            held = row.get(market)
            return Quota(code=held[0], name=held[1], default=held[2]) if held else None
    return None


def by_code() -> dict[str, Quota]:
    """Return every quota that is known, by its code."""
    held = [row[market] for row in _ROWS for market in (ON_DEMAND, SPOT) if market in row]
    return {code: Quota(code=code, name=name, default=default) for code, name, default in held}


def read_limit(quotas: Any, quota: Quota) -> int:
    """Return how many vCPUs a quota allows: the account's own value, or AWS's default.

    Args:
        quotas: a client of Service Quotas.
    """
    asked = {"ServiceCode": SERVICE, "QuotaCode": quota.code}
    try:
        answer = quotas.get_service_quota(**asked)
    except ClientError as error:
        if error.response["Error"]["Code"] != _UNSET:
            raise
        answer = quotas.get_aws_default_service_quota(**asked)
    return int(answer["Quota"]["Value"])


def running(ec2: Any) -> Counter[tuple[str, str]]:
    """Return how many machines of the account count now, by type and market."""
    states = sorted({state for each in _COUNTED.values() for state in each})
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": states}],
        PaginationConfig={"PageSize": 1000},
    )
    found: Counter[tuple[str, str]] = Counter()
    for page in pages:
        for reservation in page["Reservations"]:
            for instance in reservation["Instances"]:
                market = _market(instance)
                if instance["State"]["Name"] in _COUNTED.get(market, ()):
                    found[instance["InstanceType"], market] += 1
    return found


def used(machines: Mapping[tuple[str, str], int], vcpus: Mapping[str, int], quota: Quota) -> int:
    """Return how many vCPUs of a quota `machines` (see `running`) take.

    Args:
        vcpus: by type, of those in `machines` too.
    """
    return sum(
        count * vcpus.get(kind, 0)
        for (kind, market), count in machines.items()
        if (other := quota_of(kind, market)) and other.code == quota.code
    )


def types_in(machines: Iterable[tuple[str, str]], quota_codes: Iterable[str]) -> set[str]:
    """Return the types in `machines` that count against quotas of these codes."""
    codes = set(quota_codes)
    return {
        kind
        for kind, market in machines
        if (quota := quota_of(kind, market)) and quota.code in codes
    }


def refusal(kind: str, needed: int, standing: Standing, region: str) -> str | None:
    """Return why EC2 would refuse machines for their quota, with the cure; None if it would not.

    Args:
        kind: what they are called.
        needed: vCPUs of all of them.
    """
    if needed <= standing.free:
        return None
    quota, runs = standing.quota, f", of which {standing.used} run" if standing.used else ""
    wanted = standing.used + needed
    return (
        f"{kind} needs {needed} vCPUs, and the quota {quota.name!r} is {standing.limit} in "
        f"{region}{runs}; ask for more, which AWS answers within hours or days: aws service-quotas "
        f"request-service-quota-increase --service-code {SERVICE} --quota-code {quota.code} "
        f"--desired-value {wanted} --region {region}; or name another instance-type or market"
    )


def _market(instance: Mapping[str, Any]) -> str:
    """Return how a machine was bought; of a capacity block, which has no quota, its own word."""
    return str(instance.get("InstanceLifecycle", ON_DEMAND))
