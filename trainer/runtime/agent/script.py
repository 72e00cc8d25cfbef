"""The person's script: how it is started, and what its end may hide."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

from .words import RunError

SETUP, SETUP_DIR = "setup", "PARRIS_SETUP_DIR"
"""The folder that a setup leaves, below the machine's, and the variable that says where it is."""
TOO_MANY = "Too many arguments."
"""What systemd says to `poweroff now`, with status 1 (systemctl-compat-halt.c)."""


def trainer_environment(home: Path, receipt: dict[str, Any], resumed: bool) -> dict[str, str]:
    """Return what the trainer finds in its environment, beside the machine's own.

    Args:
        resumed: whether there are checkpoints to go on from.
    """
    limit = receipt.get("time-limit-minutes")
    values = {
        "PARRIS_JOB": receipt["job"],
        "PARRIS_RUN_ID": receipt["run-id"],
        "PARRIS_ATTEMPT": str(receipt.get("attempt", 1)),
        "PARRIS_OUTPUT_DIR": str(home / "output"),
        "PARRIS_CHECKPOINT_DIR": str(home / "checkpoints"),
        "PARRIS_DEADLINE": receipt["deadline"],
        "TERMINATION_TIME_LIMIT": "never" if limit is None else str(limit),
    }
    if resumed:
        values["PARRIS_RESUMED"] = "1"
    if receipt.get("setup"):
        values[SETUP_DIR] = str(home / SETUP)
    for name, value in receipt.get("parameters", {}).items():
        values["PARRIS_PARAM_" + re.sub(r"[^A-Z0-9]", "_", name.upper())] = str(value)
    return values


# Power-off now, as the last command of a line: with sudo or a path, options, and something thrown
# away behind it. systemctl-compat-halt.c and -shutdown.c of systemd take these.
POWER_OFF = re.compile(
    rb"""(?P<before>(?:.*?(?:;|&&?|\|\|))?[ \t]*)
    (?P<command>(?:sudo[ \t]+(?:-\S+[ \t]+)*)?(?:/\S*/)?
      (?:(?:poweroff|halt)
        |shutdown(?:[ \t]+-(?:h|P|H|hP|-poweroff|-halt|-no-wall))*[ \t]+(?:now|\+?0)
        |systemctl(?:[ \t]+-\S+)*[ \t]+(?:poweroff|halt)
        |(?:tel)?init[ \t]+0
      )(?![\w./=-])(?:[^;&|\#'"]|>&)*)
    (?P<behind>(?:;|&|\|\|[ \t]*true)?)[ \t]*(?:\#.*)?""",
    re.VERBOSE,
)
SHELL = re.compile(rb"#![ \t]*/\S*?(?:/env[ \t]+(?:-S[ \t]+)?|/)(?:ba|da|z|k|a)?sh(?:[ \t\r]|$)")


NAMES_POWER_OFF = re.compile(rb"\b(?:poweroff|halt|shutdown|(?:tel)?init[ \t]+0)\b")
"""What a script has that may turn its machine off, wherever in it."""


class PowerOff(NamedTuple):
    """A script's own power-off, where it is the last thing that the script does."""

    line: int
    command: str
    start: int
    """Where the command stands in the script, in bytes; `end` is behind what belongs to it."""
    end: int


def last_power_off(content: bytes) -> PowerOff | None:
    """Return the power-off in which a shell's script ends; None if it ends in something else."""
    lines = content.split(b"\n")
    if content.startswith(b"#!") and not SHELL.match(lines[0]):
        return None
    start = len(content) + 1
    for number in range(len(lines), 0, -1):
        line = lines[number - 1]
        start -= len(line) + 1
        if line.strip() and not line.lstrip().startswith(b"#"):
            found = POWER_OFF.fullmatch(line.rstrip())
            if not found:
                return None
            text = found["command"].decode(errors="replace").rstrip()
            return PowerOff(
                number, text, start + found.start("command"), start + found.end("behind")
            )
    return None


def trainer_command(folder: Path, script: str) -> tuple[list[str], list[str]]:
    """Return the command that runs the job's script, and warnings; repair what can be repaired.

    Raises:
        RunError: if it is missing, unreadable, or lies outside the job's folder.
    """
    warnings = []
    path = (folder / script).resolve()
    if folder.resolve() not in path.parents:
        raise RunError(f"{script} lies outside the job's folder")
    try:
        content = path.read_bytes()
        if b"\r\n" in content:
            content = content.replace(b"\r\n", b"\n")
            path.write_bytes(content)
            warnings.append(
                f"{script} had Windows line endings (CRLF); they were repaired for this run"
            )
        if found := last_power_off(content):
            # `exit` has the status of what came before (bash(1), "exit"): the training's own.
            content = content[: found.start] + b"exit" + content[found.end :]
            path.write_bytes(content)
            warnings.append(
                f"{script} ends in `{found.command}` (line {found.line}); it was left out of this "
                "run, since it hides how the training ended: the machine powers off by itself"
            )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    except OSError as error:
        raise RunError(f"{script} cannot be read or repaired: {error.strerror}") from error
    return ([str(path)] if content.startswith(b"#!") else ["bash", str(path)]), warnings
