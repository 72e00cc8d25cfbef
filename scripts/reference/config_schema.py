"""training-config.json as a JSON Schema for editors, made from the fields the function reads.

`python -m scripts.reference.config_schema` prints it; `make format` writes it to docs/.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

from parris.jobs.config import (
    COST,
    FIELDS,
    FIXED_TIME,
    LIMITS,
    LONGEST_OF_SEVERAL,
    OUR_TEMPLATES,
    RETRY,
)
from parris.jobs.config import OPTIONS as GROUPS
from parris.jobs.fields import (
    MOST,
    Amount,
    Choice,
    Data,
    Field,
    Flag,
    Secrets,
    Several,
    Text,
    Whole,
)
from parris.jobs.inputs import FOLDER, MOST_SECRETS, MOST_SOURCES, REFERENCE, URI, VARIABLE
from parris.jobs.parameters import MAX_COUNT, MAX_LENGTH, NAME, VALUE

PATH = Path(__file__).resolve().parents[2] / "docs" / "training-config.schema.json"
OPTIONS, AGAIN = GROUPS
MEANINGS = {
    "training-job-name": "Name of the job's stack.",
    "training-script-filename": "The script that trains, below the job's folder.",
    "cloudformation-template-filename": "A template of your own in place of the packaged one.",
    "termination-method": "What ends a run; where it is missing, the limits that are given. "
    "at-fixed-time needs time-limit, around-cost cost-limit; training-completion heeds neither.",
    OPTIONS: "Holds time-limit and cost-limit, which may also stand at the top.",
    "time-limit": "Whole minutes after which a run is ended.",
    "cost-limit": "US dollars that a run may cost.",
    "instance-type": "The EC2 instance type to train on, or a list: the next where EC2 has none.",
    "instance-iam-role-name": "IAM role of the machine, one of the deployment's.",
    "security-group-id": "Security group of the machine; the VPC's default if empty.",
    "subnet-id": "Subnet of the machine, or a list; one of the default VPC if empty.",
    "ec2-keypair-name": "EC2 key pair for SSH; none if empty.",
    "stack-replacement": "Whether a launch replaces what the job's stack runs.",
    "several-at-once": "Whether runs of the job may go side by side, each in a stack of its own.",
    "keep-stack": "Whether the stack stays when its run is over, without a machine.",
    "image": "Image to boot; one that fits the instance type if empty.",
    "volume-size-gb": "Size of the root volume, in GiB.",
    "nodes": "How many machines train together, as one stack: all of them or none.",
    "placement": "Whether several nodes stand near each other, or wherever EC2 has room.",
    "market": "How the machine is bought; of a list, the next where EC2 has none.",
    "max-wait-minutes": "Minutes a run may wait for a machine where EC2 has none.",
    AGAIN: "When a run gets another machine.",
    "on": "What it gets another machine after.",
    "exit-statuses": "Of the trainer, after which a failure counts; any if empty.",
    "attempts": "How many machines a run may have in all; those that EC2 refused do not count.",
    "parameters": "Names and values that reach the script as PARRIS_PARAM_<NAME>.",
    "setup-script": "Runs before the trainer, once for its inputs: later runs restore its work.",
    "setup-inputs": "Files and folders of the job that it needs; requirements.txt if missing.",
    "container": "Image of the container that the job's scripts run in; none if empty.",
    "secrets": "Variables of the trainer's environment, and where AWS holds the value of each.",
    "data": "What the machine fetches from S3 before the trainer starts, and where to.",
    "sync-interval-seconds": "Seconds between two uploads of the output.",
    "stop-grace-seconds": "Seconds between SIGTERM and SIGKILL when a run is stopped.",
    "idle-gpu-minutes": "Minutes after which GPUs that are all idle end the run; never if missing.",
}
"""What an editor shows beside each key."""


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
    if isinstance(field, Several):
        one = value(field.field)
        one.pop("default", None)
        several = {"type": "array", "items": one, "uniqueItems": True, "maxItems": MOST}
        words = [{"enum": list(field.words)}] if field.words else []
        first = list(field.default)
        return {
            "anyOf": [one, several | {"minItems": field.least}, *words],
            "default": first[0] if len(first) == 1 else first,
        }
    if isinstance(field, Text):
        return {
            "type": "string",
            "pattern": _whole(field.pattern),
            "default": field.default,
        }
    if isinstance(field, Choice | Whole):
        default = {} if field.default is None else {"default": field.default}
        if isinstance(field, Choice):
            return {"enum": list(field.values), **default}
        return {"type": "integer", "minimum": field.minimum, "maximum": field.maximum, **default}
    if isinstance(field, Amount):
        return {"type": "number", "exclusiveMinimum": 0, "maximum": field.maximum}
    if isinstance(field, Flag):
        return {"type": "boolean", "default": field.default}
    if isinstance(field, Secrets):
        return {
            "type": "object",
            "maxProperties": MOST_SECRETS,
            "propertyNames": {"pattern": _whole(VARIABLE)},
            "additionalProperties": {"type": "string", "pattern": _whole(REFERENCE)},
            "default": {},
        }
    if isinstance(field, Data):
        source = {
            "type": "object",
            "properties": {
                "s3": {"type": "string", "pattern": _whole(URI)},
                "to": {"type": "string", "pattern": _whole(FOLDER), "default": "data/"},
            },
            "required": ["s3"],
            "additionalProperties": False,
        }
        return {"type": "array", "maxItems": MOST_SOURCES, "items": source, "default": []}
    string = {"type": "string", "maxLength": MAX_LENGTH, "pattern": _whole(VALUE)}
    return {
        "type": "object",
        "maxProperties": MAX_COUNT,
        "propertyNames": {"pattern": _whole(NAME)},
        "additionalProperties": {"anyOf": [string, {"type": ["number", "boolean"]}]},
        "default": {},
    }


def schema() -> dict[str, Any]:
    """Return the whole schema: it accepts exactly what read_config accepts."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "training-config.json of a Parris job",
        "description": "Every key is optional; one that begins with _ is a comment.",
        "$defs": {
            key: _described(key, field, value(field)) for key, field in {**FIELDS, **RETRY}.items()
        }
        | {group: _described(group, None, _options(group)) for group in GROUPS},
        "type": "object",
        # For completion in editors; the patterns below hold for every spelling.
        "properties": {key: _reference(key) for key in [*FIELDS, *GROUPS]},
        "patternProperties": _comments_and([*FIELDS, *GROUPS]),
        "additionalProperties": False,
        "allOf": [
            *_once([*FIELDS, *GROUPS]),
            *_not_in_both_places(),
            _needs(FIXED_TIME, "time-limit"),
            _needs(COST, "cost-limit"),
            _several_at_once(),
            _nodes(),
        ],
    }


def _options(group: str) -> dict[str, Any]:
    keys = list(GROUPS[group])
    return {
        "type": "object",
        "properties": {key: _reference(key) for key in keys},
        "patternProperties": _comments_and(keys),
        "additionalProperties": False,
        "allOf": _once(keys),
    }


def _described(key: str, field: Field | None, rest: dict[str, Any]) -> dict[str, Any]:
    one = field.field if isinstance(field, Several) else field
    allowed = f" Allowed: {one.allowed}." if isinstance(one, Text) else ""
    return {"title": key, "description": MEANINGS[key] + allowed, **rest}


def _reference(key: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{key}"}


def _comments_and(keys: list[str]) -> dict[str, Any]:
    return {"^_": {}, **{any_spelling(key): _reference(key) for key in keys}}


def _once(keys: list[str]) -> list[dict[str, Any]]:
    return [
        {"not": {"required": list(pair)}}
        for key in keys
        for pair in itertools.combinations(spellings(key), 2)
    ]


def _not_in_both_places() -> list[dict[str, Any]]:
    return [{"not": {"allOf": [_has(key), _options_have(key)]}} for key in LIMITS]


def _is(key: str, chosen: Any) -> dict[str, Any]:
    return _fits(key, {"const": chosen})


def _fits(key: str, kind: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{"required": [name], "properties": {name: kind}} for name in spellings(key)]}


def _needs(method: str, limit: str) -> dict[str, Any]:
    return {
        "if": _is("termination-method", method),
        "then": {"anyOf": [_has(limit), _options_have(limit)]},
    }


def _several_at_once() -> dict[str, Any]:
    name = {"maxLength": LONGEST_OF_SEVERAL}
    return {
        "if": _is("several-at-once", True),
        "then": {
            "not": _is("stack-replacement", True),
            "properties": dict.fromkeys(spellings("training-job-name"), name),
        },
    }


def _nodes() -> dict[str, Any]:
    several = _fits("nodes", {"type": "integer", "minimum": 2})
    own = _fits("cloudformation-template-filename", {"not": {"enum": list(OUR_TEMPLATES)}})
    return {"not": {"allOf": [several, own]}}


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


def text() -> str:
    """Return the schema as it stands in its file."""
    return json.dumps(schema(), indent=1) + "\n"


def main(argv: list[str]) -> int:
    """Print the schema, or write it to docs/ with --write."""
    if argv not in ([], ["--write"]):
        print("usage: python -m scripts.reference.config_schema [--write]", file=sys.stderr)
        return 2
    if argv:
        PATH.write_text(text())
    else:
        print(text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
