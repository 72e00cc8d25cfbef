"""A real embedded cloud, with a machine that runs, ends with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local import cloud as embedded
from tests.e2e.embedded_world import World, eventually

ROOT = Path(__file__).resolve().parents[2]

STARTER = """
import sys, time
from pathlib import Path
from scripts.local import cloud, owners
owners.own()
cloud.up(Path(sys.argv[1]), 0)
print("up", flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("folder", ["plain", "with space 模"])
def test_a_killed_starter_leaves_no_process(tmp_path: Path, folder: str) -> None:
    home = tmp_path / folder
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(home)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "lambda:."},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "up\n"
        world = World(home)
        world.prepare()
        script = "#!/bin/bash\necho made > $PARRIS_HOME/x\necho UP\naws --version\nsleep 1000\n"
        instance = world.launch("left", script)
        world.wait_for_console(instance, "aws-cli/")
        assert world.alive(instance)
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        eventually(lambda: embedded.read_cloud(home) is None, "the server is gone")
        eventually(lambda: not world.alive(instance), "the machine is gone")
        eventually(lambda: not _left(home), "every process is gone")
    finally:
        starter.kill()
        embedded.down(home)
    assert not Path(f"/tmp/parris-{instance}").exists()  # noqa: S108


def _left(home: Path) -> str:
    found = subprocess.run(
        ["pgrep", "--full", str(home)], capture_output=True, text=True, check=False
    )
    return found.stdout
