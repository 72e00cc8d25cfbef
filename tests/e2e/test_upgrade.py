"""A deployment of the version before the ledger, upgraded by an apply while a run is under way."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from scripts.local import cloud
from tests.e2e.conftest import ROOT, Clone, as_deployed, copy_clone, run_make, wait_for

BEFORE = "22a256d"
"""The last commit without a ledger, of version 0.2.0."""

SLOW = """#!/bin/bash
echo x > $PARRIS_OUTPUT_DIR/begun
until [[ -e $PARRIS_OUTPUT_DIR/../go ]]; do sleep 1; done
echo x > $PARRIS_OUTPUT_DIR/done
"""
"""It trains until the deployment is upgraded, however long that takes."""

MINE = {"job": "slow", "event-id": "mine", "time": "2026-11-27T12:00:00Z"}


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose cloud holds a deployment of that version, and two jobs."""
    archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"this clone lacks the history down to {BEFORE}")
    folder = copy_clone(tmp_path_factory.mktemp("upgraded"))
    before = folder / ".parris" / "before"
    before.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(before, filter="data")
    try:
        run_make(folder, "local-up", "LOCAL_PORT=0")
        run_make(folder, "init", "LOCAL=1")
        shutil.copy2(folder / ".terraform.lock.hcl", before)
        home = folder / ".parris" / "local"
        environ = cloud.local_environ(os.environ, home) | {"TF_DATA_DIR": str(home / "terraform")}
        subprocess.run(
            ["terraform", "apply", "-auto-approve", f"-state={home}/terraform.tfstate"],
            cwd=before,
            env=environ,
            capture_output=True,
            check=True,
        )
        made = as_deployed(folder)
        assert "ledger_table" not in made.outputs
        for job, script in (("quick", "#!/bin/bash\ntrue\n"), ("slow", SLOW)):
            config = json.dumps({"training-job-name": job, "sync-interval-seconds": 5})
            for name, content in (("training-config.json", config), ("trainer-script.sh", script)):
                made.client("s3").put_object(
                    Bucket=made.outputs["config_bucket"], Key=f"jobs/{job}/{name}", Body=content
                )
        yield made
    finally:
        run_make(folder, "local-down", check=False)


def test_an_apply_while_a_run_is_under_way_loses_nothing(older: Clone) -> None:
    topic = older.listen("upgrade")
    quick = older.invoke({"job": "quick"})
    older.outcome("quick", quick["run-id"])
    slow = older.invoke(MINE)
    wait_for(lambda: older.read("slow", slow["run-id"], "output/begun"), 60)

    said = run_make(older.folder, "deploy", "LOCAL=1", "YES=1").stdout
    assert "1 dynamodb table" in said
    upgraded = as_deployed(older.folder)
    again = upgraded.invoke(MINE)
    assert (again["run-id"], again["duplicate"]) == (slow["run-id"], True)
    assert again["stack-id"] == slow["stack-id"]
    upgraded.client("lambda").invoke(FunctionName=upgraded.outputs["reap_function"], Payload=b"{}")
    assert slots(upgraded) == {"slow": {"S": f"slow/{slow['run-id']}"}}
    (begun,) = (older.folder / ".parris/local/instances").glob("*/**/output/begun")
    (begun.parent.parent / "go").touch()

    assert upgraded.outcome("slow", slow["run-id"], 150)["state"] == "succeeded"
    assert upgraded.read("slow", slow["run-id"], "output/done")
    wait_for(lambda: slots(upgraded) == {}, 60)
    for answer in (quick, slow):
        item = record(upgraded, answer)
        assert item["state"]["S"] == "succeeded"
        wait_for(partial(is_closed, upgraded, answer), 60)
        told = [one for one in topic.heard("succeeded") if one["run-id"] == answer["run-id"]]
        assert 1 <= len(told) <= 2  # whoever ended just before may be told of again
    listed = json.loads(run_make(older.folder, "status", "LOCAL=1", "JSON=1").stdout)["runs"]
    latest = sorted((slow["run-id"], quick["run-id"]), reverse=True)
    assert [run["run-id"] for run in listed] == latest
    assert len([one for one in topic.heard("started") if one["job"] == "slow"]) == 1


def record(clone: Clone, answer: dict[str, Any]) -> dict[str, Any]:
    return item(clone, f"run#{answer['job']}", answer["run-id"])


def is_closed(clone: Clone, answer: dict[str, Any]) -> bool:
    return "open" not in record(clone, answer)


def slots(clone: Clone) -> dict[str, Any]:
    holders: dict[str, Any] = item(clone, "slots", "slots")["holders"]["M"]
    return holders


def item(clone: Clone, pk: str, sk: str) -> dict[str, Any]:
    found = clone.client("dynamodb").get_item(
        TableName=clone.outputs["ledger_table"], Key={"pk": {"S": pk}, "sk": {"S": sk}}
    )
    return dict(found["Item"])
