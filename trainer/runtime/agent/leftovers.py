"""The end of a run whose supervisor is no more."""

from __future__ import annotations

import os
import queue
from pathlib import Path

from parris.contract import EndedBy, State

from .run import TOLD, Run
from .words import Ending, say

ENDS = {
    "restarted": Ending(
        State.INTERRUPTED,
        "the machine was restarted, and a run does not go on after that",
        EndedBy.SHUTDOWN,
    ),
    "died": Ending(
        State.FAILED, "the supervisor was killed, and the trainer with it", EndedBy.AGENT
    ),
}
"""How a run ended whose supervisor could not say so, by who calls for it (user-data.sh)."""


def store_leftovers(home: Path, how: str) -> None:
    """Store what a run has left whose supervisor is no more, and its outcome if there is none."""
    if (home / TOLD).exists():
        return
    ending = ENDS[how]
    if detail := os.environ.get("EXIT_STATUS"):  # systemd.exec(5): a signal's name, or a number
        ending = ending._replace(reason=f"{ending.reason} ({detail})")
    say(f"warning: {ending.reason}")
    run = Run(home, queue.SimpleQueue())
    run.take_over(ending)
    run.keep(None)
