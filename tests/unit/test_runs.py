"""Which run a command means, by the ledger and, for runs older than that, by the receipts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from scripts.cli.console import Refused
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import find_run
from tests.ledger import NAME, make_table, note_run

RUNS = [f"20261124-12000{number}-0000000{number}" for number in range(4)]


class World:
    """A results bucket and a ledger."""

    def __init__(self) -> None:
        values: dict[str, Any] = dict.fromkeys(Deployment.__dataclass_fields__, "parris")
        known = {"region": "us-east-1", "results_bucket": "results", "ledger_table": NAME}
        self.deployment = Deployment(**values | known)
        self.table = make_table()
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket="results")

    def put(self, run_id: str, job: str = "job", *, noted: bool = True, **known: Any) -> None:
        receipt = {"job": job, "run-id": run_id, **known}
        key, body = f"runs/{job}/{run_id}/run.json", json.dumps(receipt).encode()
        self.s3.put_object(Bucket="results", Key=key, Body=body)
        if noted:
            note_run(self.table, receipt)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("LOCAL", "")
    with mock_aws():
        yield World()


REFUSED: dict[str, Any] = {"state": "launch-failed", "reason": "stack x exists"}


def test_the_newest_run_is_one_that_was_not_refused(world: World) -> None:
    known: dict[str, Any] = {"stack-id": "arn:aws:cloudformation:us-east-1:1:stack/x/1"}
    world.put(RUNS[0], **known)
    for run_id in RUNS[1:]:
        world.put(run_id, **REFUSED)
    assert find_run(world.deployment, None, None).run_id == RUNS[0]
    assert find_run(world.deployment, None, RUNS[3]).run_id == RUNS[3]


def test_a_run_is_named_by_the_beginning_of_its_id(world: World) -> None:
    for number, run_id in enumerate(RUNS):
        world.put(run_id, job=f"job-{number % 2}", **REFUSED)
    assert find_run(world.deployment, None, RUNS[1][:-4]).run_id == RUNS[1]
    assert find_run(world.deployment, "job-1", RUNS[1][:15]).job == "job-1"
    with pytest.raises(Refused, match="4 runs' ids begin with 2026"):
        find_run(world.deployment, None, "2026")
    with pytest.raises(Refused, match="no run's id begins with"):
        find_run(world.deployment, "job-0", RUNS[1])


def test_a_run_that_the_ledger_has_yet_to_take_in_is_found_by_its_receipt(world: World) -> None:
    world.put(RUNS[0], noted=False, **REFUSED)
    assert find_run(world.deployment, None, None).run_id == RUNS[0]
    world.put(RUNS[1], **REFUSED)
    assert find_run(world.deployment, None, RUNS[0]).run_id == RUNS[0]


def test_no_run_at_all_says_what_starts_one(world: World) -> None:
    with pytest.raises(Refused, match="there is no run of job x; make status"):
        find_run(world.deployment, "x", None)
