"""Runs whose machines EC2 takes away, or does not have: each goes on from what was stored."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from scripts.cli.which_cloud import LOCAL_HOME
from scripts.deployment.machines import find_machine
from scripts.deployment.outputs import Deployment
from scripts.drill.case import ONE, THREE, Case
from scripts.drill.machines import commands_of, delete_schedule, find_at_work, wait_for
from scripts.local import interruptions

SYNC_SECONDS = 5
EPOCHS = 20
EPOCH_SECONDS = 1
MOST_LOST_SECONDS = 3 * SYNC_SECONDS
"""An interval, and the uploads before and after it, while dozens of machines share this one."""

COUNTING = """#!/bin/bash
n=0
[[ -f "${PARRIS_CHECKPOINT_DIR}/n" ]] && read -r n <"${PARRIS_CHECKPOINT_DIR}/n"
echo kept > "${PARRIS_OUTPUT_DIR}/kept.txt"
while ((n < PARRIS_PARAM_EPOCHS)); do
  sleep 1
  n=$((n + 1))
  head --bytes "${PARRIS_PARAM_BYTES}" /dev/urandom > "${PARRIS_CHECKPOINT_DIR}/.weights"
  mv "${PARRIS_CHECKPOINT_DIR}/.weights" "${PARRIS_CHECKPOINT_DIR}/weights"
  echo "${PARRIS_ATTEMPT} ${n}" >> "${PARRIS_PARAM_TRACE}"
  echo "${n}" > "${PARRIS_CHECKPOINT_DIR}/.n"
  mv "${PARRIS_CHECKPOINT_DIR}/.n" "${PARRIS_CHECKPOINT_DIR}/n"
done
"""
"""It goes on from its checkpoint, and ends well; an epoch is a second, whatever else goes on."""


def trace_of(job: str) -> Path:
    """Return the file in which a job's machines note their epochs, stored or not."""
    return LOCAL_HOME / "drill" / f"{job}.trace"


def epochs_of(job: str) -> list[tuple[int, int]]:
    """Return attempt and epoch of each epoch that was done."""
    path = trace_of(job)
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(attempt), int(epoch)) for attempt, epoch in map(str.split, lines)]


def lost_seconds(job: str) -> float:
    """Return the most that one machine had done and the next one had to do again."""
    done = epochs_of(job)
    again = [last - first + 1 for (_, last), (_, first) in pairwise(done) if first <= last]
    return float(EPOCH_SECONDS * max(again, default=0))


def gaps(job: str, epochs: int) -> list[int]:
    """Return the epochs that no machine of a run has done."""
    return sorted(set(range(1, epochs + 1)) - {epoch for _, epoch in epochs_of(job)})


Take = Callable[[Deployment, str, str], None]


def take(notice: int = 0) -> Take:
    """Let EC2 take the machine once it has stored something, `notice` seconds after it said so."""

    def act(deployment: Deployment, job: str, run_id: str) -> None:
        interruptions.ask(LOCAL_HOME, find_at_work(deployment, job, run_id), notice)

    return act


def _take_after(epoch: int) -> Take:
    """Let EC2 take the machine without notice as soon as it has done an epoch."""

    def act(deployment: Deployment, job: str, run_id: str) -> None:
        wait_for(lambda: epochs_of(job), f"the first epoch of job {job}", pause=0.1)
        machine = _machine(deployment, run_id)
        wait_for(lambda: (1, epoch) in epochs_of(job), f"epoch {epoch} of job {job}", pause=0.05)
        interruptions.ask(LOCAL_HOME, machine, 0)

    return act


def _take_twice(deployment: Deployment, job: str, run_id: str) -> None:
    """Let EC2 take the machine, and the next one before that has begun."""
    _take_after(EPOCHS // 2)(deployment, job, run_id)
    _take_new(deployment, run_id, _machine(deployment, run_id))


def _take_during_create(deployment: Deployment, _job: str, run_id: str) -> None:
    """Let EC2 take the machine as soon as it has launched that."""
    _take_new(deployment, run_id, "")


def _take_new(deployment: Deployment, run_id: str, before: str) -> None:
    interruptions.ask(LOCAL_HOME, _machine(deployment, run_id, before), 0)


def _take_during_upload(deployment: Deployment, job: str, run_id: str) -> None:
    """Let EC2 take the machine without notice while it stores a checkpoint."""
    machine = find_at_work(deployment, job, run_id)

    def uploads() -> bool:  # only uploads are recursive by now
        return any(b"--recursive" in words for words in commands_of(machine).values())

    wait_for(uploads, f"an upload of {machine}", pause=0.05)
    interruptions.ask(LOCAL_HOME, machine, 0)


def _take_during_restore(deployment: Deployment, job: str, run_id: str) -> None:
    """Let EC2 take the machine, and the next one while it fetches what that has stored."""
    first = find_at_work(deployment, job, run_id)
    interruptions.ask(LOCAL_HOME, first, 0)
    second = _machine(deployment, run_id, first)

    def fetches() -> bool:
        every = commands_of(second).values()
        return any(word.endswith(b"/fetched") for words in every for word in words)

    wait_for(fetches, f"a restore of {second}", pause=0.02)
    interruptions.ask(LOCAL_HOME, second, 0)


def _take_without_schedule(deployment: Deployment, job: str, run_id: str) -> None:
    delete_schedule(deployment, job, run_id)
    take()(deployment, job, run_id)


def _machine(deployment: Deployment, run_id: str, before: str = "") -> str:
    """Return a run's machine, as soon as it is another one than `before`."""

    def look() -> str | None:
        found = str(find_machine(deployment, run_id)["InstanceId"])
        there = found not in ("", before) and (LOCAL_HOME / "instances" / found).exists()
        return found if there else None

    return wait_for(look, f"another machine of run {run_id}", pause=0.25)


def _interrupted(fault: str, *, attempts: int = 2, **more: Any) -> Case:
    """Return a run that its next machine brings to a good end."""
    wanted = more.pop("config", {})
    parameters = {"bytes": "1", "epochs": EPOCHS, **wanted.pop("parameters", {})}
    known: dict[str, Any] = {"layers": (ONE,), "states": ("succeeded",), **more}
    return Case(
        fault=fault,
        script=COUNTING,
        goes_on=True,
        minutes=15,
        attempts=attempts,
        config={"market": "spot", **wanted, "parameters": parameters},
        **known,
    )


def _none_of(kind: str, **of: str) -> dict[str, Any]:
    """Return a shortage of one type, which two zones offer."""
    zones = [f"us-east-1{letter}" for letter in "cdef"]
    rule = {"instance-type": kind, "error": "InsufficientInstanceCapacity", **of}
    return {"capacity": [rule], "not-offered": {kind: zones}}


INTERRUPTED = (
    _interrupted("EC2 takes the machine, with notice", during=take(notice=10)),
    *(
        _interrupted(
            f"EC2 takes the machine at {tenth}/10 of the run",
            during=_take_after(tenth * EPOCHS // 10),
        )
        for tenth in range(1, 10)
    ),
    _interrupted("EC2 takes two machines in a row", attempts=3, during=_take_twice),
    _interrupted(
        "EC2 takes the machine during an upload",
        during=_take_during_upload,
        config={"parameters": {"bytes": "20M", "epochs": 2 * EPOCHS}},
    ),
    _interrupted(
        "EC2 takes the next machine during its restore",
        attempts=3,
        during=_take_during_restore,
        config={"parameters": {"bytes": "20M", "epochs": 2 * EPOCHS}},
    ),
    _interrupted("EC2 takes the machine as its stack is made", during=_take_during_create),
    _interrupted(
        "no spot machine anywhere, then on demand",
        attempts=4,
        config={"instance-type": "c5.large", "market": "spot-then-on-demand"},
        shortage=_none_of("c5.large", market="spot"),
    ),
    _interrupted(
        "no spot machine, and then none on demand",
        attempts=5,
        layers=(THREE,),
        states=("launch-failed",),
        saves=False,
        config={
            "instance-type": "c6i.large",
            "market": "spot-then-on-demand",
            "max-wait-minutes": 0,
        },
        shortage=_none_of("c6i.large"),
    ),
    _interrupted(
        "1: shutdown does nothing, EC2 takes the machine",
        layers=(THREE,),
        machine=("no-shutdown",),
        during=take(),
    ),
    _interrupted("2: schedule deleted, EC2 takes the machine", during=_take_without_schedule),
)
