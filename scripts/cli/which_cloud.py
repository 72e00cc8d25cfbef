"""Which cloud a command goes to, LOCAL=1 or an account, and how what it says keeps to that."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LOCAL_HOME = Path(
    os.environ.get("PARRIS_LOCAL_HOME", Path(__file__).resolve().parents[2] / ".parris" / "local")
)
"""Where the embedded cloud of LOCAL=1 lives; the drill has several."""

TURNED_BY_LOCAL = (
    *("init", "deploy", "destroy", "plan", "upload-config", "launch", "status", "jobs", "logs"),
    *("costs", "shell", "results", "report", "stop", "extend", "rerun", "compare", "schedules"),
    *("fire", "clean-stacks", "bucket", "grid"),
)
"""The make targets that go to the embedded cloud with LOCAL=1, and to an account without."""

_WORD = r"[^\s,;:)'\"]+"
_COMMAND = re.compile(
    rf"\bmake (?:{'|'.join(TURNED_BY_LOCAL)})\b(?!-)"
    rf"(?: [A-Z_]+=(?:'[^']*'|{_WORD}(?:,{_WORD})*))*"  # a,b is one value; "a, b" is prose
)


def is_local(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether LOCAL=1 asks for the embedded cloud."""
    return environ.get("LOCAL", "") not in ("", "0")


def hint(text: str) -> str:
    """Return `text` with each make command in it as it has to be typed to go where this one went.

    The functions' own words pass here too: they do not know where the person who reads them is.
    """
    if not is_local():
        return text
    return _COMMAND.sub(lambda found: _with_local(found[0]), text)


def _with_local(command: str) -> str:
    return command if " LOCAL=" in command else f"{command} LOCAL=1"


def forgotten() -> str:
    """Return what LOCAL=1 would do where it was not said and an embedded cloud runs; else ""."""
    if is_local():
        return ""
    from scripts.local import cloud  # the embedded cloud is not needed on a real account

    if cloud.read_cloud(LOCAL_HOME) is None:
        return ""
    return "an embedded cloud runs in this clone, and LOCAL=1 would go there"


@cache
def say_forgotten(destination: str) -> None:
    """Say once on standard error, where LOCAL=1 may have been forgotten, what is gone to instead.

    Args:
        destination: where this command goes, such as "AWS account 123456789012".
    """
    if words := forgotten():
        print(f"note: this command goes to {destination}; {words}", file=sys.stderr)
