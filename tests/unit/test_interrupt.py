"""Ctrl-C, which a terminal sends to make and to the script, and the end of a terminal."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.terminal import run_on_terminal

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]

TERRAFORM = """
import json, os, signal, sys, time
folder, pause = sys.argv[1], float(sys.argv[2])
state, told = set(), []
def tell(kind, **more): print(json.dumps({"type": kind, **more}), flush=True)
def stop(number, frame):
    told.append(number)
    if len(told) == 2:
        os._exit(1)  # as terraform does, without a state
signal.signal(signal.SIGINT, stop)
for number in range(5):
    resource = {"resource_type": "aws_iam_role", "addr": f"aws_iam_role.r{number}"}
    tell("planned_change", change={"action": sys.argv[3], "resource": resource})
tell("change_summary", changes={"add": 5, "change": 0, "remove": 0, "operation": "plan"})
for number in range(5):
    if told:
        break
    hook = {"resource": {"addr": f"aws_iam_role.r{number}"}, "action": sys.argv[3]}
    tell("apply_start", hook=hook)
    before = len(told)
    with open(folder + "/aws", "a") as aws:
        aws.write(f"r{number}\\n")  # it exists from here on
    end = time.monotonic() + pause
    while time.monotonic() < end and len(told) == before:
        time.sleep(0.01)
    if len(told) == before:  # a call that is cancelled has no answer
        state.add(number)
        tell("apply_complete", hook=hook)
if told:
    time.sleep(1.5)  # it writes its state
with open(folder + "/state", "w") as file:
    file.write(json.dumps(sorted(state)))
"""
SCRIPT = """
import sys
from scripts.cli import console
from scripts.deployment.terraform_events import Story
from scripts.deployment.terraform_process import run_to_its_end
def main(argv):
    return run_to_its_end([sys.executable, *argv], {}, Story())
console.run(main)
"""
MAKEFILE = "deploy:\n\t@$(COMMAND)\n"


@pytest.fixture
def deploy(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run that terraform below make on a terminal of its own, where Ctrl-C is typed."""
    (tmp_path / "terraform.py").write_text(TERRAFORM)
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, "script.py", str(tmp_path / "terraform.py"), str(tmp_path)]

    def run(*presses: float, pause: float = 0.5, action: str = "create") -> tuple[int, str]:
        (tmp_path / "Makefile").write_text(MAKEFILE)
        command = shlex.join([*words, str(pause), action])
        begun: list[float] = []

        def due(_said: str) -> int:
            if not begun and (tmp_path / "aws").exists():
                begun.append(time.monotonic())
            return sum(bool(begun) and time.monotonic() - begun[0] >= after for after in presses)

        environ = os.environ | {"PYTHONPATH": f"{ROOT}/lambda:{ROOT}"}
        make = ["make", "deploy", f"COMMAND={command}"]
        return run_on_terminal(make, tmp_path, environ, due)

    return run


def lost(folder: Path) -> set[str]:
    """Return what exists and is not in the state."""
    known = {f"r{number}" for number in json.loads((folder / "state").read_text())}
    return set((folder / "aws").read_text().split()) - known


@pytest.mark.parametrize("moment", [0.05 * number for number in range(10)])
def test_one_ctrl_c_at_any_moment_loses_nothing_of_what_is_made(
    deploy: Callable[..., tuple[int, str]], tmp_path: Path, moment: float
) -> None:
    status, said = deploy(moment, pause=0.1)
    assert status != 0
    assert lost(tmp_path) == set()  # make returned only when terraform had come to its end
    assert "what is cut off while" in said or "writes its state" in said, said
    assert "Traceback" not in said


def test_a_second_ctrl_c_stops_terraform_and_names_what_that_may_cost(
    deploy: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    status, said = deploy(0.2, 0.8)
    assert status != 0
    (name,) = lost(tmp_path)
    assert f"aws_iam_role.{name}" in said.split("These may exist now")[1]
    assert "terraform import" in said


def test_a_third_only_says_what_a_kill_would_cost(
    deploy: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    _, said = deploy(0.2, 0.8, 1.4)
    assert "Ctrl-C once more kills it" in said
    assert (tmp_path / "state").exists()


def test_a_deletion_stops_at_the_first_and_still_writes_its_state(
    deploy: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    status, said = deploy(0.2, action="delete")
    assert status != 0
    assert "terraform stops at what it is doing" in said
    assert (tmp_path / "aws").read_text().split() == ["r0"]
    assert (tmp_path / "state").exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
def test_terraform_writes_its_state_when_the_script_is_ended(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "terraform.py").write_text(TERRAFORM)
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", SCRIPT),
            *(str(tmp_path / "terraform.py"), str(tmp_path), "0.1", "create"),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "lambda:."},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 60
    while not (tmp_path / "aws").exists() and time.monotonic() < limit:
        time.sleep(0.02)
    process.send_signal(number)
    process.wait(timeout=20)
    while not (tmp_path / "state").exists() and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(0.2)
    assert lost(tmp_path) == set()
