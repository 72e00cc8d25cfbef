"""A run that begins with the checkpoints of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from moto import mock_aws

from parris.errors import InvalidEvent, LaunchRefused, StackInTheWay
from tests.world import World

MACHINE = "AROATEST:i-0123456789abcdef0"
STORED = {"started": None, "machine": MACHINE}  # as the reap function writes of a spot machine


@pytest.fixture
def world(credentials: None) -> Iterator[World]:  # noqa: ARG001 - only that they are there
    with mock_aws():
        yield World()


def over(
    world: World,
    event_id: str,
    state: str = "timed-out",
    event: dict[str, Any] | None = None,
    **outcome: Any,
) -> str:
    """Return the id of a run that is over, its stack gone."""
    sent = {"event-id": event_id, "time": f"2026-11-24T1{event_id}:00:00Z", **(event or {})}
    run_id = str(world.launch(sent)["run-id"])
    ended: Any = {"state": state, **(outcome or STORED)}
    world.ledger.end("default", run_id, ended)
    if folder := ended.get("machine", ""):
        key = f"runs/default/{run_id}/machines/{folder}/checkpoints/1"
        world.s3.put_object(Bucket="parris-results", Key=key, Body=b"x")
    world.cloudformation.delete_stack(StackName="one")
    world.reap()
    return run_id


def resume(world: World, run: str, event_id: str = "9") -> Mapping[str, Any]:
    return world.launch({"event-id": event_id, "resume": run, "time": "2026-11-24T20:00:00Z"})


def test_a_run_names_the_folder_of_the_machine_whose_checkpoints_it_begins_with(
    world: World,
) -> None:
    earlier = over(world, "0")
    answer = resume(world, earlier)
    assert answer["resumes"] == earlier
    receipt = world.receipt(answer["run-id"])
    assert receipt["resumes"] == earlier
    assert receipt["restore"] == f"runs/default/{earlier}/machines/{MACHINE}/checkpoints/"
    assert resume(world, earlier)["duplicate"] is True
    assert not {"restore", "resumes"} & world.receipt(earlier).keys()


def test_the_last_run_is_the_last_that_has_stored_a_checkpoint(world: World) -> None:
    first = over(world, "0")
    over(world, "1", "failed", machine=None)
    for number in range(30):  # launches that never became a plan
        event = {
            "event-id": f"x{number}",
            "time": "2026-11-24T15:00:00Z",
            "parameters": {"no": "1"},
        }
        with pytest.raises(InvalidEvent):
            world.launch(event)
    assert resume(world, "last")["resumes"] == first


def test_a_run_of_a_version_before_has_its_checkpoints_at_its_root(world: World) -> None:
    earlier = over(world, "0", started="2026-11-24T12:01:00Z")
    key = f"runs/default/{earlier}/checkpoints/1"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=b"x")
    answer = resume(world, earlier)
    assert world.receipt(answer["run-id"])["restore"] == f"runs/default/{earlier}/checkpoints/"


def test_the_parameters_of_the_run_that_is_gone_on_from_stay_unless_given_anew(
    world: World,
) -> None:
    config = '{"training-job-name": "one", "parameters": {"epochs": 20, "lr": "0.1"}}'
    world.put("training-config.json", config)
    given = {"parameters": {"epochs": "50", "lr": "0.5"}}
    earlier = over(world, "0", event=given)
    again = {"event-id": "9", "resume": earlier, "parameters": {"lr": "0.01"}}
    run_id = world.launch({**again, "time": "2026-11-24T20:00:00Z"})["run-id"]
    assert world.receipt(run_id)["parameters"] == {"epochs": "50", "lr": "0.01"}


def test_what_cannot_be_gone_on_from_is_refused_with_what_to_do(world: World) -> None:
    with pytest.raises(
        LaunchRefused, match="none of the last runs of job default has stored a checkpoint"
    ):
        resume(world, "last")
    with pytest.raises(LaunchRefused, match=r"has no run 20261124-120000-00000000; make status"):
        resume(world, "20261124-120000-00000000")
    never = over(world, "0", "failed", machine=None)
    with pytest.raises(LaunchRefused, match=f"run {never} .failed. has stored no checkpoint"):
        resume(world, never)
    going = world.launch({"event-id": "g", "time": "2026-11-24T18:00:00Z"})["run-id"]
    for wanted in (going, "last"):
        with pytest.raises(LaunchRefused, match=f"run {going} is not over.* make stop RUN={going}"):
            resume(world, wanted)
    blocked = {"event-id": "b", "time": "2026-11-24T19:00:00Z"}
    with pytest.raises(StackInTheWay):
        world.launch(blocked)
    refused = world.ledger.newest(1)[0][0].run_id
    with pytest.raises(LaunchRefused, match=f"run {refused} .launch-failed. has stored no"):
        resume(world, refused)
    for wrong in ("../x", 5, "LAST", None):
        with pytest.raises(InvalidEvent, match=r"resume: .* is neither the id of a run nor"):
            world.launch({"resume": wrong})
