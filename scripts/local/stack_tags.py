"""Stands in for ``aws:ResourceTag`` on CloudFormation calls that name a stack.

AWS checks UpdateStack, DeleteStack and others against the tags of the stack itself (service
authorization reference, "AWS CloudFormation"); MiniStack looks the tags up by an ARN that ends in
``stack/<name>/*`` and finds none.
"""

from __future__ import annotations

from ministack.services import tagging
from ministack.services.cloudformation import handlers


def register() -> None:
    """Let a grant by tag see the tags of the stack that a call names."""
    lookup = tagging.resource_tags

    def resource_tags(arn: str) -> dict[str, str] | None:
        service, _, resource = arn.partition(":")[2].partition(":")[2].partition(":")
        if service != "cloudformation" or ":stack/" not in resource:
            found: dict[str, str] | None = lookup(arn)
            return found
        # A call that names a stack by its id is about that one, not about a namesake's tags.
        name = resource.split(":stack/")[1].split("/")[0]
        stack = handlers._resolve_stack(name if arn.endswith("/*") else arn)
        return None if stack is None else {tag["Key"]: tag["Value"] for tag in stack["Tags"]}

    tagging.resource_tags = resource_tags
