"""Policy variables such as ``${aws:userid}`` in the Resource and Condition elements of a statement.

Stands in for their replacement ("IAM policy elements: Variables and tags", IAM user guide), which
MiniStack's evaluator leaves out: it would compare ``${aws:userid}`` with a key letter by letter.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, ParsedStatement

_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def register() -> None:
    """Put the request's values in before any statement is matched."""
    match = iam_evaluator._first_match

    def first_match(
        context: EvalContext, statements: list[ParsedStatement], effect: str
    ) -> ParsedStatement | None:
        return match(context, [expand(each, context) for each in statements], effect)

    iam_evaluator._first_match = first_match


def expand(statement: ParsedStatement, context: EvalContext) -> ParsedStatement:
    """Return `statement` with the request's values for its variables.

    A text whose variable the request lacks matches nothing, as on AWS.
    """
    conditions = {
        operator: {key: _values(given, context) for key, given in keys.items()}
        for operator, keys in statement.conditions.items()
    }
    return replace(
        statement,
        resources=_values(statement.resources, context),
        not_resources=_values(statement.not_resources, context),
        conditions=conditions,
    )


def _values(given: Any, context: EvalContext) -> Any:
    if isinstance(given, list):
        return [_values(each, context) for each in given]
    if not isinstance(given, str) or "${" not in given:
        return given

    def value(found: re.Match[str]) -> str:
        known = iam_evaluator._resolve_condition_key(found[1], context)
        return known if isinstance(known, str) else found[0]

    return _VARIABLE.sub(value, given)
