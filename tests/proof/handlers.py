"""What CloudFormation calls for the types of the training stack, by their public schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.proof.deployed import ROOT
from tests.proof.table import Table

DATA = ROOT / "scripts/local/handler_permissions.json"

USED: Mapping[str, tuple[str, ...]] = {
    "AWS::EC2::Instance": ("LaunchTemplate", "SubnetId", "PlacementGroupName"),
    "AWS::EC2::LaunchTemplate": ("LaunchTemplateData", "TagSpecifications"),
    "AWS::EC2::SecurityGroup": ("GroupDescription", "VpcId"),
    "AWS::EC2::PlacementGroup": ("Strategy", "Tags"),
    "AWS::EC2::SecurityGroupIngress": ("GroupId", "IpProtocol", "SourceSecurityGroupId"),
    "AWS::Scheduler::Schedule": (),
}
"""The properties that training-stack.yaml sets.

Of several machines also UserData and Tags, which no update changes: it replaces the machine. What
their creation takes is RunInstances alone (``on-create`` in handler_permissions.json).
"""


def needed(data: Mapping[str, Any]) -> set[str]:
    """Return the actions that the schemas name, but for those of properties not used.

    Args:
        data: ``handlers`` by type and handler; ``only-with``, where it is there, by type and
            action the properties without which the handler does not call it.
    """
    only_with = data.get("only-with", {})
    return {
        action
        for kind, by_handler in data["handlers"].items()
        for actions in by_handler.values()
        for action in actions
        if kind in USED and _is_used(kind, action, only_with.get(kind, {}))
    }


def problems(stack: Table | None, data: Path = DATA) -> Iterator[str]:
    """Yield what the schemas name and the stack role's table lacks."""
    if stack is None or not data.is_file():
        return
    has = {call.action for call in stack.needs}
    for action in sorted(needed(json.loads(data.read_text())) - has):
        yield f"stack: its table lacks {action}, which a resource type's schema names"


def _is_used(kind: str, action: str, only_with: Mapping[str, list[str]]) -> bool:
    return action not in only_with or any(name in USED[kind] for name in only_with[action])
