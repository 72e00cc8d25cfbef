"""A job's setup runs once, is restored while its inputs are the same, and runs again otherwise."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Clone, wait_for

JOB = "set-up"
CONFIG = {"training-job-name": "e2e-set-up", "setup-script": "setup.sh", "several-at-once": True}
SETUP = """#!/bin/bash
set -e
python3 -m venv --without-pip "$PARRIS_SETUP_DIR/venv"
cp requirements.txt "$PARRIS_SETUP_DIR/venv/installed"
[[ ! -e trainer-script.sh ]]
echo setting up
"""
TRAINER = """#!/bin/bash
source "$PARRIS_SETUP_DIR/venv/bin/activate"
python -c 'import sys; print(open(sys.prefix + "/installed").read().strip())'
"""


def put(clone: Clone, name: str, body: str) -> None:
    bucket = clone.outputs["config_bucket"]
    clone.client("s3").put_object(Bucket=bucket, Key=f"jobs/{JOB}/{name}", Body=body.encode())


def train(clone: Clone) -> list[str]:
    """Return the log of a run, once the ledger knows how it ended."""
    run_id = clone.invoke({"job": JOB})["run-id"]
    outcome = clone.outcome(JOB, run_id)
    assert outcome["state"] == "succeeded", outcome["reason"]
    key = {"pk": {"S": f"run#{JOB}"}, "sk": {"S": run_id}}
    table = clone.outputs["ledger_table"]
    dynamodb = clone.client("dynamodb")
    wait_for(lambda: "outcome" in dynamodb.get_item(TableName=table, Key=key)["Item"], 60)
    return (clone.read(JOB, run_id, "log.txt") or b"").decode().splitlines()


def is_restored(log: list[str]) -> bool:
    restored = log[0].startswith("parris: setup.sh need not run: what it left, ")
    assert restored == ("setting up" not in log)
    return restored


def archives(clone: Clone) -> set[str]:
    listed = clone.client("s3").list_objects_v2(
        Bucket=clone.outputs["results_bucket"], Prefix="setups/"
    )
    return {found["Key"] for found in listed.get("Contents", [])}


def test_a_setup_runs_once_for_its_inputs(clone: Clone) -> None:
    others = archives(clone)  # of other tests' jobs: they share the clone
    for name, body in (
        ("training-config.json", json.dumps(CONFIG)),
        ("setup.sh", SETUP),
        ("trainer-script.sh", TRAINER),
        ("requirements.txt", "one\n"),
    ):
        put(clone, name, body)
    first = train(clone)
    assert first[0] == "parris: setup.sh runs: nothing is stored of these inputs"
    assert not is_restored(first)
    assert first[-1] == "one"
    [kept] = archives(clone) - others
    put(clone, "trainer-script.sh", TRAINER + "echo another training\n")
    second = train(clone)
    assert is_restored(second)
    assert second[-2:] == ["one", "another training"]
    assert archives(clone) - others == {kept}
    put(clone, "requirements.txt", "two\n")
    third = train(clone)
    assert not is_restored(third)
    assert third[-2] == "two"
    put(clone, "requirements.txt", "one\n")
    assert is_restored(train(clone))  # the first one is not forgotten for it
    bucket = clone.outputs["results_bucket"]
    clone.client("s3").put_object(Bucket=bucket, Key=kept, Body=b"damaged")
    fifth = train(clone)
    assert not is_restored(fifth)
    assert fifth[0].startswith("parris: setup.sh runs: what is stored of them cannot be used (")
    assert is_restored(train(clone))
    for key in archives(clone) - others:
        clone.client("s3").delete_object(Bucket=bucket, Key=key)
    assert not is_restored(train(clone))


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"setup-script": "setup.sh"}, "setup-script: there is no file setup.sh beside it"),
        ({"setup-inputs": ["x"]}, "setup-inputs: nothing uses them without a setup-script"),
    ],
)
def test_the_upload_refuses_a_setup_that_is_no_file_of_the_job(
    clone: Clone, config: dict[str, object], problem: str
) -> None:
    folder = clone.folder / "trainer/jobs/without-setup"
    folder.mkdir(exist_ok=True)
    (folder / "trainer-script.sh").write_text("true\n")
    (folder / "training-config.json").write_text(json.dumps(config))
    try:
        refused = clone.make("upload-config", "LOCAL=1", "JOB=without-setup", check=False)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert refused.returncode != 0
    assert problem in refused.stderr
