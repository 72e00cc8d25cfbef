"""ResourceTypes of CreateStack and UpdateStack: the types that a template may use.

Stands in for the parameter ("If the list of resource types doesn't include a resource that you're
creating, the stack creation fails", CloudFormation API reference, "CreateStack"), which MiniStack
ignores. IAM knows them as the condition key cloudformation:ResourceTypes (service authorization
reference, "AWS CloudFormation").
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from ministack.core import iam_actions
from ministack.services.cloudformation import engine, handlers, helpers

_Answer = tuple[int, dict[str, str], bytes]

_ACTIONS = ("CreateStack", "UpdateStack")


def register() -> None:
    """Refuse templates with other types than a request allows, and tell IAM of those."""
    actions = handlers._ACTION_HANDLERS
    for name in _ACTIONS:
        actions[name] = _fenced(actions[name])
    iam_actions.request_tag_context = _with_types(iam_actions.request_tag_context)


def _with_types(context: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def with_types(
        service: str, action: str, body: bytes, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        keys = context(service, action, body, parameters)
        if service != "cloudformation" or action.partition(":")[2] not in _ACTIONS:
            return keys
        types = helpers._extract_string_members(parameters, "ResourceTypes")
        # A request that names none has no such key.
        return {**keys, "cloudformation:ResourceTypes": types} if types else keys

    return with_types


def _fenced(action: Callable[[dict[str, Any]], _Answer]) -> Callable[..., _Answer]:
    def fenced(parameters: dict[str, Any]) -> _Answer:
        allowed = helpers._extract_string_members(parameters, "ResourceTypes")
        body = helpers._p(parameters, "TemplateBody")
        if allowed and helpers._extract_string_members(parameters, "Capabilities"):
            message = "Only one of the Capabilities and ResourceType parameters can be specified"
            return helpers._error("ValidationError", message, 400)  # type: ignore[no-any-return]
        if allowed and body and (foreign := _foreign(body, allowed)):
            message = f"Resource type(s) not allowed by ResourceTypes: {', '.join(foreign)}"
            return helpers._error("ValidationError", message, 400)  # type: ignore[no-any-return]
        return action(parameters)

    return fenced


def _foreign(body: str, allowed: list[str]) -> list[str]:
    try:
        resources = engine._parse_template(body).get("Resources") or {}
    except Exception:  # noqa: BLE001 - the action itself says what is wrong with it
        return []
    kinds = {str(item.get("Type")) for item in resources.values() if isinstance(item, dict)}
    return sorted(kind for kind in kinds if not any(fnmatchcase(kind, one) for one in allowed))
