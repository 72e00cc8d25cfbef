"""make's variables become a verb's options, and nothing is ignored."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.cli.arguments import parse
from scripts.cli.from_make import WrongUsage, command_line, translate
from scripts.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]

VALUES = (
    *("plain", "", "two words", "a\ttab", "back\\slash", "\\ ends in two\\\\", "do$$llar $HOME"),
    *("quotes \"'", "--wait", "a=b", "ä 模型", "#hash", "semi;colon & `x`", "%p", "a:=b -- c=d"),
)


def make(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    ours = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "LOCAL", "JOB", "RUN", "WAIT")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=kept | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    """A folder whose make says what it hands on."""
    (tmp_path / "Makefile").write_text('all:\n\t@printf "%s" "$$MAKEFLAGS"\n')
    return tmp_path


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("flags", [(), ("-k",), ("-j2", "--no-builtin-rules")])
def test_what_was_typed_is_what_is_read(echo: Path, value: str, flags: tuple[str, ...]) -> None:
    handed = make(echo, *flags, f"PARAMETERS={value}", "JOB=first", "JOB:=last", "Z+=more").stdout
    assert command_line(handed) == {"PARAMETERS": value, "JOB": "last", "Z": "more"}


def test_without_variables_there_are_none(echo: Path) -> None:
    for flags in ((), ("-k",), ("-j2",)):
        assert command_line(make(echo, *flags).stdout) == {}


def test_variables_are_the_verbs_options() -> None:
    makeflags = " -- WAIT=1 PARAMETERS=epochs=40\\ 'note=a\\ b'\\ x=$$HOME JOB=mine"
    arguments = translate(VERBS["launch"], {"MAKEFLAGS": makeflags, "JOB": "mine"})
    options = parse("launch", arguments)
    assert options.job == "mine"
    assert options.wait
    assert options.parameter == [("epochs", "40"), ("note", "a b"), ("x", "$HOME")]
    assert not options.local


def test_the_command_line_counts_more_than_the_shell_and_an_empty_value_is_none() -> None:
    shell = {"JOB": "theirs", "WAIT": "1", "LOCAL": "1", "COLOUR": "blue", "JASON": "1"}
    assert translate(VERBS["launch"], shell) == ["--job=theirs", "--wait", "--local"]
    typed = shell | {"MAKEFLAGS": " -- JOB= WAIT=0 LOCAL="}
    assert translate(VERBS["launch"], typed) == []


_VALUES = {"STATE": "failed", "SINCE": "7d"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_every_verb_has_its_variable(verb: str) -> None:
    options = VERBS[verb].all_options
    values = {
        option.variable: "1"
        if option.read is None
        else option.choices[0]
        if option.choices
        else "a=b"
        if option.many
        else "2026-11"
        if option.value == "yyyy-mm"
        else _VALUES.get(option.variable, "7")
        for option in options
    }
    assert len(values) == len(options)
    read = vars(parse(verb, translate(VERBS[verb], values)))
    for option in options:
        assert read[option.name.replace("-", "_")] not in (None, False, "", [])


@pytest.mark.parametrize(
    ("goal", "variable", "said"),
    [
        ("launch", "job=mine", "make launch: job=mine is not known here; did you mean JOB=mine?"),
        ("launch", "PARAMETER=a=1", "did you mean PARAMETERS=a=1?"),
        ("status", "JSN=1", "make status: JSN=1 is not known here; did you mean JSON=1?"),
        ("init", "JSON=1", "make init: JSON=1 is not known here; it takes LOCAL"),
        ("launch", "WAIT=yes", "make launch: WAIT=yes: 1 turns it on, 0 or nothing leaves it off"),
        ("extend", "MINUTES=abc", "MINUTES=abc: abc is not a whole number of minutes (1 to 10080)"),
        ("costs", "MONTH=2026-13", "MONTH=2026-13: 2026-13 is not a month, such as 2026-11"),
        ("extend", "MINUTES=0", "MINUTES=0: 0 is not a whole number of minutes (1 to 10080)"),
        ("local-up", "LOCAL_PORT=abc", "LOCAL_PORT=abc: abc is not a whole number"),
        ("launch", "PARAMETERS=a='b", "PARAMETERS=a='b: No closing quotation"),
        ("launch", "PARAMETERS=a", "PARAMETERS=a: a is not name=value, such as epochs=40"),
        (
            "fire",
            "TRIGGER=bell",
            "TRIGGER=bell: not one of button, device, schedule, data, interruption",
        ),
        ("test", "job=mine", "make test: job is not known here; it takes no variables"),
        ("venv", "JOB=mine", "make venv: JOB is not known here; it takes no variables"),
    ],
)
def test_a_variable_that_means_nothing_is_refused(goal: str, variable: str, said: str) -> None:
    done = make(ROOT, goal, variable)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_what_is_makes_own_is_makes() -> None:
    for own in ("SHELL=/bin/sh", "MAKEFLAGS=k"):
        assert make(ROOT, "help", own).returncode == 0
        refused = make(ROOT, "launch", own, "WAIT=x").stderr.splitlines()
        assert [line for line in refused if not line.startswith("make: ***")] == [
            "make launch: WAIT=x: 1 turns it on, 0 or nothing leaves it off"
        ]


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(WrongUsage) as refused:
        translate(VERBS["extend"], {"MAKEFLAGS": " -- wait=1 MINUTES=x JOBS=a"})
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize("goals", [("launch", "line"), ("lauch",), ("deploy", "now")])
def test_a_word_that_is_no_target_stops_make_before_anything_runs(goals: tuple[str, ...]) -> None:
    refused = make(ROOT, "--dry-run", *goals)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"{goals[-1]}: not a target; make help lists them" in refused.stderr
