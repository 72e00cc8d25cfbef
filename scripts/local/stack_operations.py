"""CreateStack and DeleteStack where a stack of that name is, or was, or is on its way.

Stands in for parts of both ("CreateStack", "DeleteStack" and "DescribeStacks", CloudFormation API
reference). MiniStack creates over a stack that has rolled back, forgets a deleted stack once its
name is used again, begins a second deletion beside the first, goes on creating what is being
deleted, deletes in the middle of an update, and takes a CreateStack that is sent again for a new
one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import handlers, helpers, stacks

_Parameters = dict[str, Any]
_Answer = tuple[int, dict[str, str], bytes]
_Action = Callable[[_Parameters], _Answer]
_Operation = Callable[..., Coroutine[Any, Any, None]]

_BEING_MADE = ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS")
_creations: dict[str, asyncio.Event] = {}  # stack id → its creation is over
_unwanted: set[str] = set()  # ids of stacks to be deleted before they are complete
_made: dict[tuple[str, str], str] = {}  # a stack's name and its ClientRequestToken → its id


def register() -> None:
    """Put these actions around MiniStack's own."""
    actions = handlers._ACTION_HANDLERS
    actions["CreateStack"] = _create_stack(actions["CreateStack"])
    actions["DeleteStack"] = _delete_stack(actions["DeleteStack"])
    handlers._deploy_stack_async = _known_creation(handlers._deploy_stack_async)
    handlers._delete_stack_async = _after_creation(handlers._delete_stack_async)
    # What a creation calls before each resource, before the outputs and before a rollback.
    for name in ("_resolve_refs", "_resolve_stack_outputs", "_roll_back_operation"):
        setattr(stacks, name, _cancellable(getattr(stacks, name)))


def _create_stack(original: _Action) -> _Action:
    def create_stack(parameters: _Parameters) -> _Answer:
        name, token = (helpers._p(parameters, key) for key in ("StackName", "ClientRequestToken"))
        former = cloudformation._stacks.get(name)
        if token and (stack_id := _made.get((name, token))):
            return _sent_again(stack_id, former or {})
        if former is not None and former["StackStatus"] == "ROLLBACK_COMPLETE":
            return _error("AlreadyExistsException", f"Stack [{name}] already exists")
        answer = original(parameters)
        if token and answer[0] == 200:
            _made[name, token] = cloudformation._stacks[name]["StackId"]
        if former is not None and cloudformation._stacks[name] is not former:
            # By its id it is found for 90 days on AWS, and here for as long as the cloud is up.
            cloudformation._stacks[former["StackId"]] = former
        return answer

    return create_stack


def _sent_again(stack_id: str, holder: dict[str, Any]) -> _Answer:
    """Answer a CreateStack whose token is known: "CloudFormation knows that you're not attempting
    to create a stack with the same name" (API reference, CreateStack, ClientRequestToken).

    The reference lists TokenAlreadyExistsException and leaves open when it is raised; here it is
    once the stack is gone.

    Args:
        holder: the stack that has the name now.
    """
    if holder.get("StackId") == stack_id and holder["StackStatus"] != "DELETE_COMPLETE":
        result = f"<CreateStackResult><StackId>{stack_id}</StackId></CreateStackResult>"
        return helpers._xml(200, "CreateStackResponse", result)  # type: ignore[no-any-return]
    return _error("TokenAlreadyExistsException", "A client request token already exists.")


def _delete_stack(original: _Action) -> _Action:
    def delete_stack(parameters: _Parameters) -> _Answer:
        stack = handlers._resolve_stack(helpers._p(parameters, "StackName"))
        status = stack["StackStatus"] if stack else ""
        if status == "DELETE_IN_PROGRESS":
            return helpers._xml(200, "DeleteStackResponse", "")  # type: ignore[no-any-return]
        if status.endswith("_IN_PROGRESS") and status not in (*_BEING_MADE, "REVIEW_IN_PROGRESS"):
            identifier = stack["StackId"]
            return _error(
                "ValidationError",
                f"Stack [{identifier}] cannot be deleted while in status {status}",
            )
        answer = original(parameters)
        if answer[0] == 200 and status in _BEING_MADE:
            if status == "CREATE_IN_PROGRESS":
                _unwanted.add(stack["StackId"])
            stack["StackStatus"] = "DELETE_IN_PROGRESS"
        return answer

    return delete_stack


def _known_creation(deploy: _Operation) -> _Operation:
    async def known(stack_name: str, stack_id: str, *rest: Any, **options: Any) -> None:
        over = _creations[stack_id] = asyncio.Event()
        try:
            await deploy(stack_name, stack_id, *rest, **options)
        finally:
            del _creations[stack_id]
            over.set()

    return known


def _after_creation(delete: _Operation) -> _Operation:
    """Let a deletion wait for the step the creation is at: what that makes must go as well."""

    async def after_creation(name: str, stack_id: str, *rest: Any, **options: Any) -> None:
        if creation := _creations.get(stack_id):
            await creation.wait()
        _unwanted.discard(stack_id)
        await delete(name, stack_id, *rest, **options)

    return after_creation


def _cancellable(step: Callable[..., Any]) -> Callable[..., Any]:
    def cancellable(*arguments: Any, **options: Any) -> Any:
        if _unwanted and not _unwanted.isdisjoint(filter(_is_text, arguments)):
            raise asyncio.CancelledError
        return step(*arguments, **options)

    return cancellable


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _error(code: str, message: str) -> _Answer:
    return helpers._error(code, message, 400)  # type: ignore[no-any-return]
