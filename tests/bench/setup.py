"""Measure a job's setup against its restoration by the next run, on the embedded cloud."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

from tests.bench.clone import Clone
from tests.bench.figures import Figure

SCIKIT_LEARN = ("scikit-learn", "sklearn")

BANDWIDTH = 100e6
"""Bytes a second of the S3 that is reckoned with, beside what is seen."""
ENDED_SECONDS = 60
GOAL = 5
"""So many times as long as a restoration an installation should take."""
SETUP = """#!/bin/bash
set -e
python3 -m venv "$PARRIS_SETUP_DIR/venv"
"$PARRIS_SETUP_DIR/venv/bin/pip" install --quiet --no-cache-dir --requirement requirements.txt
"""
TRAINER = """#!/bin/bash
"$PARRIS_SETUP_DIR/venv/bin/python" -c 'import {module}; print({module}.__version__)'
"""
_RAN = re.compile(
    r"parris: setup\.sh ran for ([\d.]+) s; what it left, ([\d,]+) bytes in ([\d,]+) files, is "
    r"stored for later runs: ([\d,]+) bytes, packed in ([\d.]+) s, stored in ([\d.]+) s"
)
_RESTORED = re.compile(
    r"parris: setup\.sh need not run: .* was restored in ([\d.]+) s: [\d,]+ bytes fetched in "
    r"([\d.]+) s, unpacked in ([\d.]+) s"
)


def bench_setup(clone: Clone, package: str, module: str) -> Iterator[Figure]:
    """Install `package` in a first run and restore it in a second, both in one deployment."""
    job = f"setup-{module}"
    files = {
        "training-config.json": json.dumps({"setup-script": "setup.sh", "several-at-once": True}),
        "setup.sh": SETUP,
        "requirements.txt": f"{package}\n",
        "trainer-script.sh": TRAINER.format(module=module),
    }
    folder = clone.folder / "trainer/jobs" / job
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    clone.make("upload-config", f"JOB={job}")
    ran = _find(_RAN, _train(clone, job))
    restored = _find(_RESTORED, _train(clone, job))
    install, whole, files_, packed = float(ran[1]), _int(ran[2]), _int(ran[3]), _int(ran[4])
    what = f"setup of {package}"
    yield Figure(what=f"{what}: installed", value=install, unit="s")
    yield Figure(what=f"{what}: left in {files_} files", value=whole / 1e6, unit="MB")
    yield Figure(what=f"{what}: packed", value=packed / 1e6, unit="MB")
    yield Figure(what=f"{what}: packed in", value=float(ran[5]), unit="s")
    yield Figure(what=f"{what}: stored in", value=float(ran[6]), unit="s")
    seconds, fetched, unpacked = (float(restored[number]) for number in (1, 2, 3))
    yield Figure(what=f"{what}: restored", value=seconds, unit="s")
    yield Figure(what=f"{what}: of that unpacked in", value=unpacked, unit="s")
    yield Figure(
        what=f"{what}: restored, to installed ({install / seconds:.1f} x faster)",
        value=seconds / install,
        unit="times as long",
        goal=1 / GOAL,
    )
    reckoned = packed / BANDWIDTH + unpacked
    factor = f"{install / reckoned:.1f} x faster; here it took {fetched:.1f} s to fetch"
    yield Figure(
        what=f"{what}: restored, reckoned with an S3 at {BANDWIDTH / 1e6:.0f} MB/s ({factor})",
        value=reckoned,
        unit="s",
    )


def _train(clone: Clone, job: str) -> str:
    """Return the log of a run, once the ledger knows its end, by which the next one finds it."""
    run = clone.make("launch", f"JOB={job}", "WAIT=1").split()[1]
    clone.make("results", f"RUN={run}")
    key = {"pk": {"S": f"run#{job}"}, "sk": {"S": run}}
    ledger = clone.client("dynamodb")
    for _ in range(ENDED_SECONDS):
        if "outcome" in ledger.get_item(TableName="parris-ledger", Key=key)["Item"]:
            break
        time.sleep(1)
    return (clone.folder / "results" / job / run / "log.txt").read_text()


def _find(pattern: re.Pattern[str], log: str) -> re.Match[str]:
    found = pattern.search(log)
    if found is None:
        raise SystemExit(f"error: not in the log: {pattern.pattern}\n{log}")
    return found


def _int(text: str) -> int:
    return int(text.replace(",", ""))
