"""A run that begins with the checkpoints of another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from parris.errors import InvalidEvent, LaunchRefused
from tests.world import World

MACHINE = "AROATEST:i-0123456789abcdef0"
STARTED = {"started": "2026-11-24T12:01:00Z", "machine": MACHINE}


@pytest.fixture
def world(credentials: None) -> Iterator[World]:  # noqa: ARG001 - only that they are there
    with mock_aws():
        yield World()


def over(world: World, event_id: str, state: str = "timed-out", **outcome: Any) -> str:
    """Return the id of a run that is over, its stack gone."""
    event = {"event-id": event_id, "time": f"2026-11-24T1{event_id}:00:00Z"}
    run_id = str(world.launch(event)["run-id"])
    world.ledger.end("default", run_id, {"state": state, **(outcome or STARTED)})
    world.cloudformation.delete_stack(StackName="one")
    world.reap()
    return run_id


def resume(world: World, run: str, event_id: str = "9") -> dict[str, Any]:
    return world.launch({"event-id": event_id, "resume": run, "time": "2026-11-24T20:00:00Z"})


def test_a_run_names_the_folder_of_the_machine_whose_checkpoints_it_begins_with(
    world: World,
) -> None:
    earlier = over(world, "0")
    answer = resume(world, earlier)
    assert answer["resumes"] == earlier
    receipt = world.receipt(answer["run-id"])
    assert receipt["resumes"] == earlier
    assert receipt["restore"] == f"runs/default/{earlier}/machines/{MACHINE}/"
    assert resume(world, earlier)["duplicate"] is True
    assert not {"restore", "resumes"} & world.receipt(earlier).keys()


def test_the_last_run_is_the_last_that_trained(world: World) -> None:
    first = over(world, "0")
    over(world, "1", "launch-failed", started=None)
    assert resume(world, "last")["resumes"] == first


def test_a_run_of_a_version_before_has_its_checkpoints_at_its_root(world: World) -> None:
    earlier = over(world, "0", started="2026-11-24T12:01:00Z")
    answer = resume(world, earlier)
    assert world.receipt(answer["run-id"])["restore"] == f"runs/default/{earlier}/"


def test_what_cannot_be_gone_on_from_is_refused_with_what_to_do(world: World) -> None:
    with pytest.raises(LaunchRefused, match="no run of job default is over that has trained"):
        resume(world, "last")
    with pytest.raises(LaunchRefused, match=r"has no run 20261124-120000-00000000; make status"):
        resume(world, "20261124-120000-00000000")
    never = over(world, "0", "launch-failed", started=None)
    with pytest.raises(LaunchRefused, match="never trained"):
        resume(world, never)
    going = world.launch({"event-id": "g", "time": "2026-11-24T18:00:00Z"})["run-id"]
    with pytest.raises(LaunchRefused, match=f"is not over .* make stop RUN={going} ends it"):
        resume(world, going)
    for wrong in ("../x", 5, "LAST", None):
        with pytest.raises(InvalidEvent, match=r"resume: .* is neither the id of a run nor"):
            world.launch({"resume": wrong})
