"""A run that goes on from another begins with its checkpoints, or does not begin."""

from __future__ import annotations

import pytest

from tests.unit.agent.test_agent import Machine, machine

__all__ = ["machine"]

EARLIER = "runs/digits/r0/machines/AROATESTTESTTESTTEST1:i-0fedcba9876543210/"
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
    keep(resuming, "checkpoints/epoch", "3\n")
    keep(resuming, "checkpoints/deep/er", "x")
    keep(resuming, "output/model", "its own")
    assert resuming.run(SCRIPT)["state"] == "succeeded"
    said, resumed, epoch = (resuming.stored("log.txt") or b"").decode().splitlines()
    assert said.startswith("parris: this run goes on from run r0: 2 checkpoint files, 3 bytes, ")
    assert (resumed, epoch) == ("resumed 1", "3")
    assert resuming.messages[0] == said
    assert resuming.stored("checkpoints/epoch") == b"4\n"
    assert resuming.stored("checkpoints/deep/er") == b"x"
    assert resuming.stored("output/model") is None


def test_a_run_without_checkpoints_is_begun_anew(resuming: Machine) -> None:
    assert resuming.run("echo resumed ${PARRIS_RESUMED:-no}")["state"] == "succeeded"
    log = (resuming.stored("log.txt") or b"").decode().splitlines()
    assert "0 checkpoint files" in log[0]
    assert log[1] == "resumed no"


def test_what_fails_once_is_tried_again_and_what_always_fails_trains_nothing(
    resuming: Machine,
) -> None:
    resuming.break_aws({"match": "s3 sync", "status": 1, "said": "fatal error: no network"})
    outcome = resuming.run(SCRIPT)
    assert (outcome["state"], outcome["ended-by"]) == ("failed", "agent")
    assert outcome["reason"] == (
        "the checkpoints of run r0 could not be fetched: fatal error: no network"
    )
    assert outcome["started"] is None
    assert resuming.console.count("could not fetch all checkpoints: fatal error") == 2
