"""A run that goes on from another begins with its checkpoints, or does not begin."""

from __future__ import annotations

import time

import pytest

from tests.unit.agent.test_agent import Machine, eventually, machine

__all__ = ["machine"]

EARLIER = "runs/digits/r0/machines/AROATESTTESTTESTTEST1:i-0fedcba9876543210/checkpoints/"
SCRIPT = (
    'echo "resumed ${PARRIS_RESUMED:-no}"; cat "$PARRIS_CHECKPOINT_DIR/epoch" || true; '
    'echo 4 > "$PARRIS_CHECKPOINT_DIR/epoch"'
)


def keep(machine: Machine, name: str, content: str) -> None:
    path = machine.folder / "s3/results" / EARLIER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.fixture
def resuming(machine: Machine) -> Machine:
    machine.receipt |= {"resumes": "r0", "restore": EARLIER}
    machine.patience |= {"RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS": "2, 0.1"}
    return machine


def test_the_trainer_finds_the_checkpoints_of_the_run_that_it_goes_on_from(
    resuming: Machine,
) -> None:
    keep(resuming, "epoch", "3\n")
    keep(resuming, "deep/er", "x")
    assert resuming.run(SCRIPT)["state"] == "succeeded"
    said, resumed, epoch = (resuming.stored("log.txt") or b"").decode().splitlines()
    assert said.startswith("parris: this run goes on from run r0: 2 checkpoint files, 3 bytes, ")
    assert (resumed, epoch) == ("resumed 1", "3")
    assert resuming.messages[0] == said
    assert resuming.stored("checkpoints/epoch") == b"4\n"
    assert resuming.stored("checkpoints/deep/er") == b"x"


def test_a_run_whose_checkpoints_are_gone_trains_nothing(resuming: Machine) -> None:
    outcome = resuming.run("echo resumed ${PARRIS_RESUMED:-no}")
    assert (outcome["state"], outcome["ended-by"]) == ("failed", "agent")
    assert outcome["reason"] == "the checkpoints could not be fetched: there are none any more"


def test_a_run_without_another_is_not_resumed(machine: Machine) -> None:
    assert machine.run("echo resumed ${PARRIS_RESUMED:-no}")["state"] == "succeeded"
    assert machine.stored("log.txt") == b"resumed no\n"


@pytest.mark.parametrize("how", ["stop", "signal", "deadline"])
def test_what_ends_a_run_ends_it_while_it_fetches_and_nothing_half_is_stored(
    resuming: Machine, how: str
) -> None:
    keep(resuming, "epoch", "3\n")
    resuming.break_aws({"match": "s3 sync", "sleep": 60})
    (resuming.home / "checkpoints/half").write_text("half of it")
    if how == "deadline":
        resuming.receipt["deadline"] = resuming.iso_in(8)
    resuming.patience["CONTROL_SECONDS"] = "1"
    resuming.script(SCRIPT)
    agent = resuming.start()
    try:
        eventually(lambda: (resuming.folder / "journal").read_text() or True)
        if how == "stop":
            resuming.receipt["stop"] = {"requested": "now", "by": "make stop"}
            resuming.store_receipt()
        if how == "signal":
            time.sleep(1.5)
            agent.terminate()
        agent.wait(30)
    finally:
        agent.kill()
    outcome = resuming.outcome()
    states = {"stop": "stopped", "signal": "interrupted", "deadline": "timed-out"}
    assert outcome["state"] == states[how]
    assert outcome["started"] is None
    assert resuming.stored("checkpoints/half") is None


def test_what_fails_once_is_tried_again_and_what_always_fails_trains_nothing(
    resuming: Machine,
) -> None:
    resuming.break_aws({"match": "s3 sync", "status": 1, "said": "fatal error: no network"})
    outcome = resuming.run(SCRIPT)
    assert (outcome["state"], outcome["ended-by"]) == ("failed", "agent")
    assert outcome["reason"] == ("the checkpoints could not be fetched: fatal error: no network")
    assert outcome["started"] is None
    assert resuming.console.count("could not fetch all checkpoints: fatal error") == 2
