"""What the buckets hold, read as if anybody had named the objects."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from parris.aws.results import Results

RUN = "20261124-120000-01234567"
FORGED = (
    "runs/x/output/run.json",
    "runs/../output/run.json",
    f"runs/../{RUN}/run.json",
    f"runs/j/{RUN}/machines/m/run.json",
    f"runs/j/{RUN}/machines/AROAEXAMPLE:i-0123456789abcdef0/output/run.json",
    f"runs/j/{RUN}/not-run.json",
    f"runs//{RUN}/run.json",
    "runs/j//run.json",
    f"runs/j\x1b[2J/{RUN}/run.json",
    f"else/j/{RUN}/run.json",
)


@pytest.mark.parametrize("job", [None, "j"])
def test_only_what_a_launch_names_so_is_a_run(
    monkeypatch: pytest.MonkeyPatch, job: str | None
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="results")
        for key in (*FORGED, f"runs/j/{RUN}/run.json"):
            s3.put_object(Bucket="results", Key=key, Body=b"{}")
        storage = Results(s3=s3, config_bucket="", results_bucket="results")
        assert storage.list_runs(job) == [("j", RUN)]
