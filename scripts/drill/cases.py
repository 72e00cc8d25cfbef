"""What the drill breaks, and which layer may end the run then."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.cli.console import Refused
from scripts.cli.which_cloud import LOCAL_HOME
from scripts.deployment.machines import find_machine
from scripts.deployment.outputs import Deployment
from scripts.local import interruptions, processes

STUBBORN = """#!/bin/bash
trap '' TERM
echo kept > "${PARRIS_OUTPUT_DIR}/kept.txt"
(trap '' TERM; while :; do sleep 1; done) &
setsid bash -c "trap '' TERM; while :; do sleep 1; done" &
while :; do sleep 1; done
"""
"""It forks, daemonizes, and ignores whoever asks it to stop."""

FILLING = """#!/bin/bash
echo kept > "${PARRIS_OUTPUT_DIR}/kept.txt"
head --bytes 100M /dev/zero > "${PARRIS_OUTPUT_DIR}/large"
while :; do sleep 1; done
"""


COUNTING = """#!/bin/bash
n=0
[[ -f "${PARRIS_CHECKPOINT_DIR}/n" ]] && read -r n <"${PARRIS_CHECKPOINT_DIR}/n"
echo kept > "${PARRIS_OUTPUT_DIR}/kept.txt"
while ((n < 40)); do
  sleep 1
  n=$((n + 1))
  head --bytes "${PARRIS_PARAM_BYTES}" /dev/urandom > "${PARRIS_CHECKPOINT_DIR}/.weights"
  mv "${PARRIS_CHECKPOINT_DIR}/.weights" "${PARRIS_CHECKPOINT_DIR}/weights"
  echo "${n}" > "${PARRIS_CHECKPOINT_DIR}/.n"
  mv "${PARRIS_CHECKPOINT_DIR}/.n" "${PARRIS_CHECKPOINT_DIR}/n"
done
"""
"""It goes on from its checkpoint, and ends well."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way of being sick."""

    fault: str
    layers: tuple[str, ...]
    """Which may end it: "1 machine", "2 schedule", "3 reap"."""
    states: tuple[str, ...]
    machine: tuple[str, ...] = ()
    """Faults of scripts/local/faults.py."""
    script: str = STUBBORN
    during: Callable[[Deployment, str, str], None] | None = None
    """What is done to the run when its machine is up: by deployment, job and run id."""
    creation: str = ""
    minutes: int = 1
    """The run's time limit."""
    saves: bool = True
    """Whether the trainer's output can be saved at all."""
    attempts: int = 1
    """How many machines it has, those that EC2 refuses included."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What its job says beside the usual."""
    shortage: Mapping[str, Any] = field(default_factory=dict)
    """Faults of scripts/local/faults.py: of which machines EC2 has none."""


def _kill_agent(deployment: Deployment, job: str, run_id: str) -> None:
    """Kill the supervisor, and it alone, once it has stored something."""
    instance_id = _find_at_work(deployment, job, run_id)
    for pid in processes.of_instance(instance_id):
        words = _words(pid)
        if b"python" in words[0] and any(word.endswith(b"/agent.pyz") for word in words):
            os.kill(pid, signal.SIGKILL)
            return
    raise Refused(f"{instance_id} has no supervisor to kill")


def _take(notice: int) -> Callable[[Deployment, str, str], None]:
    """Let EC2 take the machine once it has stored something, `notice` seconds after it said so."""

    def take(deployment: Deployment, job: str, run_id: str) -> None:
        interruptions.ask(LOCAL_HOME, _find_at_work(deployment, job, run_id), notice)

    return take


def _take_during_upload(deployment: Deployment, job: str, run_id: str) -> None:
    """Let EC2 take the machine without notice while it stores a checkpoint."""
    instance_id = _find_at_work(deployment, job, run_id)
    limit = time.monotonic() + 45
    while time.monotonic() < limit:
        for pid in processes.of_instance(instance_id):
            if b"--recursive" in _words(pid):  # only uploads are so by now
                interruptions.ask(LOCAL_HOME, instance_id, 0)
                return
        time.sleep(0.05)
    raise Refused(f"{instance_id} stores nothing")


def _take_without_schedule(deployment: Deployment, job: str, run_id: str) -> None:
    _delete_schedule(deployment, job, run_id)
    _take(0)(deployment, job, run_id)


def _find_at_work(deployment: Deployment, job: str, run_id: str) -> str:
    """Return a run's machine once it has stored something."""
    limit = time.monotonic() + 45
    while time.monotonic() < limit:
        stored = deployment.client("s3").list_objects_v2(
            Bucket=deployment.results_bucket, Prefix=f"runs/{job}/{run_id}/machines/"
        )
        if any(item["Key"].endswith("/output/kept.txt") for item in stored.get("Contents", [])):
            return str(find_machine(deployment, run_id)["InstanceId"])
        time.sleep(0.5)
    raise Refused(f"run {run_id} of job {job} has stored nothing")


def _words(pid: int) -> list[bytes]:
    """Return a process's command; [b""] if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def _delete_schedule(deployment: Deployment, _job: str, run_id: str) -> None:
    name = f"{deployment.deployment}-{run_id}"
    deployment.client("scheduler").delete_schedule(GroupName=deployment.deployment, Name=name)


ONE, TWO, THREE = "1 machine", "2 schedule", "3 reap"
OVER = ("timed-out",)


def _interrupted(fault: str, *, attempts: int = 2, **more: Any) -> Case:
    """Return a run that its next machine brings to a good end."""
    config = {"market": "spot", "parameters": {"bytes": "1"}, **more.pop("config", {})}
    return Case(
        fault=fault,
        layers=(ONE,),
        states=("succeeded",),
        script=COUNTING,
        minutes=15,
        attempts=attempts,
        config=config,
        **more,
    )


CASES: Mapping[str, tuple[Case, ...]] = {
    "sound": (
        Case(fault="trainer forks daemons, ignores SIGTERM", layers=(ONE,), states=OVER),
        Case(
            fault="agent killed with SIGKILL",
            layers=(ONE,),
            states=("failed",),
            during=_kill_agent,
            # Nine machines that start at once may take most of a minute to store something.
            minutes=2,
        ),
        Case(
            fault="user data dies on its first line",
            layers=(THREE,),
            states=OVER,
            machine=("user-data-dies",),
            saves=False,
        ),
        Case(
            fault="disk full",
            layers=(ONE,),
            states=("timed-out", "failed"),
            machine=("disk-full:4096",),
            script=FILLING,
        ),
        Case(fault="shutdown does nothing", layers=(THREE,), states=OVER, machine=("no-shutdown",)),
        Case(
            fault="no AWS endpoint can be reached",
            layers=(ONE,),
            # Whichever is first: the sixth attempt to fetch the run, or the minute that it has.
            states=("failed", "timed-out", "interrupted"),
            machine=("no-endpoint",),
            saves=False,
        ),
        Case(fault="schedule deleted", layers=(ONE,), states=OVER, during=_delete_schedule),
        Case(
            fault="1+2: shutdown does nothing, schedule deleted",
            layers=(THREE,),
            states=OVER,
            machine=("no-shutdown",),
            during=_delete_schedule,
        ),
        Case(
            fault="CreateStack fails after the receipt",
            layers=(THREE,),
            states=("launch-failed",),
            creation="The drill has no capacity.",
            saves=False,
        ),
    ),
    "reap-deleted": (
        Case(fault="reap function deleted", layers=(ONE,), states=OVER),
        Case(
            fault="1+3: user data dies, reap function deleted",
            layers=(TWO,),
            states=OVER,
            machine=("user-data-dies",),
            saves=False,
        ),
        Case(
            fault="1+3: shutdown does nothing, reap deleted",
            layers=(TWO,),
            states=OVER,
            machine=("no-shutdown",),
        ),
    ),
    "scheduler-down": (
        Case(fault="Scheduler down", layers=(ONE,), states=OVER),
        Case(
            fault="1+2: user data dies, Scheduler down",
            layers=(THREE,),
            states=OVER,
            machine=("user-data-dies",),
            saves=False,
        ),
    ),
    "machine-alone": (
        Case(fault="2+3: Scheduler down, reap function deleted", layers=(ONE,), states=OVER),
    ),
    "interrupted": (
        _interrupted("EC2 takes the machine, with notice", during=_take(notice=10)),
        _interrupted(
            "EC2 takes the machine during an upload",
            during=_take_during_upload,
            config={"parameters": {"bytes": "20M"}},
        ),
        _interrupted(
            "no spot machine anywhere, then on demand",
            attempts=4,
            config={"instance-type": "c5.large", "market": "spot-then-on-demand"},
            shortage={
                "capacity": [
                    {
                        "instance-type": "c5.large",
                        "market": "spot",
                        "error": "InsufficientInstanceCapacity",
                    }
                ],
                "not-offered": {
                    "c5.large": ["us-east-1c", "us-east-1d", "us-east-1e", "us-east-1f"]
                },
            },
        ),
        _interrupted("2: schedule deleted, EC2 takes the machine", during=_take_without_schedule),
    ),
}
CLOUDS = tuple(CASES)
