"""What is measured, and what it should be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number."""

    what: str
    value: float
    unit: str = ""
    goal: float | None = None
    """At most; None where it is told for its own sake."""

    def __str__(self) -> str:
        number = f"{self.value:.2f}" if isinstance(self.value, float) else str(self.value)
        goal = "" if self.goal is None else f" (goal: at most {self.goal:g})"
        return f"{self.what}: {number}{' ' if self.unit else ''}{self.unit}{goal}"

    def is_within(self, times: float) -> bool:
        """Return whether it is at most its goal, or of a time so many times that."""
        timed = self.unit in ("s", "times as long")
        return self.goal is None or self.value <= self.goal * (times if timed else 1)
