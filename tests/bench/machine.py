"""What a run costs beside the training, on the embedded cloud."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.clone import clone_into
from tests.bench.figures import Figure


def bench_machine(folder: Path) -> Iterator[Figure]:
    """Measure the machine's own times, by a run of the second sample job in a clone of `folder`."""
    make = clone_into(folder)
    script = folder / "trainer/jobs/monte-carlo/trainer-script.sh"
    script.write_text("#!/bin/bash\ndate +%s.%N\necho x > $PARRIS_OUTPUT_DIR/x\ndate +%s.%N\n")
    try:
        make("local-up", "LOCAL_PORT=0")
        make("deploy", "YES=1")
        make("upload-config")
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
