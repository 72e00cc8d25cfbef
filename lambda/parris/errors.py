"""What Parris refuses, in words for the person who reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional (Unicode Annex 9, 2.1 to 2.6)
    "\ud800-\udfff]"  # halves of surrogate pairs, which no encoding can write
)


class ParrisError(Exception):
    """Anything Parris itself refuses or gives up on; its text names the cure.

    Whatever was put into it: the text can be encoded, printed and sent.
    """

    MAX_LENGTH = 2_000
    """Characters of the text."""

    def __init__(self, text: str) -> None:
        super().__init__(cut(plain(text), self.MAX_LENGTH))


class InvalidEvent(ParrisError):
    """The event that reached the launch Lambda asks for nothing Parris can do."""


class UnknownJob(ParrisError):
    """The event names a job whose files are not in the config bucket."""


class InvalidConfig(ParrisError):
    """A job's files have faults; all of them are named at once."""

    MAX_LENGTH = 20_000

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(cut(plain(problem), ParrisError.MAX_LENGTH) for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{source} has {count}\n{lines}")


class LaunchRefused(ParrisError):
    """The job is sound, but a stack of its name, or too many others, are in the way."""


class StackInTheWay(LaunchRefused):
    """A stack of the job's name exists; its own run is `run_id`, and may be `kept` when over."""

    def __init__(self, text: str, run_id: str, *, job: str = "", kept: bool = False) -> None:
        super().__init__(text)
        self.run_id, self.job, self.kept = run_id, job, kept


class NoRoom(LaunchRefused):
    """Others are under way, or what is left of a budget does not do; later there may be room."""


class LaunchFailed(ParrisError):
    """AWS did not accept the launch."""


class LaunchUnclear(ParrisError):
    """AWS gave no answer, and nobody knows yet whether a machine runs."""


class PriceUnknown(ParrisError):
    """AWS gave no price for a machine."""


def found(value: object) -> str:
    """Return `value` as JSON has it, cut short, for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:  # it was read some frames nearer to the limit than it is written
        text = "a nest of lists or objects"
    return cut(text, 60)


def shown(value: object) -> str:
    """Return `value` as Python has it, cut short, for a message."""
    try:
        return cut(repr(value[:60] if isinstance(value, str) else value), 60)
    except (RecursionError, ValueError):  # too deep, or a number of over 4,300 digits
        return f"a {type(value).__name__}"


def meant(word: str, known: Iterable[str]) -> str:
    """Return a question for what `word` may have been meant to be, or nothing."""
    from difflib import get_close_matches  # only a refusal pays for the import

    # How a word is written matters less than which it is: job is JOB, and not LOG.
    folded = {each.casefold(): each for each in known}
    close = get_close_matches(word.casefold(), folded, n=1)
    return f"; did you mean {folded[close[0]]}?" if close else ""


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def plain(text: str) -> str:
    """Return `text` with what a terminal or a reader would obey shown as escapes.

    Tabs and newlines stay; a carriage return is a newline.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)
