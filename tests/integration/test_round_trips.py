"""The launch from its zip, against an endpoint that takes its time."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from scripts import package_lambda
from tests.bench.launch import CLEAR_SECONDS, OURS, Aws, cold_seconds, serial_trips, serving


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The launch function's zip, unpacked."""
    package_lambda.build("launch")
    with zipfile.ZipFile(package_lambda.ZIPS["launch"]) as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.mark.processes
def test_a_launch_makes_three_round_trips_one_after_another(package: Path) -> None:
    Aws.delay = CLEAR_SECONDS
    with serving(package) as environ:
        _, names = cold_seconds(OURS, environ)
    assert serial_trips(Aws.calls) == 3
    before = names[: names.index("CreateStack")]
    assert "GetProducts" not in before  # no deadline hangs on the price
    assert "Publish" not in before  # nor does a launch wait until it is told of


@pytest.mark.processes
def test_a_budget_takes_one_more_and_no_more_calls_than_for_prices(package: Path) -> None:
    Aws.delay = CLEAR_SECONDS
    with serving(package) as environ:
        _, names = cold_seconds(OURS, environ)
        _, budgeted = cold_seconds(OURS, environ | {"PARRIS_MONTHLY_BUDGET_USD": "100"})
    assert serial_trips(Aws.calls) == 4  # the room follows the price
    count = {name: budgeted.count(name) - names.count(name) for name in set(budgeted)}
    assert {name: more for name, more in count.items() if more} == {"PutObject": 1}
