"""`parris jobs`: every job, where it is, its last run, what starts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parris.aws.ledger import Ledger
from scripts.commands import jobs
from scripts.deployment.outputs import Deployment
from tests.ledger import NAME, make_table, note_run, table_of
from tests.plans import NOW


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("LOCAL", "")
    values: dict[str, Any] = dict.fromkeys(Deployment.__dataclass_fields__, "parris")
    values |= {"region": "us-east-1", "results_bucket": "results", "config_bucket": "the-config"}
    values["schedules"] = {"nightly": {"job": "both"}, "weekly": {"job": "both"}, "odd": {}}
    values["data_triggers"] = {"fresh": {"job": "gone"}}
    values["ledger_table"] = NAME
    with mock_aws():
        table = make_table()
        s3 = boto3.client("s3", region_name="us-east-1")
        for bucket in ("results", "the-config"):
            s3.create_bucket(Bucket=bucket)
        for key in ("jobs/both/training-config.json", "jobs/bucket-only/a/b.txt", "stray.txt"):
            s3.put_object(Bucket="the-config", Key=key, Body=b"x")
        for run_id, state in (("r-0000000000000001", "failed"), ("r-0000000000000002", "done")):
            said = {"run-id": run_id, "job": "both", "state": "succeeded", "reason": state}
            receipt = {"run-id": run_id, "job": "both", "state": "launching", "stack-id": "x"}
            for name, content in (("run.json", receipt), ("outcome.json", said)):
                key = f"runs/both/{run_id}/{name}"
                s3.put_object(Bucket="results", Key=key, Body=json.dumps(content).encode())
            note_run(table, receipt, said)
        yield Deployment(**values)


FOLDERS = {"both": Path("both"), "folder-only": Path("folder-only")}


@pytest.mark.parametrize("adopted", [True, False], ids=["ledger", "upgraded just now"])
def test_each_job_is_a_row_wherever_it_is_known(
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    adopted: bool,
) -> None:
    if adopted:
        Ledger(table_of(deployment.client("dynamodb"))).note_adoption("", NOW)
    monkeypatch.setattr(jobs, "read_deployment", lambda: deployment)
    monkeypatch.setattr(jobs, "job_folders", lambda: FOLDERS)
    assert jobs.main(["--json"]) == 0
    rows = {row["job"]: row for row in json.loads(capsys.readouterr().out.rpartition("]")[0] + "]")}
    assert list(rows) == ["default", "both", "bucket-only", "folder-only", "gone"]
    assert rows["both"] == {
        "job": "both",
        "folder": True,
        "bucket": True,
        "run-id": "r-0000000000000002",
        "state": "succeeded",
        "stack-name": None,
        "schedules": ["nightly", "weekly"],
        "data-triggers": [],
    }
    where = {job: (row["folder"], row["bucket"]) for job, row in rows.items()}
    assert where["folder-only"] == (True, False)
    assert where["bucket-only"] == (False, True)
    assert where["gone"] == where["default"] == (False, False)
    assert rows["gone"]["data-triggers"] == ["fresh"]
    assert rows["default"]["schedules"] == ["odd"]

    assert jobs.main([]) == 0
    said = capsys.readouterr().out
    lines = [line.split() for line in said.splitlines()]
    assert ["both", "both", "r-0000000000000002", "succeeded", "-", "nightly,", "weekly"] in lines
    assert ["folder-only", "folder", "-", "-", "-", "-"] in lines
    assert ["gone", "neither", "-", "-", "-", "data", "fresh"] in lines
    assert "not uploaded yet: folder-only; make upload-config does it\n" in said


def test_the_default_job_is_in_the_bucket_by_its_configuration(deployment: Deployment) -> None:
    assert jobs.uploaded(deployment) == {"both", "bucket-only"}
    deployment.client("s3").put_object(Bucket="the-config", Key="training-config.json", Body=b"{}")
    assert jobs.uploaded(deployment) == {"default", "both", "bucket-only"}
