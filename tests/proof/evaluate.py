"""What IAM says to a call: MiniStack's evaluator, which moto's, blind to conditions, is not.

Policy variables it leaves as they are, so they are put in before (IAM user guide, "IAM policy
elements: Variables and tags").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ministack.core.iam_evaluator import (
    EvalContext,
    evaluate,
    fnmatch_iam,
    parse_policy_document,
)

from tests.proof.deployed import Document
from tests.proof.table import Call

Rule = tuple[tuple[str, ...], Any]
"""The actions that a statement is about, to pass others over quickly, and the statement."""

_VARIABLE = re.compile(r"\$\{\s*([^},\s]+)\s*(?:,\s*'([^']*)'\s*)?\}")
_LITERALS = {"*": "*", "?": "?", "$": "$"}


def parse(document: Document) -> list[Any]:
    """Return a document's statements for `allows`."""
    return list(parse_policy_document(document))


def allows(statements: Iterable[Any], call: Call) -> bool:
    """Return whether the statements of all policies together let a call through."""
    context = {key.lower(): value for key, value in call.context.items()}
    context.setdefault("aws:tagkeys", None)  # a request that names no tags has no such key
    matching = [
        filled
        for statement in statements
        if _concerns(statement, call.action)
        for filled in [_with_variables(statement, context)]
        if filled is not None
    ]
    request = EvalContext(
        principal_arn=f"arn:aws:iam::000000000000:role/{call.principal}",
        principal_type="AssumedRole",
        principal_account="000000000000",
        action=call.action,
        resource_arn=call.resource,
        region="us-east-1",
        secure_transport=str(context.get("aws:securetransport", "true")) == "true",
        service_context=context,
    )
    return bool(evaluate(request, [matching]).decision == "Allow")


def _concerns(statement: Any, action: str) -> bool:
    if statement.not_actions:
        return True
    return any(fnmatch_iam(action, pattern) for pattern in statement.actions)


def _with_variables(statement: Any, context: Mapping[str, Any]) -> Any:
    """Return the statement with its variables put in; None if that makes it match nothing."""
    texts = repr((statement.resources, statement.not_resources, statement.conditions))
    if "${" not in texts:
        return statement
    resources = [_put_in(text, context) for text in statement.resources]
    conditions: dict[str, dict[str, list[str]]] = {}
    for operator, block in statement.conditions.items():
        for key, values in block.items():
            listed = [values] if isinstance(values, str) else values
            filled = [_put_in(text, context) for text in listed]
            known = [text for text in filled if text is not None]
            if not known:
                return None
            conditions.setdefault(operator, {})[key] = known
    return type(statement)(
        sid=statement.sid,
        effect=statement.effect,
        actions=statement.actions,
        not_actions=statement.not_actions,
        # A list that is empty would mean any resource.
        resources=[text for text in resources if text is not None] or ["arn:of:nothing"],
        not_resources=statement.not_resources,
        conditions=conditions,
    )


def _put_in(text: str, context: Mapping[str, Any]) -> str | None:
    """Return `text` with the request's values; None if one is missing and has no default."""
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        name, default = found[1], found[2]
        if name in _LITERALS:
            return _LITERALS[name]
        held = context.get(name.lower(), default)
        if not isinstance(held, str):  # none, or many: not to be used in a variable
            missing = True
            return ""
        return held

    filled = _VARIABLE.sub(value, text)
    return None if missing else filled
