"""The operating system's process table: who is alive, since when, and which belong together.

Linux is read through /proc; elsewhere `ps` answers as well as it can.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

MARKER = "PARRIS_INSTANCE_ID"
"""Environment variable that every process of an instance inherits."""

_LINUX = sys.platform.startswith("linux")


def started(pid: int) -> str | None:
    """Return when process `pid` started, in the system's own words, or None if it is gone.

    Together with the id this names one process for good: ids are used again, start times are not.
    A zombie counts as gone.
    """
    if _LINUX:
        fields = _stat(pid)
        return None if fields is None or fields[0] in "ZX" else fields[19]
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return None if len(answer) < 2 or answer[0].startswith("Z") else answer[1].strip()


def of_instance(instance_id: str, init: int | None = None) -> set[int]:
    """Return the live processes of an instance, its init process excepted.

    Found by the environment they inherited, wherever they have detached themselves to, and, for
    those which emptied their environment, as descendants of `init`, who adopts their orphans.
    """
    found = carrying(f"{MARKER}={instance_id}")
    if init is not None:
        found |= descendants(parents_of_all(), init)
    return found - {init, os.getpid()}


def carrying(variable: str) -> set[int]:
    """Return the live processes whose environment holds `variable`, a ``NAME=value``."""
    return _marked(parents_of_all(), variable.encode()) if _LINUX else _marked_by_ps(variable)


def descendants(parents: dict[int, int], root: int) -> set[int]:
    """Return every process below `root`, given each process's parent."""
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return below - {root}


def parents_of_all() -> dict[int, int]:
    """Return the parent of each live process, by id."""
    if not _LINUX:
        answer = subprocess.run(
            ["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=False
        ).stdout
        rows = (line.split() for line in answer.splitlines())
        return {int(row[0]): int(row[1]) for row in rows if row[2:] and row[2][0] != "Z"}
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields is not None and fields[0] not in "ZX":
                parents[int(entry.name)] = int(fields[1])
    return parents


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def kill_until_gone(find: Callable[[], set[int]], seconds: float = 10.0) -> set[int]:
    """SIGKILL what `find` finds, again and again, since the dying may fork; return the rest."""
    limit = time.monotonic() + seconds
    while (alive := find()) and time.monotonic() < limit:
        send(alive, signal.SIGKILL)
        time.sleep(0.02)
    return alive


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the third on (state, parent, …; proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the command before it may hold anything


def _marked(pids: Iterable[int], marker: bytes) -> set[int]:
    found = set()
    for pid in pids:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # gone meanwhile, or another user's
            continue
        if marker in environment.split(b"\0"):
            found.add(pid)
    return found


def _marked_by_ps(marker: str) -> set[int]:
    answer = subprocess.run(
        ["ps", "-axEww", "-o", "pid=,command="], capture_output=True, text=True, check=False
    ).stdout
    rows = (line.split() for line in answer.splitlines())
    return {int(row[0]) for row in rows if marker in row[1:]}
