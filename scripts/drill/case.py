"""One run of the drill: what is broken about it, and how it has to end all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.deployment.outputs import Deployment

ONE, TWO, THREE = "1 machine", "2 schedule", "3 reap"
OVER = ("timed-out",)

STUBBORN = """#!/bin/bash
trap '' TERM
echo kept > "${PARRIS_OUTPUT_DIR}/kept.txt"
(trap '' TERM; while :; do sleep 1; done) &
setsid bash -c "trap '' TERM; while :; do sleep 1; done" &
while :; do sleep 1; done
"""
"""It forks, daemonizes, and ignores whoever asks it to stop."""


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
    goes_on: bool = False
    """Whether its trainer counts epochs, and goes on from its checkpoint (interrupted.py)."""
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
