"""The calls that CloudFormation's resource handlers make, with the resource and context of each.

Which, the types' public schemas say (``handlers.*.permissions``, kept in handler_permissions.json
with their source); only those that the properties in use need are demanded. On what and with which
condition keys, the service authorization reference says ("Amazon EC2", "Amazon EventBridge
Scheduler", "AWS Identity and Access Management").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from scripts.local import (
    instance_resource,
    placement_group,
    run_instances,
    schedules,
    security_group_rule,
)

Properties = Mapping[str, Any]

_FACTS = json.loads((Path(__file__).parent / "handler_permissions.json").read_text())


@dataclass(frozen=True, kw_only=True)
class Call:
    """One action on one resource."""

    action: str
    resource: str = "*"
    context: Mapping[str, Any] = field(default_factory=dict)


def permissions(kind: str, step: str, used: Sequence[str]) -> list[str]:
    """Return what a type's handler may call in a step, given the properties in use.

    Args:
        step: ``create``, ``update`` or ``delete``.
        used: names of the properties that are set or, in an update, change.
    """
    needs = _FACTS["only-with"].get(kind, {})
    if step == "create":
        needs = {**needs, **_FACTS["on-create"].get(kind, {})}
    return [
        action
        for action in _FACTS["handlers"][kind][step]
        if action not in needs or any(name in used for name in needs[action])
    ]


def _steps(step: str, arguments: Sequence[Any]) -> tuple[str, Properties, Properties]:
    """Return a handler's physical id, the former properties and those it is to make."""
    if step == "create":
        return "", {}, arguments[1]
    if step == "delete":
        return arguments[0], arguments[1], arguments[1]
    return arguments[0], arguments[1], arguments[2]


def _used(step: str, former: Properties, wanted: Properties) -> list[str]:
    if step != "update":
        return [name for name, value in wanted.items() if value not in (None, [], {})]
    names = {*former, *wanted}
    return [name for name in names if former.get(name) != wanted.get(name)]


def _instance_calls(step: str, arguments: Sequence[Any]) -> Iterator[Call]:
    identifier, former, wanted = _steps(step, arguments)
    ours = f"arn:aws:ec2:{get_region()}:{get_account_id()}:instance/{identifier}"
    for action in permissions(instance_resource.TYPE, step, _used(step, former, wanted)):
        if step == "create" and action in run_instances.ACTIONS:
            request = instance_resource._launch_request(dict(wanted))
            template = (wanted.get("LaunchTemplate") or {}).get("LaunchTemplateId", "")
            for demanded, resource, context in run_instances.demands(action, request, template):
                yield Call(action=demanded, resource=resource, context=context)
        elif action in ("ec2:CreateTags", "ec2:DeleteTags"):
            yield from _tag_changes(action, ours, _tags(former), _tags(wanted))
        elif action.startswith(("ec2:Describe", "ssm:")):
            yield Call(action=action)
        else:
            yield Call(action=action, resource=ours)


def _template_calls(step: str, arguments: Sequence[Any]) -> Iterator[Call]:
    identifier, former, wanted = _steps(step, arguments)
    place = f"arn:aws:ec2:{get_region()}:{get_account_id()}:launch-template/{identifier or '*'}"
    before, after = _template_tags(former), _template_tags(wanted)
    for action in permissions("AWS::EC2::LaunchTemplate", step, _used(step, former, wanted)):
        if action.startswith("ec2:Describe"):
            yield Call(action=action)
        elif step == "create":
            context = run_instances.request_tags(after)
            if action == "ec2:CreateTags":
                if not after:
                    continue
                context["ec2:CreateAction"] = "CreateLaunchTemplate"
            yield Call(action=action, resource=place, context=context)
        elif action in ("ec2:CreateTags", "ec2:DeleteTags"):
            yield from _tag_changes(action, place, before, {} if step == "delete" else after)
        else:
            yield Call(action=action, resource=place)


def _schedule_calls(step: str, arguments: Sequence[Any]) -> Iterator[Call]:
    identifier, former, wanted = _steps(step, arguments)
    group = wanted.get("GroupName") or "default"
    name = identifier or wanted.get("Name", "*")
    place = f"arn:aws:scheduler:{get_region()}:{get_account_id()}:schedule/{group}/{name}"
    for action in permissions(schedules.TYPE, step, _used(step, former, wanted)):
        if action == "iam:PassRole":
            passed = {"iam:PassedToService": "scheduler.amazonaws.com"}
            yield Call(action=action, resource=wanted["Target"]["RoleArn"], context=passed)
        else:
            yield Call(action=action, resource=place)


def _group_calls(step: str, arguments: Sequence[Any]) -> Iterator[Call]:
    identifier, former, wanted = _steps(step, arguments)
    place = f"arn:aws:ec2:{get_region()}:{get_account_id()}"
    ours, tags = f"{place}:security-group/{identifier or '*'}", _tags(wanted)
    for action in permissions(security_group_rule.GROUP, step, _used(step, former, wanted)):
        context = run_instances.request_tags(tags)
        if action.startswith("ec2:Describe"):
            yield Call(action=action)
        elif action == "ec2:CreateSecurityGroup":
            yield Call(action=action, resource=ours, context=context)
            vpc = wanted.get("VpcId") or ec2._DEFAULT_VPC_ID
            yield Call(action=action, resource=f"{place}:vpc/{vpc}")
        elif step == "create" and action == "ec2:CreateTags":
            context["ec2:CreateAction"] = "CreateSecurityGroup"
            yield Call(action=action, resource=ours, context=context)
        elif action in ("ec2:CreateTags", "ec2:DeleteTags"):
            yield from _tag_changes(action, ours, _tags(former), tags)
        else:
            yield Call(action=action, resource=ours)


def _rule_calls(step: str, arguments: Sequence[Any]) -> Iterator[Call]:
    _, former, wanted = _steps(step, arguments)
    place = f"arn:aws:ec2:{get_region()}:{get_account_id()}:security-group"
    for action in permissions(security_group_rule.TYPE, step, _used(step, former, wanted)):
        described = action.startswith("ec2:Describe")
        yield Call(action=action, resource="*" if described else f"{place}/{wanted['GroupId']}")


def _placement_group_calls(step: str, arguments: Sequence[Any]) -> Iterator[Call]:
    identifier, former, wanted = _steps(step, arguments)
    place = f"arn:aws:ec2:{get_region()}:{get_account_id()}:placement-group/{identifier or '*'}"
    for action in permissions(placement_group.TYPE, step, _used(step, former, wanted)):
        context = run_instances.request_tags(_tags(wanted)) if step == "create" else {}
        if action.startswith("ec2:Describe"):
            yield Call(action=action)
            continue
        if action == "ec2:CreateTags":
            context["ec2:CreateAction"] = "CreatePlacementGroup"
        yield Call(action=action, resource=place, context=context)


def _tag_changes(
    action: str, resource: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Call]:
    if action == "ec2:DeleteTags":
        if gone := [key for key in before if key not in after]:
            yield Call(action=action, resource=resource, context={"aws:TagKeys": gone})
    elif new := {key: value for key, value in after.items() if before.get(key) != value}:
        yield Call(action=action, resource=resource, context=run_instances.request_tags(new))


def _tags(properties: Properties) -> dict[str, str]:
    return run_instances.without_system_tags(provisioners._tag_map(properties.get("Tags")))


def _template_tags(properties: Properties) -> dict[str, str]:
    return instance_resource._tags_for("launch-template", dict(properties))


CALLS: dict[str, Callable[[str, Sequence[Any]], Iterator[Call]]] = {
    instance_resource.TYPE: _instance_calls,
    "AWS::EC2::LaunchTemplate": _template_calls,
    schedules.TYPE: _schedule_calls,
    security_group_rule.GROUP: _group_calls,
    security_group_rule.TYPE: _rule_calls,
    placement_group.TYPE: _placement_group_calls,
}
"""By resource type: the calls of a step, given the arguments of MiniStack's handler."""
