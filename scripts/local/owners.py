"""Whose an embedded cloud is: one that a demo, a drill, a bench or a test started ends with it.

Owners are told by the environment, which passes through make and whatever else lies between, so
that a cloud knows them however deep it was started. One that a person starts with `make local-up`
has none and lives on. A cloud looks after its owners, not they after it: nothing that befalls an
owner, SIGKILL and a closed terminal included, can keep it from ending.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping

from scripts.local import processes

VARIABLE = "PARRIS_LOCAL_OWNERS"
"""Owners from the outermost on, as ``<process id>@<start>,…``; a start has no spaces here."""

LOOK_SECONDS = 1.0


def own(pid: int | None = None) -> None:
    """Let every embedded cloud that is started from here end with this process, or with `pid`.

    What owns this process owns it as well.
    """
    mine = _named(os.getpid() if pid is None else pid)
    named = [name for name in os.environ.get(VARIABLE, "").split(",") if name]
    os.environ[VARIABLE] = ",".join([*named, *([mine] if mine not in named else [])])


def all_there(environ: Mapping[str, str]) -> bool:
    """Return whether every owner that `environ` names still runs, so also if it names none."""
    names = [name for name in environ.get(VARIABLE, "").split(",") if name]
    return all(_named(int(name.partition("@")[0])) == name for name in names)


def end_with_them(environ: Mapping[str, str]) -> None:
    """Watch the owners from a thread; when one is gone, end this process and all they started.

    A terraform or a make that they left behind would try for minutes to reach what is gone.
    """
    if environ.get(VARIABLE):
        threading.Thread(target=_watch, args=(dict(environ),), daemon=True).start()


def _watch(environ: dict[str, str]) -> None:
    while all_there(environ):
        time.sleep(LOOK_SECONDS)
    variable = f"{VARIABLE}={environ[VARIABLE]}"
    group = os.getpgid(0)  # this server and its functions, which it ends in its own way

    def left() -> set[int]:
        return {pid for pid in processes.carrying(variable) if _group(pid) not in (group, None)}

    processes.kill_until_gone(left)
    os.kill(os.getpid(), signal.SIGTERM)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _named(pid: int) -> str:
    return f"{pid}@{'_'.join((processes.started(pid) or '').split())}"
