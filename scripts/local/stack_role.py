"""CloudFormation's service role: what a stack does, it does with the role it was given.

Stands in for RoleARN of CreateStack, UpdateStack and DeleteStack ("CloudFormation service role",
CloudFormation user guide), which MiniStack ignores: the stack keeps its role for whatever is done
to it later, and each resource handler is authorized with the role's policies before it acts.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextvars import ContextVar
from typing import Any

from ministack.services import cloudformation, iam
from ministack.services.cloudformation import handlers, helpers, provisioners

from scripts.local import handler_failure, roles
from scripts.local.authorization import Denied, demand, session_arn
from scripts.local.handler_calls import CALLS, Call

_Answer = tuple[int, dict[str, str], bytes]
_Operation = Callable[..., Coroutine[Any, Any, None]]

SERVICE = "cloudformation.amazonaws.com"
_SESSION = "AWSCloudFormation"
_KEPT = "RoleARN"  # in MiniStack's record of a stack, under DescribeStacks' name

_role: ContextVar[str] = ContextVar("role of the stack at work", default="")


class Refused(Exception):
    """A resource handler's failure, in CloudFormation's words."""


def register() -> None:
    """Remember roles, and hold every resource handler to the role of its stack."""
    actions = handlers._ACTION_HANDLERS
    for name in ("CreateStack", "UpdateStack", "DeleteStack"):
        actions[name] = _remembering(actions[name])
    handlers._deploy_stack_async = _with_role(handlers._deploy_stack_async)
    handlers._delete_stack_async = _with_role(handlers._delete_stack_async)
    for kind, parts in provisioners._RESOURCE_HANDLERS.items():
        for step in ("create", "update", "delete"):
            if step in parts:
                parts[step] = _held(kind, step, parts[step])


def acts() -> bool:
    """Return whether a stack with a role is at work here."""
    return bool(_role.get())


def _remembering(action: Callable[[dict[str, Any]], _Answer]) -> Callable[..., _Answer]:
    def remembering(parameters: dict[str, Any]) -> _Answer:
        arn = helpers._p(parameters, "RoleARN")
        if arn and not _assumable(arn):
            message = f"Role {arn} is invalid or cannot be assumed"
            return helpers._error("ValidationError", message, 400)  # type: ignore[no-any-return]
        answer = action(parameters)
        stack = handlers._resolve_stack(helpers._p(parameters, "StackName"))
        if arn and answer[0] == 200 and stack is not None:  # its work begins after this answer
            stack[_KEPT] = arn
        return answer

    return remembering


def _assumable(arn: str) -> bool:
    role = iam._roles.get(arn.rpartition("/")[2])
    return role is not None and role["Arn"] == arn and roles.trusts(role, SERVICE)


def _with_role(operation: _Operation) -> _Operation:
    async def with_role(name: str, stack_id: str, *rest: Any, **options: Any) -> None:
        stacks = cloudformation._stacks
        stack = stacks.get(name) or stacks.get(stack_id) or {}
        token = _role.set(stack.get(_KEPT, ""))
        try:
            await operation(name, stack_id, *rest, **options)
        finally:
            _role.reset(token)

    return with_role


def _held(kind: str, step: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    def held(*arguments: Any, **options: Any) -> Any:
        if role := _role.get():
            if kind not in CALLS:
                raise Refused(f"{kind} is not known to the embedded cloud's service role")
            _authorize(role, CALLS[kind](step, arguments))
        return handler(*arguments, **options)

    return held


def _authorize(role: str, calls: Iterable[Call]) -> None:
    principal = session_arn(role, _SESSION)
    for call in calls:
        try:
            demand(principal, call.action, call.resource, call.context)
        except Denied as denied:
            service = call.action.partition(":")[0].capitalize()
            words = handler_failure.words(
                f"You are not authorized to perform this operation. {denied}",
                status=403,
                code="AccessDenied",
                service=service,
            )
            raise Refused(words) from denied
