"""The supervisor on the training machine: run the trainer, keep what it makes, power off.

Standard library of Python 3.9 and the aws CLI, nothing else. docs/contracts.md names what it
reads (run.json) and what it leaves (outcome.json). Every way out of `main` ends in power-off.
"""

from __future__ import annotations

import os
import queue
import resource
import signal
import sys
import threading
from pathlib import Path

from .leftovers import store_leftovers
from .machine import force_later, power_off
from .run import Run
from .words import Events


def main(argv: list[str]) -> int:
    """Supervise the run in the folder argv[0]; the machine is powered off in any case.

    With a key of ENDS as argv[1], end a run whose supervisor is no more; who calls powers off.
    """
    if argv[1:]:
        store_leftovers(Path(argv[0]), argv[1])
        force_later()
        return 0
    events: Events = queue.SimpleQueue()
    listen(events)
    run = Run(Path(argv[0]), events)
    try:
        run.train()
    finally:  # an error of ours goes on to the console, after what is to be done anyway
        try:
            run.keep(sys.exc_info()[1])
        finally:
            power_off()
    return 0


def listen(events: Events) -> None:
    """Put "signal" into `events` for each SIGTERM or SIGINT; none of them ends this process.

    A handler in Python runs in the main thread alone, and one that is just about to wait for an
    event learns of it only after that wait (Python library reference, "signal"). The interpreter
    writes to a descriptor at once (set_wakeup_fd).
    """
    heard, tell = os.pipe()
    os.set_blocking(tell, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(tell)

    def hear() -> None:
        while os.read(heard, 1):
            events.put("signal")

    threading.Thread(target=hear, daemon=True, name="signals").start()


def start() -> None:
    """Run as the program that agent.pyz is, and exit."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump could fill the disk
    sys.exit(main(sys.argv[1:]))
