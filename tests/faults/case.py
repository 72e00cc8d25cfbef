"""One fault in one scene, and what did not hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.faults.injector import Call


@dataclass
class Case:
    """A scene, which call of it goes wrong and how, and what came of it."""

    name: str
    target: Call | None = None
    kind: str = ""
    violations: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    injected: bool = False
    refused: bool = False
    """Whether a launch raised an error, of which Lambda tells."""

    @property
    def operation(self) -> str:
        return self.target.operation if self.target else ""

    def __str__(self) -> str:
        where = f"{self.target.operation} #{self.target.number}" if self.target else "nothing"
        return f"{self.name}: {where} {self.kind}"
