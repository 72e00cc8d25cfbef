"""make's variables as a verb's options: ``make launch JOB=x WAIT=1`` is ``parris launch x --wait``.

What stands on make's command line is taken from MAKEFLAGS as it was typed: make would put the
value of a variable in place of a $ in it. A name that the verb does not know is refused there. In
the environment, which may hold anything, only the names that it knows count.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping

from parris.errors import meant
from scripts.cli.verb import Option, Verb

_MAKES_OWN = re.compile(r"(MAKE|\.)?SHELL(FLAGS)?|MAKE[A-Z_]*|GNUMAKEFLAGS|VPATH|SUFFIXES")
"""Variables that are make's to use (GNU make manual, "Special Variables", "Quick Reference")."""

_WORD = re.compile(r"(?:[^\s\\]|\\.)+", re.DOTALL)
_DEFINITION = re.compile(r"([^:+?!=\s]+)(?:::?:?|\+|\?|!)?=(.*)", re.DOTALL)


class WrongUsage(Exception):
    """A variable that is not known, or a value that is none; the text says which."""


def command_line(makeflags: str) -> dict[str, str]:
    """Return the variables of make's command line, as they were typed.

    MAKEFLAGS has them after ``--``, blanks and backslashes behind a backslash, each $ as two (GNU
    make manual, "Communicating Options to a Sub-make"; its source, `quote_for_env` in main.c).
    """
    _, dashes, definitions = f" {makeflags}".partition(" -- ")
    given: dict[str, str] = {}
    for word in _WORD.findall(definitions if dashes else ""):
        if found := _DEFINITION.fullmatch(re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL)):
            given[found[1]] = found[2].replace("$$", "$")
    return given


def translate(verb: Verb, environ: Mapping[str, str]) -> list[str]:
    """Return the arguments of `verb` that make's variables are.

    Raises:
        WrongUsage: naming each variable that is not the verb's, or whose value is none of its.
    """
    given = command_line(environ.get("MAKEFLAGS", ""))
    options = {option.variable: option for option in verb.all_options}
    wrong = [
        f"{name}={value} is not known here{_meant(name, value, options)}"
        for name, value in given.items()
        if name not in options and not _MAKES_OWN.fullmatch(name)
    ]
    arguments: list[str] = []
    for name, option in options.items():
        value = given.get(name, environ.get(name, ""))
        try:
            arguments += _arguments(option, value)
        except ValueError as error:  # of shlex
            wrong.append(f"{name}={value}: {error}")
        except argparse.ArgumentTypeError as error:
            wrong.append(f"{name}={value}: {error}")
    if wrong:
        raise WrongUsage("\n".join(f"make {verb.name}: {line}" for line in wrong))
    return arguments


def _arguments(option: Option, value: str) -> list[str]:
    flag = f"--{option.name}"
    if option.read is None:
        if value not in ("", "0", "1"):
            raise argparse.ArgumentTypeError("1 turns it on, 0 or nothing leaves it off")
        return [flag] if value == "1" else []
    values = shlex.split(value) if option.many else [value] if value else []
    for one in values:
        option.read(one)
        if option.choices and one not in option.choices:
            raise argparse.ArgumentTypeError(f"not one of {', '.join(option.choices)}")
    return [f"{flag}={one}" for one in values]


def _meant(name: str, value: str, options: Mapping[str, Option]) -> str:
    close = meant(name, options)
    return close.replace("?", f"={value}?") if close else f"; it takes {', '.join(sorted(options))}"
