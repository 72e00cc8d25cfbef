"""A terminal of its own for a command, on which Ctrl-C is typed."""

from __future__ import annotations

import os
import pty
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def run_on_terminal(
    command: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    presses: Callable[[str], int],
    seconds: float = 60,
) -> tuple[int, str]:
    """Run `command` as a person would, and return its exit status and all that it printed.

    Args:
        presses: given what it has printed, how often Ctrl-C has to have been typed by now.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        # What a shell starts in the background ignores Ctrl-C, and so do its children's children.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.chdir(folder)
        os.execvpe(command[0], list(command), dict(environ))  # noqa: S606
    said, pressed = b"", 0
    os.set_blocking(terminal, False)
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        try:
            said += os.read(terminal, 65536)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:  # the other side is closed
            break
        if pressed < presses(said.decode(errors="replace")):
            os.write(terminal, b"\x03")
            pressed += 1
    os.close(terminal)  # which hangs up on whoever is still there
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), said.decode(errors="replace")
