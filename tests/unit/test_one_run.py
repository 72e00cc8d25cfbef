"""One run in full: its metrics, its limit, its machines one after another, its files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from parris.runs.attempt import read_attempts
from parris.runs.times import iso
from scripts.deployment.one_run import attempts_of, describe
from scripts.deployment.runs import Run
from tests.ledger import table_of
from tests.unit.test_status import RUN_ID, failed, shown
from tests.unit.test_status import deployment as deployment
from tests.unit.test_status import s3 as s3


def test_a_run_in_full_has_its_metrics_its_limit_and_its_files(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.cli.which_cloud.is_local", lambda: True)
    failed(s3)
    table_of(boto3.client("dynamodb", region_name="us-east-1")).change(
        "run#monte-carlo", RUN_ID, {"metrics": json.dumps({"loss": 0.12, "\x1b[2Jepoch": "14/20"})}
    )
    prefix = f"runs/monte-carlo/{RUN_ID}/"
    names = [*(f"output/{number:02}" for number in range(12)), "checkpoints/last", "log.txt"]
    assert "file      none yet" in shown(monkeypatch, "--run", RUN_ID)
    for name in names:
        s3.put_object(Bucket="results", Key=prefix + name, Body=b"x" * 1000)
    lines = shown(monkeypatch, "--run", RUN_ID)
    assert [line for line in lines if line.startswith("metric")] == [
        "metrics   loss 0.12 \\x1b[2Jepoch 14/20",
    ]
    (limit,) = [line[10:] for line in lines if line.startswith("limit ")]
    assert re.fullmatch(r"-|\$\d+\.\d{4} by its deadline", limit)
    files = [line[10:] for line in lines if line.startswith("file ")]
    assert files[:2] == [
        "1 file in checkpoints/, 1,000 bytes; 12 files in output/, 12,000 bytes",
        "output/00 (1,000 bytes)",
    ]
    assert (len(files), files[-2]) == (12, "output/09 (1,000 bytes)")
    assert files[-1] == f"and 4 more; make results RUN={RUN_ID} LOCAL=1 fetches all"
    told = json.loads("\n".join(shown(monkeypatch, "--json", "--run", RUN_ID)))
    assert (told["metrics"]["loss"], told["attempts"], told["all-files"]) == (0.12, [], True)
    assert {one["name"]: one["bytes"] for one in told["files"]} == dict.fromkeys(names, 1000)


def test_the_timeline_of_a_run_that_goes_on_ends_with_the_machine_it_has() -> None:
    now = datetime(2026, 11, 24, 13, tzinfo=UTC)
    rung = {"instance-type": "t3.medium", "market": "spot", "subnet-id": ""}
    over = {**rung, "number": 1, "began": "2026-11-24T12:00:00Z", "ended": "2026-11-24T12:20:00Z"}
    over |= {"state": "interrupted", "reason": "EC2 took it", "ended-by": "spot", "zone": "a"}
    over |= {"hourly-usd": "0.03", "cost-usd": 0.01, "instance-id": "i-1", "machine": "f"}
    said: Any = {**rung, "market": "on-demand", "attempt": 2, "claimed": "2026-11-24T12:00:00Z"}
    said |= {"attempt-began": "2026-11-24T12:30:00Z", "deadline": "2026-11-24T14:00:00Z"}
    said |= {"price": {"hourly-usd": "0.0600"}}
    run = Run(
        job="j",
        run_id=RUN_ID,
        receipt=said,
        outcome=None,
        stack=None,
        state="running",
        reason="",
        ended_by="",
        attempts=read_attempts(json.dumps([{**over, "refusal": None}])),
    )
    machine = {"InstanceId": "i-2", "State": {"Name": "running"}}
    lines = describe(run, machine, "results", now)
    assert [line[10:] for line in lines if line.startswith("attempt ")] == [
        "1: i-1, t3.medium spot a, 2026-11-24T12:00:00Z to 2026-11-24T12:20:00Z, $0.0100, "
        "interrupted: EC2 took it",
        "2: i-2, t3.medium on-demand, running, since 2026-11-24T12:30:00Z, $0.0300 so far, running",
    ]
    assert "cost      $0.0400 so far" in lines
    assert "limit     $0.1000 by its deadline" in lines
    limited = replace(run, receipt=said | {"cost-limit-usd": "0.5"})
    assert "limit     $0.5000 by its cost-limit" in describe(limited, machine, "results", now)
    heard: Any = {"state": "succeeded", "reason": "done", "ended-by": "trainer", "cost-usd": 0.06}
    heard |= {"instance-id": "i-2", "booted": "2026-11-24T12:31:00Z", "finished": iso(now)}
    assert attempts_of(replace(run, outcome=heard))[1:] == [
        "2: i-2, t3.medium on-demand, 2026-11-24T12:31:00Z to 2026-11-24T13:00:00Z, $0.0600, "
        "succeeded: done"
    ]
    between = replace(run, state="relaunching")
    assert sum(line.startswith("attempt") for line in describe(between, machine, "b", now)) == 1


def test_a_machine_that_ec2_refused_is_an_attempt_without_a_machine() -> None:
    rung = {"instance-type": "c5.large", "market": "spot", "subnet-id": "subnet-1"}
    refused: Any = {
        **rung,
        "number": 1,
        "began": "2026-11-24T12:00:00Z",
        "ended": "2026-11-24T12:01:00Z",
    }
    refused |= {
        "state": "launch-failed",
        "reason": "no Spot capacity",
        "ended-by": "cloudformation",
    }
    refused |= {"hourly-usd": "0.03", "cost-usd": 0.0, "instance-id": None, "machine": None}
    refused |= {"zone": "", "refusal": "capacity"}
    run = Run(
        job="j",
        run_id=RUN_ID,
        receipt={},
        outcome=None,
        stack=None,
        state="relaunching",
        reason="no Spot capacity",
        ended_by="",
        attempts=read_attempts(json.dumps([refused])),
    )
    wanted = [
        "1: no machine, c5.large spot subnet-1, 2026-11-24T12:00:00Z to 2026-11-24T12:01:00Z, "
        "$0.0000, launch-failed: no Spot capacity"
    ]
    assert attempts_of(run) == wanted
    assert attempts_of(replace(run, attempts=(), outcome={"attempts": [refused]})) == wanted
