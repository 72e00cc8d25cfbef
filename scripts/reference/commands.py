"""The reference of the verbs, from scripts/cli/verbs.py: docs/commands.md."""

from __future__ import annotations

import sys

from scripts.cli.verb import Option, Verb
from scripts.cli.verbs import VERBS, WITHOUT_TARGET
from scripts.deployment.outputs import ROOT

REFERENCE = ROOT / "docs" / "commands.md"
INTRODUCTION = """\
# Commands

Written by `python -m scripts.reference.commands` from the verbs' own parsers; a test compares.

`./parris <verb>` is the front door. It may be called from any folder and by a symbolic link, and
sets up `.venv` where that is missing. Each `make <verb>` calls it with make's variables as
options: `make launch JOB=x WAIT=1` is `./parris launch x --wait`. A switch is on with 1 and off
with 0. What a verb does not know is refused, in a variable as in an option; variables of the
shell count where the verb knows them; other shell variables are ignored. What stands on make's
command line counts as it was typed, a `$` too.

- `--local` on any verb, or `LOCAL=1` in the shell, means the embedded cloud of this clone.
- Where a run's id is asked for, its beginning will do, as with a commit of git. A beginning of
  several ids is refused with the candidates, one of none with the newest runs.
- `--json` prints one JSON value to standard output, once the verb is done, and everything else to
  standard error. Who is refused gets nothing on standard output. Verbs without it: WITHOUT_JSON.
- `NO_COLOR` turns colours off; a pipe or a file gets plain lines in any case.
- `eval "$(…/parris completion bash)"` in `~/.bashrc` completes verbs, options and jobs; in
  `~/.zshrc`, after `compinit`, `eval "$(…/parris completion zsh)"` completes verbs and options.
  No TAB starts a program. `parris` is then best a symbolic link on PATH, or typed as `./parris`.

## Exit status

| status | meaning |
|---|---|
| 0 | done; with `--wait` the run succeeded (of `stop`: it stopped) |
| 1 | refused, or failed; the reason is on standard error |
| 2 | wrong usage: a verb, an option, a variable or a value that is none |
| 3 | the run that `--wait` followed ended in another way |
| 130 | Ctrl-C; a run that was followed goes on |

make itself ends with 2 whenever its command did not end with 0.
"""


def render() -> str:
    """Return the whole reference as Markdown."""
    without = ", ".join(f"`{verb.name}`" for verb in VERBS.values() if not verb.answer)
    introduction = INTRODUCTION.replace("WITHOUT_JSON", without)
    return "\n".join([introduction, *(line for verb in VERBS.values() for line in _verb(verb))])


def _verb(verb: Verb) -> list[str]:
    called = f", also `{verb.alias}`" if verb.alias else ""
    target = "" if verb.name in WITHOUT_TARGET else f" `make {verb.name}`{called}."
    lines = [
        f"## {verb.name}",
        "",
        f"{verb.help[0].upper()}{verb.help[1:]}.{target}",
        "",
        f"    ./parris {verb.example}",
        "",
        "| option | with make | meaning |",
        "|---|---|---|",
        *(_row(verb, option) for option in verb.all_options),
    ]
    if verb.passes_on:
        lines += ["", "What follows `--` is terraform's."]
    if verb.answer:
        lines += ["", f"JSON: {verb.answer}."]
    else:
        lines += ["", f"No JSON: {verb.unanswered}."]
    return [*lines, ""]


def _row(verb: Verb, option: Option) -> str:
    names = [f"--{option.name}", *([f"-{option.short}"] if option.short else [])]
    value = f" {option.value or '|'.join(option.choices)}" if option.read else ""
    if option.first:
        names[0] = f"[--{option.name}]"
    made = f"`{option.variable}=`" if verb.name not in WITHOUT_TARGET else ""
    shown = f"{', '.join(names)}{value}".replace("|", "\\|")
    default = f"; default {option.default}" if option.default not in (None, [], (), "") else ""
    return f"| `{shown}` | {made} | {option.help}{default} |"


if __name__ == "__main__":
    REFERENCE.write_text(render())
    sys.exit(0)
