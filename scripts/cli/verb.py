"""What a verb of ./parris is, and what it may take. Nothing is imported here that takes time."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Option:
    """Something that a verb takes: ``--name`` here, ``NAME=`` with make."""

    name: str
    help: str
    read: Callable[[str], Any] | None = None
    """How its text is read, an ArgumentTypeError saying what is wrong; None for a switch."""
    value: str = ""
    """What to call its value in the help."""
    default: Any = None
    make_name: str = ""
    """The variable's name, where it is not the option's."""
    short: str = ""
    first: bool = False
    """Whether it may be given without its name."""
    many: bool = False
    """Whether it may be given several times; make's variable holds them all, quoted as in a
    shell."""
    choices: tuple[str, ...] = ()
    completes: str = ""
    """What the shell completes it with: ``jobs``, ``files`` or nothing."""

    @property
    def variable(self) -> str:
        return self.make_name or self.name.upper().replace("-", "_")


JSON = Option(name="json", help="print one JSON value, and all else to standard error")
WAIT = Option(name="wait", help="follow it to its end and exit with its result")
MAX_COUNT = 10_000
"""How many runs may be asked for."""
LOCAL = Option(name="local", help="use the embedded cloud of this clone, as LOCAL=1 does")


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One thing to ask for."""

    name: str
    help: str
    example: str
    """What to type after ``parris``."""
    options: tuple[Option, ...] = ()
    alias: str = ""
    answer: str = ""
    """What ``--json`` prints (docs/commands.md); nothing if the verb does not know it."""
    unanswered: str = ""
    """Why the verb does not know ``--json``, where it does not."""
    always_local: bool = False
    """Whether it is about the embedded cloud, whatever LOCAL says."""
    passes_on: bool = False
    """Whether what follows ``--`` is handed to terraform."""

    @property
    def module(self) -> str:
        return f"scripts.commands.{self.name.replace('-', '_')}"

    @property
    def all_options(self) -> tuple[Option, ...]:
        return (*self.options, *((JSON,) if self.answer else ()), LOCAL)


def job(help_text: str, *, first: bool = False) -> Option:
    return Option(name="job", help=help_text, read=text, value="job", first=first, completes="jobs")


def run(help_text: str) -> Option:
    return Option(name="run", help=help_text, read=text, value="run", first=True)


def named(name: str, help_text: str, **more: Any) -> Option:
    return Option(name=name, help=help_text, read=more.pop("read", text), **more)


def text(value: str) -> str:
    return value


def whole(minimum: int, maximum: int, unit: str) -> Callable[[str], int]:
    """Return what reads a whole number of `unit` within bounds."""

    def read(value: str) -> int:
        if value.isascii() and value.isdigit() and minimum <= int(value) <= maximum:
            return int(value)
        raise argparse.ArgumentTypeError(
            f"{value} is not a whole number of {unit} ({minimum} to {maximum})"
        )

    return read


def amount(value: str) -> str:
    """Return a text that is a number above 0."""
    dollars, dot, rest = value.partition(".")
    sound = value.isascii() and dollars.isdigit() and (rest.isdigit() or not dot)
    if sound and float(value) > 0:
        return value
    raise argparse.ArgumentTypeError(f"{value} is not an amount above 0, such as 25 or 0.5")


def month(value: str) -> str:
    """Return a month as ``2026-11``."""
    year, dash, number = value.partition("-")
    sound = value.isascii() and year.isdigit() and number.isdigit() and len(value) == 7
    if dash and sound and len(year) == 4 and 1 <= int(number) <= 12 and int(year):
        return value
    raise argparse.ArgumentTypeError(f"{value} is not a month, such as 2026-11")


def pair(value: str) -> tuple[str, str]:
    """Return the name and the value in ``name=value``."""
    name, equals, rest = value.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{value} is not name=value, such as epochs=40")
    return name, rest


def several(value: str) -> tuple[str, ...]:
    """Return the words of a list with commas."""
    words = tuple(word.strip() for word in value.split(","))
    if not all(words):
        raise argparse.ArgumentTypeError(f"{value} is not a list with commas, such as a,b")
    return words
