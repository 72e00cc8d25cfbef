"""AWS::EC2::SecurityGroupIngress in CloudFormation, which MiniStack lacks.

Stands in for the resource type (CloudFormation template reference), and for EC2's refusal to delete
a security group that a machine still has (EC2 API reference, "DeleteSecurityGroup":
DependencyViolation).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from scripts.local import handler_failure

TYPE, GROUP = "AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroup"


class NoSuchGroup(ValueError):
    """A rule for a group that is not there, in EC2's words."""


class InUse(ValueError):
    """A group that a machine has, in CloudFormation's words."""


def register() -> None:
    """Teach MiniStack's CloudFormation the type, and let no group go that is in use."""
    provisioners._RESOURCE_HANDLERS[TYPE] = {"create": _create, "delete": _delete}
    provisioners._REPLACING_PROPERTIES[TYPE] = ("GroupId", "IpProtocol", "SourceSecurityGroupId")
    # createOnlyProperties of the type's public schema. MiniStack replaces a group within its update
    # handler, so that the stack's role was asked for what an update calls.
    provisioners._REPLACING_PROPERTIES[GROUP] = ("GroupDescription", "GroupName", "VpcId")
    handlers = provisioners._RESOURCE_HANDLERS[GROUP]
    handlers["delete"] = _unless_in_use(handlers["delete"])


def _create(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, Any]:
    group = ec2._security_groups.get(properties.get("GroupId"))
    if group is None:
        text = f"The security group '{properties.get('GroupId')}' does not exist"
        raise NoSuchGroup(handler_failure.words(text, status=400, code="NotFound"))
    group["IpPermissions"] += provisioners._ec2_sg_permissions([properties])
    rule = f"sgr-{new_uuid().replace('-', '')[:17]}"
    return rule, {"Id": rule}


def _delete(_rule: str, properties: dict[str, Any]) -> None:
    group = ec2._security_groups.get(properties.get("GroupId"))
    for gone in provisioners._ec2_sg_permissions([properties]):
        if group is not None and gone in group["IpPermissions"]:
            group["IpPermissions"].remove(gone)


def _unless_in_use(delete: Callable[[str, Any], None]) -> Callable[[str, Any], None]:
    def unless_in_use(group: str, properties: Any) -> None:
        for instance in ec2._instances.values():
            held = {one["GroupId"] for one in instance.get("SecurityGroups") or []}
            if group in held and instance["State"]["Name"] != "terminated":
                text = f"resource {group} has a dependent object"
                raise InUse(handler_failure.words(text, status=400, code="DependencyViolation"))
        delete(group, properties)

    return unless_in_use
