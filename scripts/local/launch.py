"""Launching an instance: what RunInstances refuses, and what it keeps of a request.

Stands in for RunInstances (EC2 API reference) where MiniStack drops parameters: market, metadata
options, shutdown behaviour, volumes, tags on volumes, a missing instance profile.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import ec2

from scripts.local import images, instance_types, instances, placement

USER_DATA_LIMIT = 16384
"""Bytes of user data before base64 ("Run commands at launch", EC2 user guide)."""

# Amazon Linux 2023 images ask for IMDSv2 with two hops where a launch leaves it open.
_METADATA_DEFAULTS = {
    "HttpTokens": "required",
    "HttpPutResponseHopLimit": 2,
    "HttpEndpoint": "enabled",
}


class InvalidLaunch(ValueError):
    """A launch request that EC2 refuses, in its words."""


def launch(request: dict[str, Any]) -> dict[str, Any]:
    """Launch one instance and return its record.

    Args:
        request: RunInstances' parameters as launch template data has them, with ``Tags`` and
            ``VolumeTags`` as lists of Key and Value.

    Raises:
        InvalidLaunch: for what EC2 refuses.
        capacity.Refused: if it has no such machine where it should be.
    """
    user_data = _checked(request)
    profile, error = ec2._resolve_iam_instance_profile(
        iam_arn=(request.get("IamInstanceProfile") or {}).get("Arn", ""),
        iam_name=(request.get("IamInstanceProfile") or {}).get("Name", ""),
    )
    if error:
        message = re.search(rb"<Message>(.*?)</Message>", error[2], re.DOTALL)
        raise InvalidLaunch(message[1].decode() if message else "Invalid IAM Instance Profile")
    interface = (request.get("NetworkInterfaces") or [{}])[0]
    subnet = placement.subnet_for(request)
    for group in request.get("SecurityGroupIds") or []:
        if ec2._security_groups[group]["VpcId"] != ec2._subnets[subnet]["VpcId"]:
            raise InvalidLaunch(
                f"Security group {group} and subnet {subnet} belong to different networks."
            )
    (record,) = ec2._launch_instances_internal(
        image_id=request["ImageId"],
        instance_type=placement.instance_type(request),
        subnet_id=subnet,
        count=1,
        key_name=request.get("KeyName") or "",
        user_data=request.get("UserData") or "",
        sg_ids=request.get("SecurityGroupIds") or interface.get("Groups"),
        iam_profile=profile,
    )
    record |= {
        "PrivateIpAddress": loopback_address(record["InstanceId"]),
        "Placement": {
            **record["Placement"],
            "AvailabilityZone": placement.zone_of(subnet),
            "GroupName": placement.group(request),
        },
        "Architecture": images.architecture(request["ImageId"]),
        "MetadataOptions": _METADATA_DEFAULTS | (request.get("MetadataOptions") or {}),
        "InstanceInitiatedShutdownBehavior": request.get("InstanceInitiatedShutdownBehavior")
        or "stop",
        "DisableApiTermination": is_true(request.get("DisableApiTermination")),
    }
    if placement.is_spot(request):
        record["InstanceLifecycle"] = "spot"
        record["SpotInstanceRequestId"] = f"sir-{new_uuid()[:8]}"
    _apply_mappings(record, request)
    ec2._tags[record["InstanceId"]] = list(request.get("Tags") or [])
    instances.set_state(record, "pending")
    instances.power_on(record, user_data)
    return record  # type: ignore[no-any-return]


def _checked(request: dict[str, Any]) -> bytes:
    """Refuse what RunInstances refuses; return the decoded user data."""
    image = request.get("ImageId")
    if not image:
        raise InvalidLaunch("The request must contain the parameter ImageId")
    if not re.fullmatch(r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})", image):
        raise InvalidLaunch(f'Invalid id: "{image}" (expecting "ami-...")')
    subnet, key = request.get("SubnetId"), request.get("KeyName")
    if subnet and subnet not in ec2._subnets:
        raise InvalidLaunch(f"The subnet ID '{subnet}' does not exist")
    if key and key not in ec2._key_pairs:
        raise InvalidLaunch(f"The key pair '{key}' does not exist")
    for group in request.get("SecurityGroupIds") or []:
        if group not in ec2._security_groups:
            raise InvalidLaunch(f"The security group '{group}' does not exist")
    _check_placement(placement.group(request), placement.instance_type(request))
    try:
        user_data = base64.b64decode(request.get("UserData") or "", validate=True)
    except binascii.Error as error:
        raise InvalidLaunch("Invalid BASE64 encoding of user data.") from error
    if len(user_data) > USER_DATA_LIMIT:
        raise InvalidLaunch(f"User data is limited to {USER_DATA_LIMIT} bytes")
    return user_data


def _check_placement(name: str, instance_type: str) -> None:
    if not name:
        return
    if name not in ec2._placement_groups:
        raise InvalidLaunch(f"The placement group '{name}' is unknown.")
    strategy = ec2._placement_groups[name]["Strategy"]
    if strategy not in instance_types.strategies(instance_type):
        raise InvalidLaunch(
            f"{strategy.capitalize()} placement groups are not supported by the '{instance_type}' "
            "instance type. Specify a supported instance type or change the placement group "
            "strategy, and try again."
        )


def loopback_address(instance_id: str) -> str:
    """Return an address of an instance's own on which its machine, a process here, can be reached.

    All of 127.0.0.0/8 is the host itself (RFC 1122, 3.2.1.3), on Linux without more ado.
    """
    number = zlib.crc32(instance_id.encode())
    return f"127.{64 + (number >> 16) % 64}.{(number >> 8) % 256}.{1 + number % 254}"


def is_true(value: Any) -> bool:
    """Return a template's boolean, which may be the string "true"."""
    return str(value).lower() == "true"


def _apply_mappings(record: dict[str, Any], request: dict[str, Any]) -> None:
    """Give the root volume what the request says of it, and add the others."""
    for mapping in request.get("BlockDeviceMappings") or []:
        ebs = mapping.get("Ebs")
        if not ebs:
            continue
        device = mapping["DeviceName"]
        attached = {item["DeviceName"]: item for item in record["BlockDeviceMappings"]}
        if device not in attached:
            attached[device] = _add_volume(record, device)
        deleted = is_true(ebs.get("DeleteOnTermination", True))
        attached[device]["Ebs"]["DeleteOnTermination"] = deleted
        volume = ec2._volumes[attached[device]["Ebs"]["VolumeId"]]
        volume["Attachments"][0]["DeleteOnTermination"] = deleted
        volume["Encrypted"] = is_true(ebs.get("Encrypted"))
        volume["VolumeType"] = ebs.get("VolumeType", "gp2")
        volume["Size"] = int(ebs.get("VolumeSize", volume["Size"]))
    for mapping in record["BlockDeviceMappings"]:
        # A volume is in its instance's zone ("Amazon EBS volumes", EBS user guide).
        zone = record["Placement"]["AvailabilityZone"]
        ec2._volumes[mapping["Ebs"]["VolumeId"]]["AvailabilityZone"] = zone
        ec2._tags[mapping["Ebs"]["VolumeId"]] = list(request.get("VolumeTags") or [])


def _add_volume(record: dict[str, Any], device: str) -> dict[str, Any]:
    root = record["BlockDeviceMappings"][0]
    volume_id = ec2._new_volume_id()
    volume = dict(ec2._volumes[root["Ebs"]["VolumeId"]], VolumeId=volume_id, Size=8)
    attachment = dict(volume["Attachments"][0], VolumeId=volume_id, Device=device)
    ec2._volumes[volume_id] = volume | {"Attachments": [attachment]}
    mapping = {"DeviceName": device, "Ebs": dict(root["Ebs"], VolumeId=volume_id)}
    record["BlockDeviceMappings"].append(mapping)
    return mapping
