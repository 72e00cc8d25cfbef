"""What a machine fetches before its trainer starts: data from S3, and secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import found, shown

VARIABLE = r"(?!PARRIS_|PATH$)[A-Za-z_][A-Za-z0-9_]{0,127}"
"""Of a variable in the trainer's environment; none that Parris itself sets."""
REFERENCE = (
    r"ssm:[A-Za-z0-9_.\-/]{1,1011}"
    r"|secretsmanager:[A-Za-z0-9/_+=.@\-:]{1,600}(?:#[A-Za-z0-9_.\-]{1,128})?"
)
"""An SSM parameter by its name, or a secret by name or ARN, and a key of the JSON in it (API
references, "PutParameter" of AWS Systems Manager and "CreateSecret" of Secrets Manager, Name)."""
URI = r"s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]/[^\u0000-\u001f\u007f\ud800-\udfff]{0,1024}"
"""An object, or with a slash at its end all below a prefix."""
FOLDER = r"(?!/)(?!.*\.\.)[A-Za-z0-9._/\-]{1,200}"
MOST_SECRETS, MOST_SOURCES = 20, 10


def read_secrets(value: object) -> tuple[dict[str, str], list[str]]:
    """Return where each secret is held, by the variable that it becomes, and what is wrong."""
    if not isinstance(value, Mapping):
        return {}, [f"{found(value)} is not an object of variables and where each is held"]
    problems = []
    if len(value) > MOST_SECRETS:
        problems.append(f"{len(value)} secrets are too many (at most {MOST_SECRETS})")
    for name, held in value.items():
        if not re.fullmatch(VARIABLE, name):
            problems.append(
                f"{shown(name)} is not a variable's name (letters, digits and underscores; neither "
                "PATH nor one that begins with PARRIS_)"
            )
        # What stands there may be the secret itself: it is not repeated.
        elif not isinstance(held, str) or not re.fullmatch(REFERENCE, held):
            problems.append(
                f"{name}: not where a secret is held (ssm:/team/name, secretsmanager:name, or "
                "secretsmanager:name#key of the JSON in it); the secret itself does not belong here"
            )
    return ({}, problems) if problems else (dict(value), [])


def read_data(value: object) -> tuple[tuple[dict[str, str], ...], list[str]]:
    """Return what is fetched (``s3``) and where to (``to``), in order, and what is wrong."""
    if not isinstance(value, list) or len(value) > MOST_SOURCES:
        return (), [f"{found(value)} is not a list of at most {MOST_SOURCES} objects"]
    read: list[dict[str, str]] = []
    problems: list[str] = []
    for number, one in enumerate(value, 1):
        faults = _faults(one)
        problems += [f"{number}: {fault}" for fault in faults]
        if not faults:
            read.append({"s3": one["s3"], "to": one.get("to", "data/").rstrip("/") + "/"})
    return ((), problems) if problems else (tuple(read), [])


def _faults(one: Any) -> list[str]:
    if not isinstance(one, Mapping) or not one.keys() <= {"s3", "to"} or "s3" not in one:
        return [f'{found(one)} is not {{"s3": "s3://bucket/prefix/", "to": "data/"}}']
    faults = []
    if not isinstance(one["s3"], str) or not re.fullmatch(URI, one["s3"]):
        faults.append(f"s3: {found(one['s3'])} is not s3://bucket/object or s3://bucket/prefix/")
    to = one.get("to", "data/")
    if not isinstance(to, str) or not re.fullmatch(FOLDER, to):
        faults.append(f"to: {found(to)} is not a folder below the job's")
    return faults
