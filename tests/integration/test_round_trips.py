"""The launch from its zip, against an endpoint that takes its time."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from scripts import package_lambda
from tests.bench.launch import CLEAR_SECONDS, OURS, Aws, cold_seconds, serial_trips, serving


@pytest.mark.processes
def test_a_launch_makes_three_round_trips_one_after_another(tmp_path: Path) -> None:
    package_lambda.build("launch")
    with zipfile.ZipFile(package_lambda.ZIPS["launch"]) as archive:
        archive.extractall(tmp_path)
    Aws.delay = CLEAR_SECONDS
    with serving(tmp_path) as environ:
        _, names = cold_seconds(OURS, environ)
    assert serial_trips(Aws.calls) == 3
    before = names[: names.index("CreateStack")]
    assert "GetProducts" not in before  # no deadline hangs on the price
    assert "Publish" not in before  # nor does a launch wait until it is told of
