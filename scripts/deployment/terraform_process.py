"""Terraform as a process: heard to its end, whatever Ctrl-C, a closed terminal or a kill does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scripts.cli.console import Moving
from scripts.deployment.outputs import ROOT
from scripts.deployment.terraform_events import Story

_POLL_SECONDS = 0.1
_STANDARD_ERROR = 2
"""Its descriptor: what a child inherits, whatever stands in for `sys.stderr` here."""

GOES_ON = """
terraform is making things ({done} of {total} done) and goes on to its end: what is cut off while
it is made can exist without being in the state. Ctrl-C again stops it now, at that price, now for:
{names}"""
STOPS = """
terraform stops at what it is doing and writes its state …"""
MAY_EXIST = """
terraform stops and writes its state. These may exist now without being in it:
{names}
If the next deploy says that one of them exists already, delete it or let terraform know it:
  terraform import <address> <its name>"""
WOULD_LOSE = """
terraform is still writing its state. Ctrl-C once more kills it: what it has made or deleted since
is then not in the state, and has to be found and put right by hand."""
KILLED = """
terraform was killed; compare what AWS has with: terraform state list"""


def run_to_its_end(
    command: Sequence[str],
    environ: Mapping[str, str],
    story: Story,
    on_plan: Callable[[], None] = lambda: None,
) -> int:
    """Run terraform, put what it says into `story`, and return its exit status.

    It runs in a session of its own, where neither the terminal's Ctrl-C nor its end reaches it,
    and writes into a file, not a pipe: should this process die, terraform writes its state all the
    same. What Ctrl-C means to it is decided here.

    Args:
        on_plan: called once, when the plan is made.

    Raises:
        KeyboardInterrupt: after Ctrl-C, but only once terraform has come to its end.
    """
    moving, planned = Moving(), False
    with tempfile.NamedTemporaryFile() as said, Path(said.name).open("rb") as heard:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        patience, rest = _Patience(process, story, moving), b""
        with _counted_interrupts() as interrupts:
            running = True
            while running:
                running = process.poll() is None  # before the last look, not after it
                rest = _hear(heard, rest, story)
                if story.plan_is_made and not planned:
                    planned = True
                    moving.clear()
                    on_plan()
                while patience.seen < len(interrupts):
                    rest = _hear(heard, rest, story)  # what has begun meanwhile decides
                    patience.interrupt()
                if story.applying or not story.plan_is_made:
                    moving.show(story.where())
                time.sleep(_POLL_SECONDS if running else 0)
        moving.clear()
        if rest:
            story.hear(rest.decode(errors="replace"))
    if interrupts:
        raise KeyboardInterrupt
    return process.returncode


def run_visibly(command: Sequence[str], environ: Mapping[str, str], *, aside: bool = False) -> int:
    """Run terraform on this terminal, from which it gets Ctrl-C itself; return its exit status.

    Args:
        aside: whether standard output is for an answer in JSON, and this for standard error.
    """
    where = _STANDARD_ERROR if aside else None
    with _counted_interrupts():
        return subprocess.Popen(command, cwd=ROOT, env=dict(environ), stdout=where).wait()


def _hear(heard: IO[bytes], rest: bytes, story: Story) -> bytes:
    """Give `story` the whole lines that have come, and return what is begun of the next."""
    *lines, rest = (rest + heard.read()).split(b"\n")
    for line in lines:
        story.hear(line.decode(errors="replace"))
    return rest


@contextmanager
def _counted_interrupts() -> Iterator[list[int]]:
    """Count each Ctrl-C instead of being broken off by it; what has SIGINT ignored keeps that."""
    counted: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield counted
        return
    signal.signal(signal.SIGINT, lambda number, _frame: counted.append(number))
    try:
        yield counted
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class _Patience:
    """What each Ctrl-C does: the first that could cost something only says so.

    On its first SIGINT terraform cancels the calls that are under way (a provider's Stop): the
    answer to a creation is then lost, and with it, for the state, what was created. A deletion or
    a change that is lost is simply made again. On the second it exits without a state.
    """

    process: subprocess.Popen[bytes]
    story: Story
    moving: Moving
    seen: int = 0
    sent: int = 0
    warned: int = 0
    """Up to which number of SIGINTs their price has been told."""

    def interrupt(self) -> None:
        self.seen += 1
        made = [name for name, action in self.story.under_way.items() if action == "create"]
        names = "\n".join(f"  {name}" for name in made)
        if self.sent == 0 and self.story.makes and self.warned == 0:
            self.warned = 1
            self._say(GOES_ON.format(done=self.story.done, total=self.story.total, names=names))
        elif self.sent == 0:
            self._send(MAY_EXIST.format(names=names) if made else STOPS)
        elif self.warned < 2:
            self.warned = 2
            self._say(WOULD_LOSE)
        else:
            self._send(KILLED)

    def _send(self, text: str) -> None:
        self.sent += 1
        self._say(text)
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGINT)

    def _say(self, text: str) -> None:
        self.moving.clear()
        print(text, file=sys.stderr, flush=True)
