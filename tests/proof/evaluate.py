"""What IAM says to a call: MiniStack's evaluator, which moto's, blind to conditions, is not.

Policy variables it leaves as they are, so they are put in before (IAM user guide, "IAM policy
elements: Variables and tags").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ministack.core.iam_evaluator import (
    EvalContext,
    evaluate,
    fnmatch_iam,
    parse_policy_document,
)

from scripts.local.policy_variables import with_variables
from tests.proof.deployed import Document
from tests.proof.table import Call

Rule = tuple[tuple[str, ...], Any]
"""The actions that a statement is about, to pass others over quickly, and the statement."""


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
        for filled in [with_variables(statement, lambda key: context.get(key.lower()))]
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
