"""EC2: the machines of runs, read only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ..runs.lifecycle import Machine

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def list_machines(ec2: EC2Client, deployment: str) -> dict[str, Machine]:
    """Return the machines of `deployment` by run id; of several the newest."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "tag:parris:deployment", "Values": [deployment]}]
    )
    found = [
        instance
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]
    found.sort(key=lambda instance: instance["LaunchTime"])
    return {_tags(instance).get("parris:run-id", ""): _machine(instance) for instance in found}


def read_machine(
    ec2: EC2Client, instance_id: str, deployment: str
) -> tuple[Machine, Mapping[str, str]] | None:
    """Return a machine of `deployment` and its tags; None if it is not one."""
    try:
        answer = ec2.describe_instances(InstanceIds=[instance_id])
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
        return None
    for reservation in answer["Reservations"]:
        for instance in reservation["Instances"]:
            if _tags(instance).get("parris:deployment") == deployment:
                return _machine(instance), _tags(instance)
    return None


def read_console(ec2: EC2Client, instance_id: str) -> str:
    """Return what a machine printed on its console, as far as EC2 still has it."""
    try:
        answer = ec2.get_console_output(InstanceId=instance_id)
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("InvalidInstanceID"):
            raise
        return ""
    return answer.get("Output", "")


def offered_subnets(
    ec2: EC2Client, types: Sequence[str], subnets: Sequence[str]
) -> dict[str, list[str]]:
    """Return for each instance type those of `subnets` whose zone has it.

    Without `subnets` the default VPC's, one a zone, are looked through.
    """
    zones = subnet_zones(ec2, subnets)
    ordered = list(subnets) or sorted(zones, key=lambda subnet: zones[subnet])
    pairs = offered_zones(ec2, types)
    return {
        kind: [subnet for subnet in ordered if (kind, zones.get(subnet)) in pairs] for kind in types
    }


def subnet_zones(ec2: EC2Client, subnets: Sequence[str]) -> dict[str, str]:
    """Return the zones of `subnets`, by subnet; without them of the default VPC's, one a zone."""
    if subnets:
        asked = ec2.describe_subnets(SubnetIds=list(subnets))
    else:
        only = [{"Name": "default-for-az", "Values": ["true"]}]
        asked = ec2.describe_subnets(Filters=only)  # type: ignore[arg-type]
    return {item["SubnetId"]: item["AvailabilityZone"] for item in asked["Subnets"]}


def offered_zones(ec2: EC2Client, types: Sequence[str]) -> set[tuple[str, str]]:
    """Return each type of `types` with each zone that has it."""
    offers: Any = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": list(types)}],
    )
    return {
        (offer["InstanceType"], offer["Location"])
        for page in offers
        for offer in page["InstanceTypeOfferings"]
    }


def _machine(instance: Mapping[str, Any]) -> Machine:
    return Machine(
        instance_id=instance["InstanceId"],
        state=instance["State"]["Name"],
        reason=instance.get("StateReason", {}).get("Code", ""),
        launched=instance["LaunchTime"],
        ended=_ended(instance.get("StateTransitionReason", "")),
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
    )


def _ended(said: str) -> datetime | None:
    """Return the time in a StateTransitionReason: "User initiated (2026-11-24 12:00:00 GMT)"."""
    found = re.search(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)", said)
    return datetime.fromisoformat(f"{found[1]}+00:00") if found else None


def _tags(instance: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
