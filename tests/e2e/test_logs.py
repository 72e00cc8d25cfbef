"""A run's log is seen while it is written."""

from __future__ import annotations

import json
import os
import subprocess
import time

from tests.e2e.conftest import Clone

TICKING = "#!/bin/bash\nfor _ in $(seq 30); do date +%s.%N; sleep 0.5; done\n"


def test_a_line_is_seen_within_five_seconds(clone: Clone) -> None:
    job = clone.folder / "trainer/jobs/ticking"
    job.mkdir()
    (job / "training-config.json").write_text(json.dumps({"training-job-name": "e2e-ticking"}))
    (job / "trainer-script.sh").write_text(TICKING)
    clone.make("upload-config", "LOCAL=1", "JOB=ticking")
    run_id = clone.invoke({"job": "ticking"})["run-id"]
    command = [clone.folder / "parris", "logs", "--run", run_id, "--wait", "--local"]
    environ = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    late = []
    began = time.time()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            written = line.partition("| ")[2].strip()
            if written.replace(".", "").isdigit() and float(written) > began:
                late.append(time.time() - float(written))
    assert process.returncode == 0
    assert len(late) == 30
    assert max(late) < 5
