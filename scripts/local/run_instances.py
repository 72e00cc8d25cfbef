"""What RunInstances is authorized for: each resource it makes or uses, with its context.

Stands in for the authorization of the call ("RunInstances", service authorization reference,
"Amazon EC2"; "Grant permission to tag Amazon EC2 resources during creation" and "Example policies
to control access the Amazon EC2 API", EC2 user guide).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, iam
from ministack.services.cloudformation import provisioners

from scripts.local import images, placement

Demand = tuple[str, str, dict[str, Any]]
"""An action, a resource's ARN and the condition keys of the request for it."""

ACTIONS = ("ec2:RunInstances", "ec2:CreateTags", "iam:PassRole")
"""What a launch is asked for."""

_SPOT_ROLE = "AWSServiceRoleForEC2Spot"


def demands(action: str, request: Mapping[str, Any], template: str) -> Iterator[Demand]:
    """Yield what one of `ACTIONS` is asked for.

    Args:
        action: of the launch itself, or one that it depends on.
        request: the launch template's data, overridden by the instance's own.
        template: id of the launch template; empty if there is none.
    """
    if action == "iam:PassRole":
        for role in _roles(request):
            yield action, role, {"iam:PassedToService": "ec2.amazonaws.com"}
        return
    place = f"arn:aws:ec2:{get_region()}:{get_account_id()}"
    made = _made(request)
    if action == "ec2:CreateTags":
        for kind, tags in made.items():
            if tags:
                context = request_tags(tags) | {"ec2:CreateAction": "RunInstances"}
                yield action, f"{place}:{kind}/*", context
        return
    common: dict[str, Any] = {"ec2:Region": get_region()}
    if template:
        common["ec2:LaunchTemplate"] = f"{place}:launch-template/{template}"
        common["ec2:IsLaunchTemplateResource"] = "true"
    for kind, tags in made.items():
        context = common | request_tags(tags) | _of_instance(kind, request)
        yield action, f"{place}:{kind}/*", context
    for used, context in _used(place, request, template):
        yield action, used, common | context
    if _is_spot(request) and _SPOT_ROLE not in iam._roles:
        # "Service-linked role for Spot Instance requests", EC2 user guide.
        path = f"role/aws-service-role/spot.amazonaws.com/{_SPOT_ROLE}"
        named = {"iam:AWSServiceName": "spot.amazonaws.com"}
        yield "iam:CreateServiceLinkedRole", f"arn:aws:iam::{get_account_id()}:{path}", named


def request_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the condition keys of tags in a request."""
    keys: dict[str, Any] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    return keys | {"aws:TagKeys": list(tags)} if tags else keys


def without_system_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags without those that only AWS sets."""
    return {key: value for key, value in tags.items() if not key.startswith("aws:")}


def _used(
    place: str, request: Mapping[str, Any], template: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what the launch uses, with the condition keys that are of this alone."""
    image = str(request.get("ImageId", "*"))
    yield f"arn:aws:ec2:{get_region()}::image/{image}", {"ec2:Owner": images.owner(image)}
    yield f"{place}:subnet/{request.get('SubnetId') or ec2._DEFAULT_SUBNET_ID}", {}
    for group in request.get("SecurityGroupIds") or [ec2._DEFAULT_SG_ID]:
        yield f"{place}:security-group/{group}", {}
    if key := request.get("KeyName"):
        yield f"{place}:key-pair/{key}", {}
    if group := placement.group(request):
        yield f"{place}:placement-group/{group}", {"ec2:PlacementGroupStrategy": "cluster"}
    if template:
        yield f"{place}:launch-template/{template}", {}


def _is_spot(request: Mapping[str, Any]) -> bool:
    return (request.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"


def _made(request: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the kinds of resource that the launch makes, each with its tags."""
    made = {
        "instance": _tag_map(request.get("Tags")),
        "volume": _tag_map(request.get("VolumeTags")),
        "network-interface": _tags_for(request, "network-interface"),
    }
    if _is_spot(request):
        made["spot-instances-request"] = _tags_for(request, "spot-instances-request")
    return made


def _of_instance(kind: str, request: Mapping[str, Any]) -> dict[str, Any]:
    if kind != "instance":
        return {}
    return {
        "ec2:InstanceType": request.get("InstanceType") or "m1.small",
        "ec2:InstanceMarketType": "spot" if _is_spot(request) else "on-demand",
        "ec2:MetadataHttpTokens": (request.get("MetadataOptions") or {}).get("HttpTokens"),
    }


def _roles(request: Mapping[str, Any]) -> Iterator[str]:
    profile = request.get("IamInstanceProfile") or {}
    name = profile.get("Name") or profile.get("Arn", "").rpartition("/")[2]
    for role in (iam._instance_profiles.get(name) or {}).get("Roles", []):
        yield iam._roles[role]["Arn"]


def _tags_for(request: Mapping[str, Any], kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for specification in request.get("TagSpecifications") or []:
        if specification.get("ResourceType") == kind:
            found |= provisioners._tag_map(specification.get("Tags"))
    return found


def _tag_map(tags: Any) -> dict[str, str]:
    return without_system_tags(provisioners._tag_map(tags))
