"""training-config.json as a JSON Schema for editors, made from the fields the function reads.

`python -m scripts.config_schema` prints it; `make format` writes it to docs/.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

from parris.config import COST, FIELDS, FIXED_TIME, LIMITS
from parris.fields import Amount, Choice, Field, Flag, Text, Whole
from parris.parameters import MAX_COUNT, MAX_LENGTH, NAME

PATH = Path(__file__).resolve().parent.parent / "docs" / "training-config.schema.json"
OPTIONS = "termination-options"


def spellings(key: str) -> list[str]:
    """Return every mix of hyphens and underscores that means `key`."""
    parts = key.split("-")
    joints = itertools.product("-_", repeat=len(parts) - 1)
    return ["".join(a + b for a, b in zip(parts, [*joint, ""], strict=True)) for joint in joints]


def any_spelling(key: str) -> str:
    """Return the pattern of `key` however it is spelled."""
    return _whole(key.replace("-", "[-_]"))


def value(field: Field) -> dict[str, Any]:
    """Return the schema of one value."""
    if isinstance(field, Text):
        return {
            "type": "string",
            "pattern": _whole(field.pattern),
            "description": field.allowed,
            "default": field.default,
        }
    if isinstance(field, Choice):
        return {"enum": list(field.values), "default": field.default}
    if isinstance(field, Whole):
        described = {"description": field.unit} | (
            {} if field.default is None else {"default": field.default}
        )
        bounds = {"minimum": field.minimum, "maximum": field.maximum}
        return {"type": "integer", **bounds, **described}
    if isinstance(field, Amount):
        limits = {"exclusiveMinimum": 0, "maximum": field.maximum}
        return {"type": "number", **limits, "description": field.unit}
    if isinstance(field, Flag):
        return {"type": "boolean", "default": field.default}
    text = {"type": "string", "maxLength": MAX_LENGTH, "pattern": "^[^\\u0000]*$"}
    return {
        "type": "object",
        "maxProperties": MAX_COUNT,
        "propertyNames": {"pattern": _whole(NAME)},
        "additionalProperties": {"anyOf": [text, {"type": ["number", "boolean"]}]},
    }


def schema() -> dict[str, Any]:
    """Return the whole schema: it accepts exactly what read_config accepts."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "training-config.json of a Parris job",
        "type": "object",
        # For completion in editors; the patterns below hold for every spelling.
        "properties": {key: value(field) for key, field in FIELDS.items()},
        "patternProperties": {
            "^_": {},
            any_spelling(OPTIONS): _options(),
            **{any_spelling(key): value(field) for key, field in FIELDS.items()},
        },
        "additionalProperties": False,
        "allOf": [
            *_once([*FIELDS, OPTIONS]),
            *_not_in_both_places(),
            _needs(FIXED_TIME, "time-limit"),
            _needs(COST, "cost-limit"),
        ],
    }


def _options() -> dict[str, Any]:
    limits = {any_spelling(key): value(field) for key, field in LIMITS.items()}
    return {
        "type": "object",
        "patternProperties": {"^_": {}, **limits},
        "additionalProperties": False,
        "allOf": _once(list(LIMITS)),
    }


def _once(keys: list[str]) -> list[dict[str, Any]]:
    return [
        {"not": {"required": list(pair)}}
        for key in keys
        for pair in itertools.combinations(spellings(key), 2)
    ]


def _not_in_both_places() -> list[dict[str, Any]]:
    return [{"not": {"allOf": [_has(key), _options_have(key)]}} for key in LIMITS]


def _needs(method: str, limit: str) -> dict[str, Any]:
    chosen = [
        {"required": [name], "properties": {name: {"const": method}}}
        for name in spellings("termination-method")
    ]
    return {"if": {"anyOf": chosen}, "then": {"anyOf": [_has(limit), _options_have(limit)]}}


def _has(key: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [name]} for name in spellings(key)]}


def _options_have(key: str) -> dict[str, Any]:
    return {
        "anyOf": [
            {"required": [name], "properties": {name: {"type": "object", **_has(key)}}}
            for name in spellings(OPTIONS)
        ]
    }


def _whole(pattern: str) -> str:
    # Python's $ also matches before a last newline, ECMA's does not: refuse it for both.
    return f"^(?:{pattern})(?!\\n)$"


def main(argv: list[str]) -> int:
    """Print the schema, or write it to docs/ with --write."""
    text = json.dumps(schema(), indent=1) + "\n"
    if argv == ["--write"]:
        PATH.write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
