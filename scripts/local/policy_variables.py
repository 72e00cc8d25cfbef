"""Policy variables, such as ``${aws:userid}``, in the documents that IAM evaluates.

Stands in for "IAM policy elements: Variables and tags" (IAM user guide): MiniStack compares a
resource or a condition's value with the variable's name instead of its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ministack.core import iam_evaluator

_VARIABLE = re.compile(r"\$\{\s*([^},\s]+)\s*(?:,\s*'([^']*)'\s*)?\}")
_LITERALS = {"*": "*", "?": "?", "$": "$"}


def register() -> None:
    """Put the request's values into each statement before it is compared."""
    first_match = iam_evaluator._first_match

    def filled_first_match(context: Any, statements: list[Any], effect: str) -> Any:
        filled = [
            with_variables(one, lambda key: iam_evaluator._resolve_condition_key(key, context))
            for one in statements
        ]
        return first_match(context, [one for one in filled if one is not None], effect)

    iam_evaluator._first_match = filled_first_match


def with_variables(statement: Any, look: Callable[[str], Any]) -> Any:
    """Return a parsed statement with its variables put in; None if that makes it match nothing.

    Args:
        look: returns the value of a condition key of the request, or None.
    """
    texts = repr((statement.resources, statement.not_resources, statement.conditions))
    if "${" not in texts:
        return statement
    resources = [_put_in(text, look) for text in statement.resources]
    conditions: dict[str, dict[str, list[str]]] = {}
    for operator, block in statement.conditions.items():
        for key, values in block.items():
            listed = [values] if isinstance(values, str) else values
            filled = [_put_in(text, look) for text in listed]
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


def _put_in(text: str, look: Callable[[str], Any]) -> str | None:
    """Return `text` with the request's values; None if one is missing and has no default."""
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        name, default = found[1], found[2]
        if name in _LITERALS:
            return _LITERALS[name]
        held = look(name)
        if held is None:
            held = default
        if not isinstance(held, str):  # none, or many: not to be used in a variable
            missing = True
            return ""
        return held

    filled = _VARIABLE.sub(value, text)
    return None if missing else filled
