"""The word that a machine is going down is heard at once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from scripts.package_lambda import ROOT

# The kernel may hand a signal to any thread. One that the main thread gets just before it waits
# is the same to Python: its handler runs after that wait.
PROGRAM = """
import queue, signal, threading, time
from agent.main import listen
events = queue.SimpleQueue()
listen(events)
other = threading.Thread(target=time.sleep, args=(60,), daemon=True)
other.start()
for number in (signal.SIGTERM, signal.SIGINT):
    threading.Timer(0.3, signal.pthread_kill, (other.ident, number)).start()
    print(events.get(timeout=20), flush=True)
"""


@pytest.mark.processes
def test_a_signal_is_heard_while_the_main_thread_waits_whichever_thread_gets_it() -> None:
    path = os.pathsep.join(str(ROOT / folder) for folder in ("trainer/runtime", "lambda"))
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert said.stdout == "signal\nsignal\n", said.stderr
