"""What a run costs beside the training, on the embedded cloud."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from tests.bench.clone import Clone
from tests.bench.figures import Figure


def bench_machine(clone: Clone) -> Iterator[Figure]:
    """Measure a plan and the machine's own times, by a clone's first run."""
    folder = clone.folder
    script = folder / "trainer/jobs/monte-carlo/trainer-script.sh"
    script.write_text("#!/bin/bash\ndate +%s.%N\necho x > $PARRIS_OUTPUT_DIR/x\ndate +%s.%N\n")
    clone.make("upload-config")
    began = time.perf_counter()
    clone.make("plan", "JOB=monte-carlo")
    planned = time.perf_counter() - began
    run = clone.make("launch", "JOB=monte-carlo", "WAIT=1").split()[1]
    time.sleep(3)
    instance = next((folder / ".parris/local/instances").glob("i-*"))
    boot = (instance / "console.log").stat()
    clone.make("results", f"RUN={run}")
    stored = folder / "results/monte-carlo" / run
    first, last = (float(line) for line in (stored / "log.txt").read_text().split())
    console = (instance / "console.log").read_text(errors="replace")
    match = re.search(r"parris: user data began at ([\d.]+)", console)
    if match:
        seconds = first - float(match[1])
        yield Figure(what="user data's start to the trainer's first line", value=seconds, unit="s")
    what = "trainer's exit to power-off, final upload included"
    yield Figure(what=what, value=boot.st_mtime - last, unit="s")
    yield Figure(what="make plan", value=planned, unit="s", goal=5)
