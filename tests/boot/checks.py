"""What must hold when a machine is off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.boot.drill import TRAINER_BEGAN, TRAINER_ENDED, Result
from trainer.runtime.agent.limits import END_SECONDS

Check = Callable[[Result], Iterator[str]]


@dataclass(frozen=True, kw_only=True)
class Holds:
    """What is expected of a run.

    Attributes:
        state: of its record; None takes any, but there must be one.
        words: what the reason says.
        end: the most seconds from the trainer's end to power-off, on a host that is idle.
        boots: how often the machine's kernel begins at most.
        more: what else.
    """

    state: str | None = None
    words: tuple[str, ...] = ()
    end: float | None = END_SECONDS
    boots: int = 1
    more: tuple[Check, ...] = ()

    def problems(self, result: Result) -> Iterator[str]:
        """Yield what does not hold."""
        record = result.record
        if not result.off:
            yield f"still on after {result.total:.0f} s"
        elif self.end is not None and result.end is not None:
            most = self.end + result.delay_since(TRAINER_ENDED)
            if result.end > most:
                yield f"off {result.end:.0f} s after the trainer's end, not within {most:.0f} s"
        if result.boots > self.boots:
            yield f"it began {result.boots} times"
        if result.console.count(TRAINER_BEGAN) > 1:
            yield "it trained again"
        if not record:
            yield "there is no outcome"
        elif self.state not in (None, record["state"]):
            yield f"{record['state']}, not {self.state}: {record['reason']}"
        elif lacking := [word for word in self.words if word not in str(record["reason"])]:
            yield f"the reason lacks {', '.join(map(repr, lacking))}: {record['reason']}"
        for check in self.more:
            yield from check(result)


def stores(*names: str) -> Check:
    """Return the check that the machine has stored these objects."""

    def check(result: Result) -> Iterator[str]:
        yield from (f"{name} was not stored" for name in names if name not in result.stored)

    return check


def say(*words: str) -> Check:
    """Return the check that one line of the console has all these words."""

    def check(result: Result) -> Iterator[str]:
        lines = result.console.splitlines()
        if not any(all(word in line for word in words) for line in lines):
            yield f"no line of the console has {' and '.join(map(repr, words))}"

    return check


def off_after(mark: str, most: float) -> Check:
    """Return the check that the machine went off within so many seconds of `mark`."""

    def check(result: Result) -> Iterator[str]:
        began = result.seen.get(mark)
        if began is None:
            yield f"the console never had {mark!r}"
        elif result.off and result.total - began > most + result.delay_since(mark):
            yield f"off {result.total - began:.0f} s after {mark!r}, not within {most:.0f} s"

    return check


def logs(words: str) -> Check:
    """Return the check that the log that the machine stored has these words."""

    def check(result: Result) -> Iterator[str]:
        if words not in result.stored.get("log.txt", b"").decode(errors="replace"):
            yield f"log.txt does not say {words!r}"

    return check


def attempts(*ended_by: str) -> Check:
    """Return the check that the run had these attempts, by what ended each."""

    def check(result: Result) -> Iterator[str]:
        found = [one["ended-by"] for one in result.record.get("attempts", [])]
        if found != list(ended_by):
            yield f"its attempts were ended by {', '.join(found)}, not by {', '.join(ended_by)}"

    return check


def first(*checks: Check) -> Check:
    """Return the check that these hold of the run's first machine."""

    def check(result: Result) -> Iterator[str]:
        for one in result.before[:1]:
            for each in checks:
                yield from (f"machine 1: {problem}" for problem in each(one))

    return check


def by_itself(result: Result) -> Iterator[str]:
    """Yield a problem if the machine went off only because its stack was deleted."""
    if result.pressed:
        yield "it went off only when EC2 was told to delete it"


def healthy(result: Result) -> Iterator[str]:
    """Yield what is wrong with cloud-init, the units, the image or the rendered user data."""
    log = result.stored.get("log.txt", b"").decode(errors="replace")
    if "status: done" not in log:
        yield "cloud-init is not done"
    yield from (
        f"log.txt does not say that {what}"
        for what in ("units are right", "the image has what it must have")
        if what not in log
    )
    shellcheck = Path(sys.executable).with_name("shellcheck")
    answer = subprocess.run(
        [shellcheck, "--shell=bash", "-"], input=result.user_data, capture_output=True, check=False
    )
    if answer.returncode:
        yield f"shellcheck of the user data: {answer.stdout.decode().strip()[:300]}"
