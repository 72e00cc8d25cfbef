"""The drill: whatever breaks, alone or with another, the run ends and says what ended it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.drill.cases import CASES
from scripts.drill.interrupted import MOST_LOST_SECONDS
from scripts.local import faults

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not faults.disk_can_be_full(), reason="a full disk needs Linux with user namespaces"
)


def test_nothing_outlives_its_limit_whatever_breaks() -> None:
    result = subprocess.run(
        ["./parris", "drill", "--json"],
        cwd=ROOT,
        env=os.environ | {"LOCAL": "1", "PYTHONPATH": "lambda:."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    assert [row["fault"] for row in rows] == [
        case.fault for cases in CASES.values() for case in cases
    ]
    by_layer = {row["layer"] for row in rows}
    assert by_layer == {"1 machine", "2 schedule", "3 reap"}  # each had to do it once
    for row in rows:
        assert (row["problems"], row["survivors"]) == ([], 0)
        assert row["machine-off"] <= 150, row
        assert row["stack-gone"] <= 150, row
    for row, case in zip(rows, [one for cases in CASES.values() for one in cases], strict=True):
        assert row["attempts"] == case.attempts, row
        lost = row["lost-seconds"]
        assert (lost is not None) == case.goes_on
        assert lost is None or 0 <= lost <= MOST_LOST_SECONDS, row
        if case.goes_on and "launch-failed" not in case.states:
            assert row["cost-usd"] is not None, row
    at_tenths = [row["lost-seconds"] for row in rows if "/10 of the run" in row["fault"]]
    assert len(at_tenths) == 9
    assert max(at_tenths) > 0  # without notice something is lost, or nothing was taken away
    left = subprocess.run(
        ["pgrep", "--full", "parris/drill"], capture_output=True, text=True, check=False
    )
    assert left.stdout == ""
    assert not (ROOT / ".parris/drill").exists() or not list((ROOT / ".parris/drill").iterdir())
