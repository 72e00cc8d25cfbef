"""Whoever reads a command's output may leave: `make status | head` ends without an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
ENVIRON |= {"PYTHONPATH": "lambda:."}
MANY = "import sys\nfrom scripts.cli import console\ndef main(argv):\n"


@pytest.mark.parametrize(
    "body",
    [
        "    for number in range(100_000): print(number)\n    return 0\n",
        "    print('few enough to lie in the buffer until the end')\n    return 0\n",
        "    print('x', flush=True)\n    raise console.Refused('y' * 100_000)\n",
    ],
)
@pytest.mark.parametrize("both", [False, True])
def test_a_reader_that_leaves_makes_no_error(body: str, both: bool) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", f"{MANY}{body}console.run(main)\n"]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=ENVIRON,
        stdout=writer,
        stderr=writer if both else subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert ended.returncode == 0
    assert both or ended.stderr == ""


def test_the_embedded_clouds_commands_end_so_too(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.local.cloud", "down", "--home", str(tmp_path / "none")],
        cwd=ROOT,
        env=ENVIRON,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")
