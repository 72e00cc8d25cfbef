"""Ctrl-C, which a terminal sends to the script and to terraform at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SLOW = """
import signal, sys, time
def stop(number, frame):
    time.sleep(1.5)  # as terraform does until what it was making is made
    open(sys.argv[1] + "/state", "w").write("all of it")
    sys.exit(1)
signal.signal(signal.SIGINT, stop)
open(sys.argv[1] + "/ready", "w").close()
time.sleep(60)
"""
SCRIPT = """
import sys
from scripts import console, terraform
def main(argv):
    return terraform.run_to_its_end([sys.executable, *argv], {}, quiet=False)[0]
console.run(main)
"""


def test_terraform_writes_its_state_before_a_stopped_deploy_ends(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "slow.py"), str(tmp_path)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": "lambda:."},
            stderr=said,
            start_new_session=True,
            # A shell in the background has SIGINT ignored, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    deadline = time.monotonic() + 20
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert (tmp_path / "state").read_text() == "all of it"  # and not some time later
    assert "Traceback" not in (tmp_path / "said").read_text()
