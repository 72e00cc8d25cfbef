"""What a deploy and a destroy answer to a program that asks in JSON."""

from __future__ import annotations

import io
import json
import sys
from functools import partial
from pathlib import Path

import pytest

from scripts.cli import console
from scripts.deployment import terraform

PROGRAM = """#!/bin/sh
say() { echo '{"type": "change_summary", "@message": "'"$1"'", "changes": '"$2"'}'; }
case $1 in
  show) echo "# aws_x.y will be created" ;;
  plan) say planned '{"add": 2, "change": 0, "remove": 0, "operation": "plan"}'; exit $PLANNED ;;
  apply) say done '{"add": 2, "change": 1, "remove": 0, "operation": "apply"}' ;;
  *) say done '{"add": 0, "change": 0, "remove": 3, "operation": "destroy"}' ;;
esac
"""


@pytest.fixture
def deployable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    program = tmp_path / "terraform"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PLANNED", "2")
    monkeypatch.setenv("LOCAL", "")
    monkeypatch.setenv("TF_IN_AUTOMATION", "1")  # as it will be, and will be taken back
    monkeypatch.setattr(terraform, "say_where", lambda _action: None)
    monkeypatch.setattr(terraform, "is_initialised", lambda _environ: True)
    return monkeypatch


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["apply", "--yes"], {"add": 2, "change": 1, "remove": 0}),
        (["apply", "--yes", "--plan"], {"add": 2, "change": 1, "remove": 0}),
        (["destroy", "--yes"], {"add": 0, "change": 0, "remove": 3}),
    ],
)
@pytest.mark.usefixtures("deployable")
def test_what_was_changed_is_all_of_standard_output(
    capfd: pytest.CaptureFixture[str], arguments: list[str], answer: dict[str, int]
) -> None:
    assert console.status_of(partial(terraform.main, [*arguments, "--json"]), as_json=True) == 0
    said = capfd.readouterr()
    assert json.loads(said.out) == answer
    assert "done" in said.err
    assert ("will be created" in said.err) == ("--plan" in arguments)


def test_who_is_refused_gets_no_answer(
    deployable: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = partial(terraform.main, ["apply", "--json"])
    deployable.setattr(sys, "stdin", io.StringIO())
    assert console.status_of(asked, as_json=True) == 1  # no terminal
    assert capfd.readouterr().out == ""
    deployable.setenv("PLANNED", "1")
    assert console.status_of(asked, as_json=True) == 1
    assert capfd.readouterr().out == ""
