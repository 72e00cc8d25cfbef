"""What the drill breaks, and which layer may end the run then."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from scripts.cli.console import Refused
from scripts.deployment.outputs import Deployment
from scripts.drill.case import ONE, OVER, THREE, TWO, Case
from scripts.drill.interrupted import INTERRUPTED, take
from scripts.drill.machines import commands_of, delete_schedule, find_at_work

FILLING = """#!/bin/bash
echo kept > "${PARRIS_OUTPUT_DIR}/kept.txt"
head --bytes 100M /dev/zero > "${PARRIS_OUTPUT_DIR}/large"
while :; do sleep 1; done
"""


def _kill_agent(deployment: Deployment, job: str, run_id: str) -> None:
    """Kill the supervisor, and it alone, once it has stored something."""
    instance_id = find_at_work(deployment, job, run_id)
    for pid, words in commands_of(instance_id).items():
        if b"python" in words[0] and any(word.endswith(b"/agent.pyz") for word in words):
            os.kill(pid, signal.SIGKILL)
            return
    raise Refused(f"{instance_id} has no supervisor to kill")


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
        Case(fault="schedule deleted", layers=(ONE,), states=OVER, during=delete_schedule),
        Case(
            fault="1+2: shutdown does nothing, schedule deleted",
            layers=(THREE,),
            states=OVER,
            machine=("no-shutdown",),
            during=delete_schedule,
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
        Case(
            fault="3: reap function deleted, EC2 takes the machine",
            layers=(TWO,),
            states=OVER,
            during=take(),
            config={"market": "spot"},
            minutes=2,
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
    "interrupted": INTERRUPTED,
}
CLOUDS = tuple(CASES)
