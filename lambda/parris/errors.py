"""What Parris refuses, in words for the person who reads them."""

from __future__ import annotations

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
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source} has {count}\n{lines}")


class LaunchRefused(ParrisError):
    """The job is sound, but a stack of its name is in the way."""


class LaunchFailed(ParrisError):
    """AWS did not accept the launch."""
