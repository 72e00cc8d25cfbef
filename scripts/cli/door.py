"""The front door, ``./parris <verb>``: finds the verb, reads its options, and runs it.

Until a verb runs, nothing is imported that takes time: neither boto3 nor rich.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from functools import partial
from typing import TextIO, cast

from parris.errors import meant
from scripts import venv
from scripts.cli.arguments import find_verb, parse, whole_parser
from scripts.cli.from_make import WrongUsage, translate
from scripts.cli.verb import Verb
from scripts.cli.verbs import ALIASES, VERBS


def main(argv: list[str]) -> int:
    """Do what `argv` asks for and return the exit status (docs/commands.md)."""
    from_make = argv[:1] == ["--from-make"]
    words = argv[1:] if from_make else argv
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if not words or words[0] in ("-h", "--help"):
        whole_parser().print_help()
        return 0 if words else 2
    verb = find_verb(words[0])
    if verb is None:
        known = (*VERBS, *ALIASES)
        print(f"parris: {words[0]} is not a verb{meant(words[0], known)}", file=sys.stderr)
        print("parris --help lists them", file=sys.stderr)
        return 2
    rest = words[1:]
    if from_make:
        try:
            rest += translate(verb, os.environ)
        except WrongUsage as error:
            print(error, file=sys.stderr)
            return 2
    # Read here too, so that wrong usage ends before anything heavy is imported.
    options = parse(verb.name, rest, f"make {verb.name}" if from_make else "")
    if options.local or verb.always_local:
        os.environ["LOCAL"] = "1"
    _install(argv)
    return _run(verb, rest, as_json=bool(verb.answer) and options.json)


def _install(argv: list[str]) -> None:
    """Begin anew with what the verb needs, if .venv lacks it."""
    local = os.environ.get("LOCAL", "") not in ("", "0")
    needed = "requirements-local.txt" if local else "requirements.txt"
    if venv.is_satisfied(needed):
        return
    script = str(venv.ROOT / "scripts" / "venv.py")
    done = subprocess.run([sys.executable, script, needed], stdout=sys.stderr, check=False)
    if done.returncode:
        sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "scripts.cli.door", *argv])  # noqa: S606


def _run(verb: Verb, argv: list[str], *, as_json: bool) -> int:
    if verb.name == "completion":
        from scripts.commands import completion  # prints a script, which is for no person

        return completion.main(argv)
    from scripts.cli import console

    module = importlib.import_module(verb.module)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(cast(TextIO, stream), "reconfigure", None)
        if reconfigure:
            reconfigure(line_buffering=True)
    return console.status_of(partial(module.main, argv), as_json=as_json)


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    except BrokenPipeError:  # whoever read it, `head` for one, has seen enough
        status = 0
        sys.stderr.close()
    sys.exit(status)
