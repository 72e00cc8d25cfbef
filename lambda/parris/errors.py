"""What Parris refuses, in words for the person who reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence


class ParrisError(Exception):
    """Anything Parris itself refuses or gives up on; its text names the cure."""


class InvalidEvent(ParrisError):
    """The event that reached the launch Lambda asks for nothing Parris can do."""


class UnknownJob(ParrisError):
    """The event names a job whose files are not in the config bucket."""


class InvalidConfig(ParrisError):
    """A job's files have faults; all of them are named at once."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        # Half a surrogate pair is a string to JSON, but nothing that prints can write it.
        self.problems = tuple(
            problem.encode(errors="backslashreplace").decode() for problem in problems
        )
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{source} has {count}\n{lines}")


class LaunchRefused(ParrisError):
    """The job is sound, but a stack of its name, or too many others, are in the way."""


class StackInTheWay(LaunchRefused):
    """A stack of the job's name exists; its own run is `run_id`."""

    def __init__(self, text: str, run_id: str) -> None:
        super().__init__(text)
        self.run_id = run_id


class LaunchFailed(ParrisError):
    """AWS did not accept the launch."""


class PriceUnknown(ParrisError):
    """AWS gave no price for a machine."""


def found(value: object) -> str:
    """Return `value` as JSON has it, cut short, for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:  # it was read some frames nearer to the limit than it is written
        text = "a nest of lists or objects"
    return text if len(text) <= 60 else f"{text[:57]}…"
