"""What a run costs beside the training, on the embedded cloud."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from scripts import package_lambda
from tests.bench.figures import Figure


def bench_machine(folder: Path) -> Iterator[Figure]:
    """Measure a plan and the machine's own times, by a run of the second sample job.

    Args:
        folder: where a clone for it is made.
    """
    root = package_lambda.ROOT
    # As a person would call make, not as a child of `make bench`: no "Entering directory".
    inherited = {name for name in os.environ if name.startswith(("MAKE", "MFLAGS"))}
    environ = {name: value for name, value in os.environ.items() if name not in inherited}

    def make(*arguments: str) -> str:
        result = subprocess.run(
            ["make", *arguments, "LOCAL=1"],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise SystemExit(f"error: make {' '.join(arguments)}\n{result.stdout}{result.stderr}")
        return result.stdout

    names = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((root / name).read_bytes())
    for name in (".ci/test", ".ci/check"):
        (folder / name).chmod(0o755)
    (folder / ".venv").symlink_to(root / ".venv")
    script = folder / "trainer/jobs/monte-carlo/trainer-script.sh"
    script.write_text("#!/bin/bash\ndate +%s.%N\necho x > $PARRIS_OUTPUT_DIR/x\ndate +%s.%N\n")
    try:
        make("local-up", "LOCAL_PORT=0")
        make("deploy", "YES=1")
        make("upload-config")
        began = time.perf_counter()
        make("plan", "JOB=monte-carlo")
        planned = time.perf_counter() - began
        run = make("launch", "JOB=monte-carlo", "WAIT=1").split()[1]
        time.sleep(3)
        instance = next((folder / ".parris/local/instances").glob("i-*"))
        boot = (instance / "console.log").stat()
        make("results", f"RUN={run}")
        stored = folder / "results/monte-carlo" / run
        first, last = (float(line) for line in (stored / "log.txt").read_text().split())
        console = (instance / "console.log").read_text(errors="replace")
    finally:
        make("local-down")
    match = re.search(r"parris: user data began at ([\d.]+)", console)
    if match:
        seconds = first - float(match[1])
        yield Figure(what="user data's start to the trainer's first line", value=seconds, unit="s")
    what = "trainer's exit to power-off, final upload included"
    yield Figure(what=what, value=boot.st_mtime - last, unit="s")
    yield Figure(what="make plan", value=planned, unit="s", goal=5)
