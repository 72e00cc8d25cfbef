"""make destroy: what it keeps, and how it is told to let go."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.e2e import neighbour
from tests.e2e.conftest import Clone, beside_neighbour


@pytest.fixture
def leaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose deployment the test may take away."""
    with beside_neighbour(tmp_path_factory) as made:
        yield made


def quieten(clone: Clone) -> None:
    """Turn the schedules off, so that no stack comes between two steps, and let no stack stand."""
    for name in clone.outputs["schedules"]:
        clone.client("events").disable_rule(Name=f"parris-{name}")
    time.sleep(5)  # a launch that was under way makes its stack
    clone.make("clean-stacks", "LOCAL=1", "ALL=1", "YES=1", "WAIT=1")


def test_destroy_keeps_results_until_a_deployment_says_otherwise(leaving: Clone) -> None:
    quieten(leaving)
    bucket = leaving.outputs["results_bucket"]
    stored = {"Bucket": bucket, "Key": "runs/default/kept/output/model.joblib"}
    leaving.client("s3").put_object(**stored, Body=b"weights")

    refused = leaving.make("destroy", "LOCAL=1", "YES=1", check=False)
    assert refused.returncode != 0
    assert f"s3://{bucket} is not empty" in refused.stderr
    assert "force_destroy = true" in refused.stderr
    leaving.make("status", "LOCAL=1")  # which needs a deployment: nothing of it is gone

    home = leaving.folder / ".parris/local"
    by_hand = subprocess.run(
        ["terraform", "destroy", "-auto-approve", "-no-color", f"-state={home}/terraform.tfstate"],
        cwd=leaving.folder,
        env=leaving.environ | {"TF_DATA_DIR": str(home / "terraform")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert by_hand.returncode != 0
    assert "BucketNotEmpty" in by_hand.stderr
    assert leaving.client("s3").get_object(**stored)["Body"].read() == b"weights"

    with (leaving.folder / "terraform.tfvars").open("a") as file:
        file.write("force_destroy = true\n")
    leaving.make("deploy", "LOCAL=1", "YES=1")  # which turns the schedules on again
    quieten(leaving)
    leaving.make("destroy", "LOCAL=1", "YES=1")
    left = {bucket["Name"] for bucket in leaving.client("s3").list_buckets()["Buckets"]}
    left = {name for name in left if not name.startswith(neighbour.PREFIX)}
    assert left <= {"e2e-data"}  # a bucket of a data trigger is its owner's
    gone = leaving.make("status", "LOCAL=1", check=False)
    assert "nothing is deployed from here yet; run make deploy LOCAL=1 first" in gone.stderr
