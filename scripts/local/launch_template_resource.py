"""AWS::EC2::LaunchTemplate in CloudFormation where its name changes, or is taken.

Stands in for "Update requires: Replacement" of LaunchTemplateName (CloudFormation template
reference, "AWS::EC2::LaunchTemplate"). MiniStack replaces the template within the update handler:
its role was asked for a modification only, and the events said nothing of a new resource. Stands in
also for CreateLaunchTemplate's refusal of a name that is taken (EC2 API reference, "Error codes for
the Amazon EC2 API", InvalidLaunchTemplateName.AlreadyExistsException), where MiniStack makes a
second template of that name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from scripts.local import handler_failure

TYPE = "AWS::EC2::LaunchTemplate"

_Create = Callable[[str, dict[str, Any], str], tuple[str, Any]]


class NameTaken(ValueError):
    """There is such a template, in CloudFormation's words."""


def register() -> None:
    """Let a new name be a new template, and no name be two templates'."""
    provisioners._REPLACING_PROPERTIES[TYPE] = ("LaunchTemplateName",)
    handlers = provisioners._RESOURCE_HANDLERS[TYPE]
    handlers["create"] = _named_once(handlers["create"])


def _named_once(create: _Create) -> _Create:
    def named_once(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, Any]:
        name = properties.get("LaunchTemplateName")
        taken = {found["LaunchTemplateName"] for found in ec2._launch_templates.values()}
        if name in taken:
            text = "Launch template name already in use."
            raise NameTaken(handler_failure.words(text, status=400, code="AlreadyExists"))
        return create(logical_id, properties, stack)

    return named_once
