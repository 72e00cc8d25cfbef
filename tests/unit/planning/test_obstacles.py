"""What of the deployment stands in the way of a run, judged as its launch judges it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from parris.aws.queue import Waiting
from parris.contract import State
from parris.runs.record import read_record
from scripts.planning import obstacles
from scripts.planning.obstacles import Room
from tests.plans import plan

RUN = plan(json.dumps({"training-job-name": "one"}))
OURS = {"parris:deployment": "parris", "parris:job": "default", "parris:run-id": "20261124-1"}


def stack(status: str = "CREATE_COMPLETE", **tags: str) -> dict[str, Any]:
    held = {**OURS, **{key.replace("_", ":"): value for key, value in tags.items()}}
    return {
        "StackName": "one",
        "StackStatus": status,
        "Tags": [{"Key": key, "Value": value} for key, value in held.items()],
    }


def judge(**given: Any) -> Room:
    known: dict[str, Any] = {
        "held": {},
        "limit": 2,
        "stack": None,
        "before": None,
        "waiting": [],
        "schedules": {},
    }
    return obstacles.judge(given.pop("run", RUN), **{**known, **given})


def test_where_nothing_is_there_is_nothing_in_the_way() -> None:
    assert judge() == Room(held=0, limit=2, stack=None, waiting=None, problems=(), notes=())
    assert judge(held=None).held is None


def test_slots_that_are_all_taken_are_named_with_the_runs_that_have_them() -> None:
    held = {"two": "default/20261124-2", "three": "default/20261124-3"}
    [problem] = judge(held=held).problems
    assert problem.startswith("2 runs are under way, and max_concurrent_runs allows 2: two (run")
    assert judge(held=held, limit=3).problems == ()
    assert judge(held={**held, "one": "default/x"}).problems == ()  # its name has one


@pytest.mark.parametrize(
    ("status", "tags", "said"),
    [
        ("CREATE_COMPLETE", {}, "it goes when that run is over"),
        ("DELETE_IN_PROGRESS", {}, "wait until it has settled"),
        ("ROLLBACK_COMPLETE", {}, "run make clean-stacks first"),
        ("CREATE_COMPLETE", {"parris_deployment": "another"}, "this deployment did not make it"),
    ],
)
def test_a_stack_of_that_name_is_in_the_way(status: str, tags: dict[str, str], said: str) -> None:
    schedules = {
        "nightly": {"job": "default", "overlap": "skip"},
        "weekly": {"job": "default", "overlap": "queue-one"},
        "others": {"job": "another", "overlap": "skip"},
    }
    met = judge(stack=stack(status, **tags), schedules=schedules)
    assert said in met.problems[0]
    assert met.stack == status
    assert met.notes == (
        "schedule nightly would skip this time (overlap skip)",
        "schedule weekly would wait for it (overlap queue-one)",
    )


def test_a_job_that_replaces_is_told_what_goes() -> None:
    config = {"training-job-name": "one", "stack-replacement": True}
    met = judge(run=plan(json.dumps(config)), stack=stack())
    assert met.problems == ()
    assert met.notes == ("stack one and whatever it runs would be replaced (stack-replacement)",)


def test_a_run_between_two_machines_has_its_name_though_no_stack_does() -> None:
    item: dict[str, Any] = {"pk": "run#default", "sk": "20261124-1", "state": State.RELAUNCHING}
    item |= {"nonce": "n", "claims": 1, "lease": RUN.claimed.isoformat()}
    record = read_record(item)
    held = {"one": "default/20261124-1"}
    [problem] = judge(held=held, before=record).problems
    assert "run 20261124-1 waits for its next machine in stack one" in problem
    going = replace(record, state=State.ACCEPTED)
    assert judge(held=held, before=going).problems == ()


def test_who_waits_for_the_name_is_told() -> None:
    waits = Waiting(stack_name="one", job="default", run_id="20261124-9", event={})
    met = judge(waiting=[replace(waits, stack_name="other"), waits])
    assert (met.waiting, met.problems) == ("20261124-9", ())
    assert met.notes[0].startswith("run 20261124-9 waits for stack one")
