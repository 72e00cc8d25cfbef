"""A run of the sample is run again as it was, though its job was changed since, then removed."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import ROOT, Clone, wait_for

FILES = ("train.py", "trainer-script.sh", "requirements.txt")
CONFIG = {"training-job-name": "e2e-digits", "parameters": {"epochs": 3}}


def test_a_run_is_run_again_as_it_was(clone: Clone) -> None:
    for name in FILES:
        put(clone, name, (ROOT / "trainer" / name).read_bytes())
    put(clone, "training-config.json", json.dumps(CONFIG).encode())
    first = clone.invoke({"job": "again", "parameters": {"epochs": 4}})["run-id"]
    assert clone.outcome("again", first, 240)["state"] == "succeeded"
    shown = clone.make("status", "LOCAL=1", f"RUN={first}").stdout
    assert f"next      make rerun RUN={first} LOCAL=1" in shown
    gone(clone)

    put(clone, "train.py", b"raise SystemExit('not what ran then')\n")
    now = {"training-job-name": "e2e-other", "instance-type": "m5.large", "volume-size-gb": 99}
    put(clone, "training-config.json", json.dumps(now).encode())
    said = clone.make("rerun", "LOCAL=1", f"RUN={first[:15]}", "JOB=again", "WAIT=1").stdout
    second = said.split()[1]
    assert f"  again    {first}: its files, parameters, image and machine" in said
    assert summary(clone, second) == summary(clone, first)
    assert summary(clone, second)["epochs"] == 4
    assert summary(clone, second)["test-accuracy"] > 0.8
    assert machine(clone, second) == machine(clone, first)
    assert f"rerun of  {first}" in clone.make("status", "LOCAL=1", f"RUN={second}").stdout
    gone(clone)
    compared = clone.make("compare", "LOCAL=1", f"RUNS={first},{second}", "DIFF=1").stdout
    assert "parameters: the same" in compared
    assert "Python packages: the same" in compared, compared
    assert "validation-accuracy" in compared
    assert f"files of {second}, by those of {first}: the same" in compared

    for name in (*FILES, "training-config.json"):
        clone.client("s3").delete_object(
            Bucket=clone.outputs["config_bucket"], Key=f"jobs/again/{name}"
        )
    again = clone.make("rerun", "LOCAL=1", "RUN=last", "JOB=again", "PARAMETERS=epochs=1", "WAIT=1")
    third = again.stdout.split()[1]
    assert f"  again    {second}:" in again.stdout
    packages = (clone.read("again", third, "packages.txt") or b"").decode()
    assert "\nscikit-learn==" in packages
    assert summary(clone, third)["epochs"] == 1
    gone(clone)

    best = clone.make("status", "LOCAL=1", "JOB=again", "BEST=validation-accuracy").stdout
    rows = [line.split() for line in best.splitlines() if line.startswith("20")]
    assert sorted([rows[0][0], rows[1][0]]) == sorted([first, second])
    assert (rows[2][0], rows[2][-1]) == (third, "epochs=1")
    assert float(rows[0][3]) == float(rows[1][3]) > float(rows[2][3])
    assert f"make rerun RUN={rows[0][0]} LOCAL=1" in best


def put(clone: Clone, name: str, body: bytes) -> None:
    bucket = clone.outputs["config_bucket"]
    clone.client("s3").put_object(Bucket=bucket, Key=f"jobs/again/{name}", Body=body)


def summary(clone: Clone, run_id: str) -> dict[str, Any]:
    """Return what the sample says of its training, without how long that took."""
    read: dict[str, Any] = json.loads(clone.read("again", run_id, "output/summary.json") or b"")
    return {key: value for key, value in read.items() if "seconds" not in key}


def machine(clone: Clone, run_id: str) -> list[Any]:
    receipt = json.loads(clone.read("again", run_id, "run.json") or b"")
    keys = ("instance-type", "market", "image", "volume-size-gb", "parameters", "stack-name")
    return [receipt[key] for key in keys]


def gone(clone: Clone) -> None:
    """Wait until the stack of the run that is over is deleted."""

    def stands() -> bool:
        stacks = clone.client("cloudformation").describe_stacks()["Stacks"]
        return any(one["StackName"] == "e2e-digits" for one in stacks)

    wait_for(lambda: not stands(), 60)
