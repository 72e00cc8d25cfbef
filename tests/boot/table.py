"""The table of `make test-boot`: a line a drill."""

from __future__ import annotations

from collections.abc import Sequence

from tests.boot.drill import Result

BUSY_SECONDS = 15
"""A machine that waited so long for the host's processors has figures of a busy host."""

_LAYOUT = "{:<18} {:<7} {:>7} {:>7} {:>7}  {}"
HEAD = _LAYOUT.format("drill", "result", "boot s", "end s", "all s", "state, or what does not hold")


def row(name: str, result: Result, problems: Sequence[str]) -> str:
    """Return a drill's line.

    ``boot`` is power-on to user data's first line, ``end`` the trainer's end to power-off, ``all``
    power-on to power-off, in seconds.
    """
    words = "; ".join(problems) or str(result.record.get("state"))
    if result.pressed:
        words += " (EC2 pressed its power button)"
    if result.waited >= BUSY_SECONDS:
        words += f" (busy: the machine waited {result.waited:.0f} s for the host's processors)"
    passed = "FAILED" if problems else "passed"
    times = (_seconds(value) for value in (result.boot, result.end, result.total))
    return _LAYOUT.format(name, passed, *times, words)


def broken(name: str, error: Exception) -> str:
    """Return the line of a drill that came to no end."""
    said = " ".join(str(error).split()) or type(error).__name__
    return _LAYOUT.format(name, "FAILED", "-", "-", "-", said[:200])


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
