"""What stands in the way of .venv is said by its name, and what it does is seen."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from scripts import venv
from scripts.local import cloud

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("OSError: [Errno 30] Read-only file system: '/x/.venv'", "cannot be written to"),
        ("Error: [Errno 13] Permission denied: '/x/.venv'", "cannot be written to"),
        ("because ensurepip is not available", "apt install python3-venv"),
        ("/usr/bin/python3: No module named venv", "apt install python3-venv"),
        ("ERROR: No matching distribution found for boto3", "package index"),
    ],
)
def test_each_trouble_has_its_own_advice(said: str, advice: str) -> None:
    given = venv.advice(said, "requirements.txt")
    assert advice in given
    assert ("python3-venv" in given) == ("python3-venv" in advice)


def test_how_far_pip_is_counts_packages() -> None:
    found = "Collecting a\n  Downloading a.whl\nCollecting b==1\n"
    assert venv.where(found, 0) == "2 packages found"
    assert venv.where(f"{found}Installing collected packages: a, b, c\n", 2) == (
        "2 of 3 packages installed"
    )


def test_a_package_counts_once_where_lib64_is_a_link_to_lib(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"lib/python3.11/site-packages/{name}-1.dist-info").mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("lib")
    assert venv.count_installed(tmp_path) == 2


def test_a_clone_that_cannot_be_written_to_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(venv, "VENV", tmp_path / "file" / ".venv")  # as root no mode forbids it
    assert venv.main(["requirements.txt"]) == 1
    assert "error: .venv could not be set up" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["venv", "venv-dev", "package", "lock", "demo"])
def test_make_without_python3_says_so(tmp_path: Path, target: str) -> None:
    for name in ("Makefile", "parris"):  # a clone that has no .venv yet
        shutil.copy2(ROOT / name, tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "bash", "sh", "env"):
        (programs / name).symlink_to(str(shutil.which(name)))
    said = subprocess.run(
        ["make", target, f"SHELL={shutil.which('bash')}"],
        cwd=tmp_path,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode != 0
    first, *more = said.stderr.splitlines()
    assert re.fullmatch("error: there is no python3 on PATH; install 3.11 or newer.*", first)
    assert [line for line in more if not line.startswith("make: ***")] == []


def test_a_port_that_is_no_number_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cloud.main(["up", "--port=abc", f"--home={tmp_path}"]) == 1
    assert capsys.readouterr().err == (
        "error: port 'abc' is not a whole number from 0 to 65535; for one: LOCAL_PORT=4577\n"
    )


def test_a_port_that_is_taken_names_another_for_whichever_command_this_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert cloud.main(["up", f"--port={port}", f"--home={tmp_path}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: port {port} is not free (")
    assert re.search(r"; take another: LOCAL_PORT=\d+\n$", said)


def test_a_home_that_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert cloud.main(["up", "--port=0", f"--home={tmp_path / 'file' / 'home'}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "must be yours to write to" in said
