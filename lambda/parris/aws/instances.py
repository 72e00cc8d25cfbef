"""EC2: the machines of runs, read only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ..runs.ending import DEAD
from ..runs.lifecycle import Machine
from ..runs.names import NODE_TAG

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef


def list_machines(ec2: EC2Client, deployment: str, *run_ids: str) -> dict[str, Machine]:
    """Return the machines of `deployment` by run id; of several the newest, of nodes the head.

    Args:
        run_ids: of those runs alone, if any: EC2 lists what is terminated for an hour, which after
            a grid are thousands (EC2 API reference, "DescribeInstances").
    """
    filters: list[FilterTypeDef] = [{"Name": "tag:parris:deployment", "Values": [deployment]}]
    if run_ids:
        filters.append({"Name": "tag:parris:run-id", "Values": run_ids})
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
    found = [
        instance
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]
    return _heads(found)


def _heads(found: Sequence[Mapping[str, Any]]) -> dict[str, Machine]:
    """Return the newest head among instances, by run id, and whether a worker of its is over."""
    lost = {
        _tags(instance).get("parris:stack"): f"node {node_rank(instance)} of it "
        f"({instance['InstanceId']}) is {instance['State']['Name']}, and its head says nothing"
        for instance in found
        if node_rank(instance) != "0" and instance["State"]["Name"] in DEAD
    }
    return {
        _tags(instance).get("parris:run-id", ""): replace(
            _machine(instance), lost=lost.get(_tags(instance).get("parris:stack"), "")
        )
        for instance in sorted(found, key=lambda instance: instance["LaunchTime"])
        if node_rank(instance) == "0"
    }


def read_machine(
    ec2: EC2Client, instance_id: str, deployment: str
) -> tuple[Machine, Mapping[str, str]] | None:
    """Return a machine of `deployment`, of a worker its head, and its tags; None if it is not one.

    A worker whose head EC2 no longer lists is not one.
    """
    try:
        answer = ec2.describe_instances(InstanceIds=[instance_id])
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
        return None
    for reservation in answer["Reservations"]:
        for instance in reservation["Instances"]:
            if _tags(instance).get("parris:deployment") == deployment:
                if node_rank(instance) != "0":
                    return _head_of(ec2, instance, deployment)
                return _machine(instance), _tags(instance)
    return None


def _head_of(
    ec2: EC2Client, worker: Mapping[str, Any], deployment: str
) -> tuple[Machine, Mapping[str, str]] | None:
    tags = _tags(worker)
    answer = ec2.describe_instances(
        Filters=[
            {"Name": "tag:parris:stack", "Values": [tags.get("parris:stack", "")]},
            {"Name": "tag:parris:deployment", "Values": [deployment]},
        ]
    )
    found = [instance for each in answer["Reservations"] for instance in each["Instances"]]
    head = _heads(found).get(tags.get("parris:run-id", ""))
    return (head, tags) if head else None


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


def node_rank(instance: Mapping[str, Any]) -> str:
    """Return which node of its run an instance is; "0" is the head, and a machine alone."""
    return _tags(instance).get(NODE_TAG, "0")


def _tags(instance: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
