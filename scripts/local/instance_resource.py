"""AWS::EC2::Instance in CloudFormation, which MiniStack lacks.

Stands in for the resource type ("AWS::EC2::Instance", CloudFormation template reference): launch
from a launch template and the instance's own properties, its attributes, which changes replace it,
which only interrupt it, and its deletion.
"""

from __future__ import annotations

import re
from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners, stacks

from scripts.local import faults, instances
from scripts.local.launch import InvalidLaunch, is_true, launch

TYPE = "AWS::EC2::Instance"

# createOnlyProperties of the type's public schema.
_REPLACING = (
    "AvailabilityZone",
    "CpuOptions",
    "EnclaveOptions",
    "HibernationOptions",
    "HostResourceGroupArn",
    "ImageId",
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "KeyName",
    "LaunchTemplate",
    "LicenseSpecifications",
    "NetworkInterfaces",
    "PlacementGroupName",
    "PrivateIpAddress",
    "SecurityGroups",
    "SubnetId",
)
# "Update requires: Some interruptions": the instance stops, changes and starts again.
_INTERRUPTING = ("EbsOptimized", "InstanceType", "UserData")
_OFF_SECONDS = instances.STOP_GRACE_SECONDS + 30


def register() -> None:
    """Teach MiniStack's CloudFormation the type."""
    provisioners._RESOURCE_HANDLERS[TYPE] = {
        "create": _create,
        "update": _update,
        "delete": _delete,
    }
    provisioners._REPLACING_PROPERTIES[TYPE] = _REPLACING
    provisioners._STACK_TAG_PROPERTY[TYPE] = ("Tags", "list")
    on_worker_thread = stacks._runs_on_worker_thread
    # A boot and above all a power-off take seconds, in which the server must go on answering.
    stacks._runs_on_worker_thread = lambda name: name == TYPE or on_worker_thread(name)


def _create(_logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, Any]:
    if reason := faults.of_creation(stack):
        raise InvalidLaunch(reason)
    request = _launch_request(properties)
    record = launch(request)
    return record["InstanceId"], _attributes(record)


def _update(
    instance_id: str, old: dict[str, Any], new: dict[str, Any], _stack: str
) -> tuple[str, Any]:
    record = ec2._instances[instance_id]
    request = _launch_request(new)
    if any(old.get(name) != new.get(name) for name in _INTERRUPTING):
        instances.end(record, "stopping", "stopped", instances.STOP_GRACE_SECONDS)
        instances.wait_until_off(instance_id, _OFF_SECONDS)
        record["InstanceType"] = request.get("InstanceType") or record["InstanceType"]
        record["UserData"] = request.get("UserData") or ""
        instances.start(record)
    record["DisableApiTermination"] = is_true(request.get("DisableApiTermination"))
    behaviour = request.get("InstanceInitiatedShutdownBehavior") or "stop"
    record["InstanceInitiatedShutdownBehavior"] = behaviour
    ec2._tags[instance_id] = request["Tags"]
    return instance_id, _attributes(record)


def _delete(instance_id: str, _properties: dict[str, Any]) -> None:
    record = ec2._instances.get(instance_id)
    if record is None:  # terminated by itself, and forgotten
        return
    if record["DisableApiTermination"]:
        raise InvalidLaunch(
            f"The instance '{instance_id}' may not be terminated. Modify its "
            "'disableApiTermination' instance attribute and try again."
        )
    instances.end(record, "shutting-down", "terminated", instances.TERMINATE_GRACE_SECONDS)
    if not instances.wait_until_off(instance_id, _OFF_SECONDS):
        raise TimeoutError(f"Resource {instance_id} did not stabilize.")


def _launch_request(properties: dict[str, Any]) -> dict[str, Any]:
    """Return RunInstances' parameters: the launch template's, overridden by the instance's own."""
    template = _template_data(properties.get("LaunchTemplate") or {})
    own = {name: value for name, value in properties.items() if name != "LaunchTemplate"}
    if name := own.pop("IamInstanceProfile", None):  # a name here, an object there
        own["IamInstanceProfile"] = {"Name": name}
    request = template | own
    own_tags = provisioners._tag_map(own.get("Tags"))
    tags = _tags_for("instance", template) | own_tags
    volume_tags = _tags_for("volume", template)
    if is_true(own.get("PropagateTagsToVolumeOnCreation")):
        volume_tags |= own_tags
    request["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    request["VolumeTags"] = [{"Key": key, "Value": value} for key, value in volume_tags.items()]
    return request


def _template_data(specification: dict[str, Any]) -> dict[str, Any]:
    """Return the data of the launch template version that is named."""
    if not specification:
        return {}
    # MiniStack serves another version where the named one does not exist; EC2 refuses.
    data, template, error = ec2._resolve_launch_template_data(specification)
    version = str(specification.get("Version") or "")
    if error or template is None:
        message = re.search(rb"<Message>(.*?)</Message>", error[2]) if error else None
        raise InvalidLaunch(message[1].decode() if message else "Invalid launch template")
    numbers = {str(item["VersionNumber"]) for item in template["Versions"]}
    if version not in numbers | {"$Default", "$Latest"}:
        raise InvalidLaunch(
            f"Could not find the specified version {version} for the launch template "
            f"with ID {template['LaunchTemplateId']}."
        )
    return dict(data)


def _tags_for(kind: str, template: dict[str, Any]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for specification in template.get("TagSpecifications") or []:
        if specification.get("ResourceType") == kind:
            tags |= provisioners._tag_map(specification.get("Tags"))
    return tags


def _attributes(record: dict[str, Any]) -> dict[str, str]:
    return {
        "InstanceId": record["InstanceId"],
        "AvailabilityZone": record["Placement"]["AvailabilityZone"],
        "PrivateIp": record["PrivateIpAddress"],
        "PublicIp": record["PublicIpAddress"],
        "PrivateDnsName": record["PrivateDnsName"],
        "PublicDnsName": record["PublicDnsName"],
        "VpcId": record["VpcId"],
    }
