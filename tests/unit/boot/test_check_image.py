"""What scripts/check_image.sh says of the machine that it runs on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/check_image.sh"
PROGRAMS = ("date", "mkdir", "mv", "cat", "sleep", "timeout", "cloud-init", "shutdown", "poweroff")
AWS = "missing: aws, the AWS CLI, version 1.18 or 2"


def put(folder: Path, name: str, content: str = "") -> None:
    (folder / name).write_text(f"#!/bin/bash\n{content}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return the folder of all that a machine must have, which is its PATH."""
    for name in (*PROGRAMS, "aws"):
        put(tmp_path, name)
    put(tmp_path, "python3", f'exec {sys.executable} "$@"')
    return tmp_path


def check(programs: Path) -> tuple[int, list[str]]:
    """Return the script's status and what it says, of certificates aside: those are the host's."""
    bash = shutil.which("bash")
    assert bash
    command, environ = [bash, str(SCRIPT)], {"PATH": str(programs)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, [line for line in done.stdout.splitlines() if "authorit" not in line]


def test_a_machine_without_the_aws_cli_is_told_so(programs: Path) -> None:
    before = check(programs)
    assert [line for line in before[1] if line.startswith("missing: ")] == []
    (programs / "aws").unlink()
    status, said = check(programs)
    assert status == 1
    assert [line for line in said if line.startswith("missing: ")] == [AWS]
    assert said[-1].endswith(" missing")
    assert said[-1] != before[1][-1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[[ $2 != *version_info* ]] && echo 3.8.1; exit 1", "python3 3.9 or newer (it is 3.8.1)"),
        ('[[ $2 != "import ssl" ]]', "python3's module ssl"),
    ],
)
def test_a_python_that_will_not_do_is_missing(programs: Path, content: str, words: str) -> None:
    put(programs, "python3", content)
    status, said = check(programs)
    assert (status, f"missing: {words}" in said) == (1, True)
