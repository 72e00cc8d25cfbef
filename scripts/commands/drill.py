"""Prove that nothing outlives its limit: `parris drill`, on embedded clouds with short limits.

In each cloud one thing is broken that all its runs share, and runs are launched there whose own
parts are broken. For each the machine must be off and the stack gone within
deadline plus grace, and the record must say which layer did it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.deployment.outputs import ROOT
from scripts.drill.cases import CLOUDS
from scripts.local import owners

PROGRESS_SECONDS = 20.0

_HEADINGS = (
    *("FAULT", "ENDED BY LAYER", "MACHINE OFF", "STACK GONE", "STATE"),
    *("ATTEMPTS", "COST", "LOST", "SURVIVORS", "SAVED", ""),
)


def main(argv: list[str]) -> int:
    """Make every layer fail, alone and with another, and show what ends the run all the same."""
    options = parse("drill", argv)
    started = time.monotonic()
    owners.own()
    print(
        f"drill: {len(CLOUDS)} clouds; runs of 1 to 2 minutes, grace 2, sweep every minute",
        flush=True,
    )
    with ThreadPoolExecutor(max_workers=len(CLOUDS)) as pool:
        playing = [pool.submit(_play, name) for name in CLOUDS]
        if not options.json:
            _show_progress(playing)
        rows = [row for each in playing for row in each.result()]
    if options.json:
        console.print_json(rows)
    else:
        _print(rows)
        took = time.monotonic() - started
        print("seconds are counted from the deadline; lost is what was done twice, at most")
        print(f"the drill took {took:.0f} s")
    bad = [row["fault"] for row in rows if row["problems"]]
    for row in rows:
        for problem in row["problems"]:
            console.fail(f"{row['fault']}: {problem}")
    return 1 if bad else 0


def _show_progress(playing: list[Future[list[dict[str, Any]]]]) -> None:
    """Tell how many clouds are done until all are."""
    moving, waiting = console.Moving(), set(playing)
    while waiting:
        _, waiting = wait(waiting, timeout=PROGRESS_SECONDS)
        moving.show(f"{len(playing) - len(waiting)} of {len(playing)} clouds done")
    moving.clear()


def _play(name: str) -> list[dict[str, Any]]:
    """Run one cloud in a process of its own and return its rows."""
    home = ROOT / ".parris" / "drill" / name
    environ = os.environ | {"LOCAL": "1", "PARRIS_LOCAL_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.drill.cloud", name],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stdout, stderr = process.communicate()
    if process.returncode:
        raise console.Refused(f"the drill's cloud {name!r} failed: {stderr.strip()[-2000:]}")
    shutil.rmtree(home, ignore_errors=True)
    rows: list[dict[str, Any]] = json.loads(stdout.splitlines()[-1])
    return rows


def _print(rows: list[dict[str, Any]]) -> None:
    table = [
        (
            row["fault"],
            row["layer"],
            _seconds(row["machine-off"]),
            _seconds(row["stack-gone"]),
            row["state"],
            str(row["attempts"]),
            "-" if row["cost-usd"] is None else f"${row['cost-usd']:.4f}",
            "-" if row["lost-seconds"] is None else f"{row['lost-seconds']:.0f} s",
            str(row["survivors"]),
            row["saved"],
            "no" if row["problems"] else "ok",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *table, strict=True)]
    for line in (_HEADINGS, *table):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:+.0f} s"
