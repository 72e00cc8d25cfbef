"""What bash completes, asked of a real bash."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "parris.bash"
    done = subprocess.run(
        [str(ROOT / "parris"), "completion", "bash"], capture_output=True, text=True, check=True
    )
    path.write_text(done.stdout)
    subprocess.run(["bash", "-n", str(path)], check=True)
    return path


def complete(script: Path, *words: str) -> set[str]:
    """Return what bash offers when TAB is pressed at the end of the last word."""
    program = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"\n'
        'COMP_POINT=${#COMP_LINE}; _shtab_parris; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    said = subprocess.run(
        ["bash", "-c", program, "bash", str(script), *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "command not found" not in said.stderr
    return {word.strip() for word in said.stdout.splitlines() if word.strip()}


def test_verbs_options_jobs_choices_and_files_are_completed(script: Path) -> None:
    assert {"launch", "logs", "local-up"} <= complete(script, "./parris", "l")
    assert "status" not in complete(script, "./parris", "l")
    assert complete(script, "./parris", "launch", "--wa") == {"--wait"}
    assert complete(script, "./parris", "launch", "mon") == {"monte-carlo"}
    assert complete(script, "./parris", "stop", "--job", "mon") == {"monte-carlo"}
    assert complete(script, "./parris", "fire", "d") == {"device", "data"}
    assert "README.md" in complete(script, "./parris", "fire", "--file", "READ")


def test_zsh_gets_a_script_of_its_own() -> None:
    done = subprocess.run(
        [str(ROOT / "parris"), "completion", "zsh"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("#compdef parris")
    assert not re.search(r"(?<!_shtab)_parris_jobs", done.stdout)  # bash's list of jobs
