"""No escape of a trainer's, a device's or anybody else's reaches the operator's terminal."""

from __future__ import annotations

import ast
import importlib
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from parris.errors import plain
from scripts.cli import console
from scripts.cli.console import Refused
from scripts.cli.plain_text import PlainOutput, one_line
from scripts.deployment.outputs import Deployment
from tests.ledger import NAME, make_table

SCRIPTS = Path(__file__).parents[2] / "scripts"
COMMANDS = sorted(
    path.stem
    for path in (SCRIPTS / "commands").glob("*.py")
    if path.stem not in ("__init__", "completion")  # which prints a program, not words
)
UNSAFE = {
    *(set(map(chr, range(0x20))) - {"\n", "\t"}),
    *map(chr, range(0x7F, 0xA0)),
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    *map(chr, range(0xD800, 0xE000)),
}
HOSTILE = "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\u202eevil\u2066\u200f\ud800[red]e[/red] :skull:\re"
"""OSC, BEL, CSI in both forms, bidi, half a pair, markup of rich, a carriage return."""


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_plain_text_holds_nothing_that_is_obeyed_and_loses_nothing_else(text: str) -> None:
    assert not UNSAFE.intersection(plain(text))
    assert plain(plain(text)) == plain(text)
    if not UNSAFE.intersection(text):
        assert plain(text) == text
    assert not {"\n", "\t"}.intersection(one_line(text))


def test_what_is_taken_away_is_seen() -> None:
    assert plain("a\x1b[2Jb\u202e\ud800\r\nc\rd\te") == "a\\x1b[2Jb\\u202e\\ud800\nc\nd\te"


class Terminal(io.StringIO):
    """A terminal that keeps what it is sent."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Lines(Terminal):
    """A file, or a pipe."""

    def isatty(self) -> bool:
        return False


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """A deployment with one run, whose every word is hostile."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("LOCAL", "")
    values: dict[str, Any] = dict.fromkeys(Deployment.__dataclass_fields__, "parris")
    values |= {"region": "us-east-1", "results_bucket": "results", "ledger_table": NAME}
    values["schedules"] = {
        HOSTILE: {
            "expression": HOSTILE,
            "job": HOSTILE,
            "enabled": True,
            "overlap": HOSTILE,
            "parameters": {HOSTILE: HOSTILE},
        }
    }
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="results")
        make_table()
        receipt = {
            "run-id": "r-0123456789abcdef",
            "job": "job",
            "state": "launching",
            "stop": {"by": HOSTILE},
        }
        receipt |= {"claimed": "2026-11-24T12:00:00Z", "deadline": "2026-11-24T13:00:00Z"}
        outcome: dict[str, Any] = {
            "run-id": "r-0123456789abcdef",
            "job": "job",
            "state": "failed",
            "reason": HOSTILE,
        }
        outcome |= {"ended-by": HOSTILE, "warnings": [HOSTILE]}
        files = {"run.json": json.dumps(receipt), "outcome.json": json.dumps(outcome)}
        files["log.txt"] = "x" + "é" * 2000 + HOSTILE  # é lies across two chunks of 1,024 bytes
        files["output/\u202ename"] = "x"
        for name, text in files.items():
            body = text.encode(errors="replace")
            s3.put_object(Bucket="results", Key=f"runs/job/r-0123456789abcdef/{name}", Body=body)
        yield Deployment(**values)


def _module(command: str) -> str:
    return f"scripts.commands.{command}" if command in COMMANDS else f"scripts.deployment.{command}"


def run(
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    output: io.StringIO | None = None,
) -> str:
    """Run a command as ./parris does and return what it printed, errors too."""
    said = output or Terminal()
    module = importlib.import_module(_module(command))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", [command, *arguments])
        patch.setattr(sys, "stdout", said)
        patch.setattr(sys, "stderr", said)
        with pytest.raises(SystemExit):
            console.run(module.main)
    assert isinstance(sys.stdout, PlainOutput) is False
    return said.getvalue()


@pytest.mark.parametrize(
    ("command", "arguments", "shows"),
    [
        ("status", ("--json",), '"reason": "a\\u001b]0;title'),
        ("logs", (), "éa\\x1b]0;title\\x07b\\x1b[2Jc"),
        ("logs", ("--wait",), "éa\\x1b]0;title"),
        ("results", (), "output/\\u202ename (1 bytes)"),
        ("stop", (), "is over already: failed"),
        ("extend", ("--minutes", "1"), "is not under way: failed"),
        ("clean_stacks", (), "no stack to delete"),
        ("schedules", (), "\\x1b]0;title\\x07"),
        ("fire", ("--trigger", "schedule", "--name", HOSTILE + "x"), "NAME=a\\x1b]0;title"),
    ],
)
def test_what_each_command_prints_is_plain(
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
    arguments: tuple[str, ...],
    shows: str,
) -> None:
    module = importlib.import_module(_module(command))
    monkeypatch.setattr(module, "read_deployment", lambda: deployment)
    if command == "results":
        arguments = ("--to", str(tmp_path))
    said = run(command, monkeypatch, arguments)
    if command == "results":  # which draws a bar
        said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", said)
    assert not UNSAFE.intersection(said)
    assert "\ufffd" not in said
    assert shows in said


def test_a_table_on_a_terminal_is_drawn_with_escapes_of_ours_only(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.commands.status.read_deployment", lambda: deployment)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("TERM", "xterm")
    said = re.sub(r"\x1b\[[0-9;]*m", "", run("status", monkeypatch, ()))  # bold headings
    assert "\\x1b]0;title\\x07b" in said
    assert "[red]e[/red] :skull:\\ne" in said
    assert not UNSAFE.intersection(said)
    plainly = run("status", monkeypatch, (), Lines())
    assert len(plainly.splitlines()) == 2
    assert not UNSAFE.intersection(plainly)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_each_command_is_refused_with_is_plain(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    said = {"Error": {"Code": HOSTILE, "Message": HOSTILE}}
    for error in (Refused(HOSTILE), ClientError(said, HOSTILE)):  # type: ignore[arg-type]

        def fail(_argv: list[str], error: Exception = error) -> int:
            raise error

        module = importlib.import_module(_module(command))
        monkeypatch.setattr(module, "main", fail)
        shown = run(command, monkeypatch, ())
        assert "a\\x1b]0;title\\x07b" in shown
        assert not UNSAFE.intersection(shown)


def test_a_line_of_the_log_cannot_pass_for_one_of_ours(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.deployment import follow, runs

    lines = ["12 %\r[    9 s] succeeded", "end"]
    monkeypatch.setattr(follow.LogTail, "new_lines", lambda _self, _run: iter(lines))
    said = Terminal()
    monkeypatch.setattr(sys, "stdout", said)
    assert (
        follow.follow(
            deployment, "job", runs.find_run(deployment, "job", "r-0123456789abcdef").run_id
        )
        == console.RUN_FAILED
    )
    ours = [line for line in said.getvalue().splitlines() if not line.startswith("  | ")]
    assert len(ours) == 2
    assert "failed: a\\x1b" in ours[0]
    assert ours[1].startswith("warning: ")


def test_no_script_prints_in_another_way() -> None:
    """All but those that run before, or beside, what is installed and deployed."""
    alone = {
        *("package_lambda.py", "venv.py", "lock.py", "cli/door.py", "drill/cloud.py"),
        *("reference/config_schema.py", "reference/commands.py"),
    }
    for path in SCRIPTS.rglob("*.py"):
        name = path.relative_to(SCRIPTS).as_posix()
        if name.startswith("local/"):
            continue
        text = path.read_text()
        if '__name__ == "__main__"' in text:
            assert ("console.run(main)" in text) != (name in alone), name
        names = {ast.unparse(node) for node in ast.walk(ast.parse(text))}
        raw = {"sys.stdout.write", "sys.stdout.buffer", "sys.__stdout__", "os.write"}
        assert not names & raw, path.name
        if path.stem not in ("console", "live"):
            assert "rich" not in {name.split(".")[0] for name in names}, path.name


def test_what_terraform_said_is_printed_again_without_its_colours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "terraform"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in *-no-color*) echo Error: no;; *) printf "\\033[31mError\\n";; esac\n'
        "exit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LOCAL", "")
    monkeypatch.setenv("TF_IN_AUTOMATION", "1")  # as it will be, and will be taken back
    monkeypatch.setattr("scripts.deployment.terraform.say_where", lambda _action: None)
    monkeypatch.setattr("scripts.deployment.terraform.is_initialised", lambda _environ: True)
    said = run("terraform", monkeypatch, ("apply", "--quiet", "--yes"))
    assert said.endswith("\nError: no\nerror: terraform apply failed; its own words are above\n")
    assert "\x1b[31m" not in said


@pytest.mark.parametrize("no_color", ["", "1"])
def test_terraform_draws_no_colours_where_nobody_wants_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_color: str
) -> None:
    program = tmp_path / "terraform"
    program.write_text(f'#!/bin/sh\necho "$*" > "{tmp_path}/arguments"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LOCAL", "")
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TF_IN_AUTOMATION", "1")  # as it will be, and will be taken back
    monkeypatch.setattr("scripts.deployment.terraform.say_where", lambda _action: None)
    monkeypatch.setattr("scripts.deployment.terraform.is_initialised", lambda _environ: True)
    run("terraform", monkeypatch, ("plan",))  # on a terminal
    assert ("-no-color" in (tmp_path / "arguments").read_text()) == bool(no_color)
