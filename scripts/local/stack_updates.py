"""The end of UpdateStack: what it replaced or dropped is deleted once all else is done.

Stands in for the phase and its events ("Understand update behaviors of stack resources" and "Stack
status codes", CloudFormation user guide: UPDATE_COMPLETE_CLEANUP_IN_PROGRESS is the "ongoing
removal of old resources ... after a successful stack update"). MiniStack deletes there too, but
says UPDATE_IN_PROGRESS meanwhile and nothing of what it deletes. It deletes what was replaced
before what was dropped, each once: a group stayed that a dropped machine was still in. AWS "tries
to delete a resource three times before CloudFormation skips the resource" (AWS knowledge center,
"cloudformation-stack-cleanup-stuck").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import stacks

from scripts.local import placement_group, security_group_rule

_CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
_TRIES = 3
_SECONDS_APART = 10
_MAY_BE_IN_USE = (placement_group.TYPE, security_group_rule.GROUP)


def register() -> None:
    """Tell of the phase when the first resource is deleted in it."""
    stacks._delete_resource = _told(stacks._delete_resource)
    on_worker_thread = stacks._runs_on_worker_thread
    # Between two tries the server must go on answering.
    stacks._runs_on_worker_thread = lambda name: name in _MAY_BE_IN_USE or on_worker_thread(name)


def _told(delete: Callable[..., Any]) -> Callable[..., Any]:
    def told(
        kind: str, identifier: str, properties: dict[str, Any], stack_name: str, logical_id: str
    ) -> Any:
        stack = cloudformation._stacks.get(stack_name) or {}
        arguments = (kind, identifier, properties, stack_name, logical_id)
        # In an update MiniStack deletes nothing before it is sure to succeed.
        if stack.get("StackStatus") not in ("UPDATE_IN_PROGRESS", _CLEANUP):
            return delete(*arguments)
        stack_id = stack["StackId"]
        if stack["StackStatus"] != _CLEANUP:
            stack["StackStatus"] = _CLEANUP
            of_stack = (stack_id, stack_name, stack_name, "AWS::CloudFormation::Stack")
            stacks._add_event(*of_stack, _CLEANUP, physical_id=stack_id)
        of_resource = (stack_id, stack_name, logical_id, kind)
        stacks._add_event(*of_resource, "DELETE_IN_PROGRESS", physical_id=identifier)
        answer = _patiently(delete, *arguments)
        stacks._add_event(*of_resource, "DELETE_COMPLETE", physical_id=identifier)
        return answer

    return told


def _patiently(delete: Callable[..., Any], kind: str, *arguments: Any) -> Any:
    for _ in range(_TRIES - 1 if kind in _MAY_BE_IN_USE else 0):
        try:
            return delete(kind, *arguments)
        except (placement_group.InUse, security_group_rule.InUse):
            time.sleep(_SECONDS_APART)
    return delete(kind, *arguments)
