"""A run with a setup script is told where the setups of its own job are known."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from moto import mock_aws

from parris.errors import InvalidConfig
from tests.world import World

MACHINE, OTHER = "AROATEST:i-0123456789abcdef0", "AROATEST:i-0fedcba9876543210"
WANTED = {"setup-script": "setup.sh", "setup-inputs": ["src/"], "several-at-once": True}


@pytest.fixture
def world(credentials: None) -> Iterator[World]:  # noqa: ARG001 - only that they are there
    with mock_aws():
        world = World()
        for job in ("", "jobs/other/"):
            config = {"training-job-name": job.strip("/").replace("/", "-") or "mine", **WANTED}
            for name, body in (
                ("training-config.json", json.dumps(config)),
                ("trainer-script.sh", "true\n"),
                ("setup.sh", "true\n"),
                ("src/a.c", "x"),
            ):
                world.put(job + name, body)
        yield world


def launch(world: World, hour: int, job: str = "default") -> str:
    event = {"job": job, "event-id": f"{job}{hour}", "time": f"2026-11-24T{hour}:00:00Z"}
    return str(world.launch(event)["run-id"])


def end(world: World, run_id: str, machine: str | None, job: str = "default") -> None:
    world.ledger.end(job, run_id, {"state": "failed", "machine": machine})


def test_a_run_begins_with_what_the_last_machine_of_its_job_knows(world: World) -> None:
    first = launch(world, 10)
    wanted = {"script": "setup.sh", "inputs": ["src/"]}
    assert world.receipt(first)["setup"] == wanted
    end(world, first, MACHINE)
    end(world, launch(world, 11), None)  # its machine has stored nothing
    end(world, launch(world, 12, "other"), OTHER, "other")
    folder = f"runs/default/{first}/machines/{MACHINE}/"
    assert world.receipt(launch(world, 13))["setup"] == {**wanted, "earlier": folder}


def test_a_machine_that_is_still_training_knows_it_too(world: World) -> None:
    """As a sweep has noted its folder, which goes by EC2's word."""
    first = launch(world, 10)
    world.ledger.note_progress(world.record(first), MACHINE, {})
    folder = f"runs/default/{first}/machines/{MACHINE}/"
    assert world.receipt(launch(world, 11))["setup"]["earlier"] == folder


def test_what_a_machine_of_another_job_has_written_into_a_run_is_not_believed(world: World) -> None:
    """Its policy lets it: a folder of its own name, in any run."""
    first = launch(world, 10)
    for machine in (OTHER, MACHINE):
        key = f"runs/default/{first}/machines/{machine}/setup.json"
        world.s3.put_object(Bucket="parris-results", Key=key, Body=b"{}")
    end(world, first, MACHINE)
    setup = world.receipt(launch(world, 11))["setup"]
    assert setup["earlier"] == f"runs/default/{first}/machines/{MACHINE}/"


def test_a_run_without_a_setup_says_nothing_of_one(world: World) -> None:
    world.put("training-config.json", '{"container": "python:3.12-slim"}')
    receipt = world.receipt(launch(world, 10))
    assert "setup" not in receipt
    assert receipt["container"] == "python:3.12-slim"
    world.put("jobs/other/training-config.json", '{"training-job-name": "other"}')
    assert not {"setup", "container"} & world.receipt(launch(world, 11, "other"), "other").keys()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            {"setup-script": "gone.sh"},
            "setup-script: there is no file gone.sh beside it; files: setup.sh, src/a.c, ",
        ),
        (
            {"setup-script": "setup.sh", "setup-inputs": ["sr"]},
            "setup-inputs: there is no file or folder sr beside it",
        ),
        ({"setup-inputs": ["src"]}, "setup-inputs: nothing uses them without a setup-script"),
    ],
)
def test_a_file_that_the_setup_lacks_refuses_the_launch(
    world: World, config: dict[str, object], problem: str
) -> None:
    world.put("training-config.json", json.dumps(config))
    with pytest.raises(InvalidConfig, match=problem):
        launch(world, 10)
    assert world.stacks() == []
