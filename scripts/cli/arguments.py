"""The command line of ./parris, read as scripts/cli/verbs.py describes it."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from parris.errors import meant
from scripts.cli.verb import Option, Verb
from scripts.cli.verbs import ALIASES, VERBS

_ABOUT = "Train a model on an EC2 machine of your own AWS account."
_MORE = """\
A run's id may be cut short, as a commit's: parris logs 2026.
--local on any verb, or LOCAL=1 in the shell, means the embedded cloud.
Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 the run that was
followed did not succeed, 130 Ctrl-C. More in docs/commands.md."""
_FILES = {"bash": "_shtab_compgen_files", "zsh": "_files"}
_JOBS = {"bash": "_parris_jobs"}


class _Choices(tuple[str, ...]):
    """What argparse looks a value up in, also the mark of a positional one that was not given."""

    def __contains__(self, value: object) -> bool:
        return value is argparse.SUPPRESS or super().__contains__(value)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that says what is wrong in one line, and what was perhaps meant."""

    def __init__(self, **more: Any) -> None:
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **more
        )

    def error(self, message: str) -> NoReturn:
        said = message.removeprefix("argument ")
        print(f"{self.prog}: {said}\n{self.prog} --help says what it takes", file=sys.stderr)
        sys.exit(2)


def parse(name: str, argv: list[str], prog: str = "") -> argparse.Namespace:
    """Return the options of verb `name`; what stands after ``--`` is in ``more``.

    Ends the process with status 2 and one line if `argv` is none of the verb's.
    """
    verb = VERBS[name]
    parser = fill(Parser(prog=prog or f"parris {name}"), verb)
    own, passed = argv, []
    if verb.passes_on and "--" in argv:
        own, passed = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
    options, unknown = parser.parse_known_args(own)
    if unknown:
        flags = [f"--{option.name}" for option in verb.all_options]
        parser.error(f"{unknown[0]} is not known here{meant(unknown[0].partition('=')[0], flags)}")
    options.more = passed
    return options


def find_verb(word: str) -> Verb | None:
    return VERBS.get(ALIASES.get(word, word))


def whole_parser() -> Parser:
    """Return the parser of all verbs, for the help and for the shells' completion."""
    parser = Parser(prog="parris", description=_ABOUT, epilog=_MORE)
    verbs = parser.add_subparsers(metavar="<verb>", title="verbs")
    for verb in VERBS.values():
        aliases = [verb.alias] if verb.alias else []
        fill(verbs.add_parser(verb.name, aliases=aliases, help=verb.help), verb)
    return parser


def fill(parser: Parser, verb: Verb) -> Parser:
    """Give `parser` what `verb` takes."""
    parser.description = f"{verb.help[0].upper()}{verb.help[1:]}."
    parser.epilog = f"example:\n  parris {verb.example}"
    if verb.passes_on:
        parser.epilog += "\n\nWhat follows -- is terraform's."
    for option in verb.all_options:
        _add(parser, option)
    return parser


def _add(parser: Parser, option: Option) -> None:
    if option.read is None:
        parser.add_argument(f"--{option.name}", action="store_true", help=option.help)
        return
    shared: dict[str, Any] = {"type": option.read, "help": option.help}
    if option.choices:
        shared["choices"] = _Choices(option.choices)
    if option.value or not option.choices:
        shared["metavar"] = option.value
    names = [f"--{option.name}", *([f"-{option.short}"] if option.short else [])]
    adder: Any = parser
    if option.first:
        # With or without its name, and not both.
        adder = parser.add_mutually_exclusive_group()
        bare = adder.add_argument(option.name, nargs="?", default=argparse.SUPPRESS, **shared)
        _complete(bare, option)
        shared["help"] = argparse.SUPPRESS
    default = list(option.default) if option.many else option.default
    action = "append" if option.many else "store"
    named = adder.add_argument(
        *names, dest=option.name.replace("-", "_"), default=default, action=action, **shared
    )
    _complete(named, option)


def _complete(action: argparse.Action, option: Option) -> None:
    found = {"files": _FILES, "jobs": _JOBS}.get(option.completes)
    if found:
        action.complete = found  # type: ignore[attr-defined]
