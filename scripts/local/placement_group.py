"""AWS::EC2::PlacementGroup in CloudFormation, which MiniStack lacks.

Stands in for the resource type (CloudFormation template reference), and for EC2's refusal to delete
a group that a machine is in ("You must terminate all instances in the placement group before you
can delete the placement group", EC2 API reference, "DeletePlacementGroup").
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from scripts.local import handler_failure

TYPE = "AWS::EC2::PlacementGroup"


class InUse(ValueError):
    """A group that a machine is in, in CloudFormation's words."""


def register() -> None:
    """Teach MiniStack's CloudFormation the type."""
    provisioners._RESOURCE_HANDLERS[TYPE] = {"create": _create, "delete": _delete}
    # createOnlyProperties of the type's public schema.
    provisioners._REPLACING_PROPERTIES[TYPE] = ("Tags", "Strategy", "SpreadLevel", "PartitionCount")


def _create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, Any]:
    # No property names it (readOnlyProperties of the schema).
    name = f"{stack}-{logical_id}-{new_uuid().replace('-', '')[:12].upper()}"
    identifier = ec2._new_placement_group_id()
    ec2._placement_groups[name] = {
        "GroupName": name,
        "GroupId": identifier,
        "State": "available",
        "Strategy": properties.get("Strategy") or "cluster",
        "GroupArn": ec2._placement_group_arn(name),
        "PartitionCount": 0,
    }
    ec2._tags[identifier] = list(properties.get("Tags") or [])
    return name, {"GroupName": name, "GroupId": identifier}


def _delete(name: str, _properties: dict[str, Any]) -> None:
    for instance in ec2._instances.values():
        is_inside = instance["Placement"].get("GroupName") == name
        if is_inside and instance["State"]["Name"] != "terminated":
            text = f"The placement group '{name}' is in use and may not be deleted."
            code = "InvalidPlacementGroup.InUse"
            raise InUse(handler_failure.words(text, status=400, code=code))
    group = ec2._placement_groups.pop(name, None)
    if group is not None:
        ec2._tags.pop(group["GroupId"], None)
