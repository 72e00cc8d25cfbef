"""A month's budget on the embedded cloud: refused while it is reserved, and shown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Clone, deployed_clone, wait_for


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone of its own, without a schedule, since what others launch would count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.e2e.conftest.VARIABLES", "")
        with deployed_clone(tmp_path_factory) as made:
            yield made


def costs(clone: Clone) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(clone.make("costs", "LOCAL=1", "JSON=1").stdout)
    return told


def test_a_second_run_waits_until_the_first_has_given_back_what_it_did_not_use(
    clone: Clone,
) -> None:
    assert "no run was launched in" in clone.make("costs", "LOCAL=1").stdout
    variables = clone.folder / "terraform.tfvars"
    without = variables.read_text()
    first = clone.invoke({"job": "told", "event-id": "before"})  # without a budget
    clone.outcome("told", first["run-id"])
    wait_for(lambda: costs(clone)["under-way"] == 0, 60)
    spent = costs(clone)["usd"]
    # Ten minutes of a t3.medium, and the grace after them, are some 2.2 cents.
    variables.write_text(f"{without}monthly_budget_usd = 0.04\nmax_run_usd = 0.02\n")
    clone.make("deploy", "LOCAL=1", "YES=1")

    answer = clone.invoke({"job": "patient", "event-id": "one"})
    assert "errorMessage" not in answer, answer
    told = costs(clone)
    reserved = told["reserved-usd"]
    assert (told["budget-usd"], told["under-way"]) == (0.04, 1)
    assert told["left-usd"] == pytest.approx(0.04 - spent - reserved, abs=0.001)
    assert told["left-usd"] < reserved  # for a second one there is no room
    refused = clone.invoke({"job": "long", "event-id": "two"})
    assert f"this run may cost ${reserved:.4f}, and $" in refused["errorMessage"]
    assert "of monthly_budget_usd" in refused["errorMessage"]
    status = clone.make("status", "LOCAL=1").stdout
    assert "1 launch of job long refused" in status
    no_more = clone.make("extend", "LOCAL=1", f"RUN={answer['run-id']}", check=False)
    assert "of its month's budget are reserved for it" in no_more.stderr

    wait_for(lambda: clone.read("patient", answer["run-id"], "output/x"), 60)
    clone.make("stop", "LOCAL=1", f"RUN={answer['run-id']}", "WAIT=1")
    wait_for(lambda: costs(clone)["under-way"] == 0, 60)
    again = clone.invoke({"job": "long", "event-id": "two"})  # the very event that was refused
    assert "errorMessage" not in again, again

    lines = clone.make("costs", "LOCAL=1").stdout.splitlines()
    assert lines[0].endswith("1 of them under way")
    assert lines[1].startswith("budget    $0.04: $0.0")
    rows = list(csv.DictReader(io.StringIO(clone.make("costs", "LOCAL=1", "CSV=1").stdout)))
    assert [(row["job"], row["state"]) for row in rows] == [
        ("told", "succeeded"),
        ("patient", "stopped"),
        ("long", rows[-1]["state"]),
    ]
    clone.make("stop", "LOCAL=1", f"RUN={again['run-id']}", "WAIT=1")
