"""IAM's SimulatePrincipalPolicy with conditions, a boundary and several resources.

Stands in for the API ("SimulatePrincipalPolicy" and "EvaluationResult", IAM API reference): one
result an action, which is as strict as the strictest of its resources. MiniStack looks at the first
resource only, and at no condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ministack.services import iam

from scripts.local import authorization

_DECISIONS = {"Allow": "allowed", "ImplicitDeny": "implicitDeny", "Deny": "explicitDeny"}
"""IAM's words by the evaluator's, the most lenient first."""

_NAME = "SimulatePrincipalPolicy"


def register() -> None:
    """Put the action in the place of MiniStack's."""
    iam._IAM_HANDLERS[_NAME] = _simulate


def _simulate(parameters: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
    source = iam._p(parameters, "PolicySourceArn")
    kind, _, name = source.rpartition(":")[2].partition("/")
    known = {"role": iam._roles, "user": iam._users}.get(kind, {})
    name = name.rpartition("/")[2]
    if name not in known:
        message = f"{source} is no user or role here"
        return iam._error(404, "NoSuchEntity", message, ns="iam")  # type: ignore[no-any-return]
    principal = authorization.session_arn(source, "simulated") if kind == "role" else source
    context = _context(parameters)
    resources = _members(parameters, "ResourceArns") or ["*"]
    results = "".join(
        _result(principal, action, resources, context)
        for action in _members(parameters, "ActionNames")
    )
    inner = (
        f"<{_NAME}Result><EvaluationResults>{results}</EvaluationResults>"
        f"<IsTruncated>false</IsTruncated></{_NAME}Result>"
    )
    return iam._xml(200, f"{_NAME}Response", inner, ns="iam")  # type: ignore[no-any-return]


def _result(
    principal: str, action: str, resources: list[str], context: authorization.Context
) -> str:
    decided = {
        resource: authorization.decide(principal, action, resource, context)
        for resource in resources
    }
    strictest = max(decided.values(), key=list(_DECISIONS).index)
    single = "".join(
        f"<member><EvalResourceName>{escape(resource)}</EvalResourceName>"
        f"<EvalResourceDecision>{_DECISIONS[decision]}</EvalResourceDecision></member>"
        for resource, decision in decided.items()
    )
    return (
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resources[0])}</EvalResourceName>"
        f"<EvalDecision>{_DECISIONS[strictest]}</EvalDecision>"
        f"<ResourceSpecificResults>{single}</ResourceSpecificResults></member>"
    )


def _context(parameters: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number in range(1, len(parameters) + 1):
        entry = f"ContextEntries.member.{number}"
        name = iam._p(parameters, f"{entry}.ContextKeyName")
        if not name:
            break
        values = _members(parameters, f"{entry}.ContextKeyValues")
        several = iam._p(parameters, f"{entry}.ContextKeyType").endswith("List")
        found[name] = values if several else "".join(values[:1])
    return found


def _members(parameters: Mapping[str, Any], name: str) -> list[str]:
    found: list[str] = []
    while value := iam._p(parameters, f"{name}.member.{len(found) + 1}"):
        found.append(value)
    return found
