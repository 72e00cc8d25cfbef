"""The end of UpdateStack: what it replaced or dropped is deleted once all else is done.

Stands in for the phase and its events ("Understand update behaviors of stack resources" and "Stack
status codes", CloudFormation user guide: UPDATE_COMPLETE_CLEANUP_IN_PROGRESS is the "ongoing
removal of old resources ... after a successful stack update"). MiniStack deletes there too, but
says UPDATE_IN_PROGRESS meanwhile and nothing of what it deletes. It deletes what was replaced
before what was dropped, each once: a group stayed that a dropped machine was still in.
CloudFormation deletes such a machine first. Here the group goes beside the rest, once it is empty.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import stacks

from scripts.local import placement_group, security_group_rule

_CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
_IN_USE = (placement_group.InUse, security_group_rule.InUse)
_SECONDS = 120
"""Within which a dropped machine ends: its trainer has a grace, and its agent stores the rest."""


def register() -> None:
    """Tell of the phase when the first resource is deleted in it."""
    stacks._delete_resource = _told(stacks._delete_resource)


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
        try:
            answer = delete(*arguments)
        except _IN_USE:
            context = contextvars.copy_context()  # which account and region it is
            again = (_once_free, delete, arguments, of_resource)
            threading.Thread(target=context.run, args=again, daemon=True).start()
            return None
        stacks._add_event(*of_resource, "DELETE_COMPLETE", physical_id=identifier)
        return answer

    return told


def _once_free(delete: Callable[..., Any], arguments: Any, of_resource: Any) -> None:
    ends = time.monotonic() + _SECONDS
    while True:
        time.sleep(1)
        try:
            delete(*arguments)
        except Exception as error:  # noqa: BLE001 - the stack's events tell it
            if not isinstance(error, _IN_USE) or time.monotonic() > ends:
                stacks._add_event(*of_resource, "DELETE_FAILED", str(error), arguments[1])
                return
        else:
            stacks._add_event(*of_resource, "DELETE_COMPLETE", physical_id=arguments[1])
            return
