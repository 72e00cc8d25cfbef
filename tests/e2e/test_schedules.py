"""Schedules that fire by the clock, and what becomes of one that finds its last run going."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Clone, wait_for
from tests.notices import Topic


@pytest.fixture(scope="module")
def topic(clone: Clone) -> Topic:
    return clone.listen("schedules")


@pytest.fixture(scope="module")
def overlapping(clone: Clone, topic: Topic) -> None:
    """Two schedules that fire each minute, until both have found their last run still going."""
    events, names = clone.client("events"), ("parris-skipping", "parris-queueing")
    for name in names:
        assert events.describe_rule(Name=name)["State"] == "DISABLED"  # as the variable says
        events.enable_rule(Name=name)
    try:
        wait_for(
            lambda: topic.heard("skipped", "skipping") and topic.heard("queued", "queueing"), 200
        )
    finally:
        for name in names:
            events.disable_rule(Name=name)


@pytest.mark.usefixtures("overlapping")
def test_a_schedule_skips_while_its_last_run_is_going(clone: Clone, topic: Topic) -> None:
    skipped = topic.heard("skipped", "skipping")[0]
    started = topic.heard("started", "skipping")[0]
    assert skipped["reason"] == f"run {started['run-id']} is still going"
    receipt = json.loads(clone.read("skipping", skipped["run-id"], "run.json") or b"")
    assert receipt["state"] == "skipped"
    shown = clone.make("status", "LOCAL=1", "JOB=skipping").stdout
    assert "skipped" in shown
    assert clone.outcome("skipping", started["run-id"])["state"] == "succeeded"


@pytest.mark.usefixtures("overlapping")
def test_a_schedule_queues_one_which_starts_when_the_other_is_gone(
    clone: Clone, topic: Topic
) -> None:
    queued = topic.heard("queued", "queueing")[0]
    wait_for(lambda: len(topic.heard("started", "queueing")) >= 2, 120)
    first, second = topic.heard("started", "queueing")[:2]
    assert second["run-id"] == queued["run-id"] != first["run-id"]
    assert clone.outcome("queueing", first["run-id"])["state"] == "succeeded"
    assert clone.outcome("queueing", second["run-id"], 150)["state"] == "succeeded"


def test_make_schedules_lists_each_with_its_next_times(clone: Clone) -> None:
    shown = clone.make("schedules", "LOCAL=1").stdout
    assert "often: job clocked, rate(1 minute), overlap skip" in shown
    assert "queueing: job queueing, rate(1 minute), overlap queue-one\n  disabled" in shown
    rows = json.loads(clone.make("schedules", "LOCAL=1", "JSON=1").stdout)
    assert [row["name"] for row in rows] == ["often", "queueing", "skipping"]
