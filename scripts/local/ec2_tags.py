"""Stands in for ``aws:ResourceTag`` on EC2 calls that name an instance, a volume or a template.

AWS checks GetConsoleOutput, TerminateInstances and others against the tags of what they name
(service authorization reference, "Amazon EC2"); MiniStack knows no tags of EC2's ARNs, so every
grant by tag was a refusal. It also takes a call's resource from a few parameters only.
"""

from __future__ import annotations

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, tagging


def register() -> None:
    """Let a grant by tag see the tags of the EC2 resource that a call names."""
    lookup = tagging.resource_tags

    def resource_tags(arn: str) -> dict[str, str] | None:
        if not arn.startswith(f"arn:aws:ec2:{get_region()}:{get_account_id()}:"):
            found: dict[str, str] | None = lookup(arn)
            return found
        kind, _, identifier = arn.rpartition(":")[2].partition("/")
        if kind == "placement-group":  # its ARN names it by its name, its tags by its id
            identifier = ec2._placement_groups.get(identifier, {}).get("GroupId", "")
        return {tag["Key"]: tag["Value"] for tag in ec2._tags.get(identifier) or []}

    tagging.resource_tags = resource_tags
