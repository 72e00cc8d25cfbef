"""What the drill breaks, and which layer may end the run then."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.cli.console import Refused
from scripts.deployment.machines import find_machine
from scripts.deployment.outputs import Deployment
from scripts.local import processes

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


def _kill_agent(deployment: Deployment, job: str, run_id: str) -> None:
    """Kill the supervisor, and it alone, once it has stored something."""
    instance_id = find_machine(deployment, run_id)["InstanceId"]
    limit = time.monotonic() + 45
    while time.monotonic() < limit:
        stored = deployment.client("s3").list_objects_v2(
            Bucket=deployment.results_bucket, Prefix=f"runs/{job}/{run_id}/machines/"
        )
        if any(item["Key"].endswith("/output/kept.txt") for item in stored.get("Contents", [])):
            for pid in processes.of_instance(instance_id):
                if _is_agent(pid):
                    os.kill(pid, signal.SIGKILL)
                    return
        time.sleep(0.5)
    raise Refused(f"{instance_id} has no supervisor to kill")


def _is_agent(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"python" in words[0] and any(word.endswith(b"/agent.pyz") for word in words)


def _delete_schedule(deployment: Deployment, _job: str, run_id: str) -> None:
    name = f"{deployment.deployment}-{run_id}"
    deployment.client("scheduler").delete_schedule(GroupName=deployment.deployment, Name=name)


ONE, TWO, THREE = "1 machine", "2 schedule", "3 reap"
OVER = ("timed-out",)
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
}
CLOUDS = tuple(CASES)
