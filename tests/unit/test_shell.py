"""What opens a session on a machine: a program of AWS, and its plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.cli.console import Refused
from scripts.commands import shell


class Programs:
    """A PATH with stand-ins of programs, of which `aws` notes what it was called with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.noted = folder, folder / "noted"

    def install(self, name: str, status: int = 0) -> None:
        program = self.folder / name
        program.write_text(
            f'#!/bin/sh\nfor one; do echo "$one"; done >{self.noted}\nexit {status}\n'
        )
        program.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Programs(tmp_path)


def test_a_session_is_opened_on_the_machine_in_its_own_region(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.install("aws")
    programs.install(shell.PLUGIN)
    assert shell._open_session("i-0123456789abcdef0", "eu-central-1") == 0
    assert programs.noted.read_text().split() == [
        *("ssm", "start-session"),
        *("--target", "i-0123456789abcdef0"),
        *("--region", "eu-central-1"),
    ]
    assert capsys.readouterr().err == ""


def test_a_session_that_does_not_open_says_what_a_machine_needs_for_one(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.install("aws", status=254)
    programs.install(shell.PLUGIN)
    assert shell._open_session("i-0123456789abcdef0", "eu-central-1") == 254
    assert "set shell = true in terraform.tfvars" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("there", "lacks"), [((), "aws"), ((shell.PLUGIN,), "aws"), (("aws",), shell.PLUGIN)]
)
def test_what_is_not_installed_is_named_before_anything_is_called(
    programs: Programs, there: tuple[str, ...], lacks: str
) -> None:
    for name in there:
        programs.install(name)
    with pytest.raises(Refused, match=f"there is no {lacks} on PATH"):
        shell._open_session("i-0123456789abcdef0", "eu-central-1")
    assert not programs.noted.exists()
