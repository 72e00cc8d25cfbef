"""The tags by which a stack or a machine names its run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..aws.stacks import stack_tags
from ..events.request import is_run_key

INSTANCE = "parris:instance-id"
"""Not a tag of the stack: what `run_tags` adds."""


def names_a_run(tags: Mapping[str, str]) -> bool:
    return is_run_key(tags.get("parris:job", ""), tags.get("parris:run-id", ""))


def run_tags(stack: Mapping[str, Any]) -> dict[str, str]:
    """Return a stack's tags and, as one more, the instance that its output names.

    EC2 forgets an instance about an hour after its end; CloudFormation knows it as long as it
    knows the stack.
    """
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}
    known = {INSTANCE: outputs["InstanceId"]} if "InstanceId" in outputs else {}
    return {**stack_tags(stack), **known}


def without_machines(tags: Mapping[str, str], over: Collection[str]) -> dict[str, str]:
    """Return `run_tags` without the instance, if that is one whose end is known."""
    return {key: value for key, value in tags.items() if key != INSTANCE or value not in over}
