"""DynamoDB: the launches that wait, one for each stack's name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .table import Table, read_each, to_text

_PK = "queue"


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A launch that waits for the name of a stack."""

    stack_name: str
    job: str
    run_id: str
    event: Any


@dataclass(frozen=True)
class Queue:
    """An entry stays until its launch has its stack, or has failed: it may be sent again."""

    table: Table

    def wait(self, stack_name: str, job: str, run_id: str, event: object) -> str:
        """Let a run wait for its stack's name; return the id of the run that waits for it now."""
        entry = {"job": job, "run_id": run_id, "event": to_text(event)}
        held = self.table.put_new(_PK, stack_name, entry)
        return run_id if held is None else str(held["run_id"])

    def leave(self, stack_name: str, run_id: str) -> None:
        """Let a run no longer wait, if it does."""
        self.table.delete(_PK, stack_name, "{run_id} = :run_id", run_id=run_id)

    def waiting(self) -> tuple[list[Waiting], list[str]]:
        """Return the launches that wait, and what is wrong with entries that hold none."""
        return read_each(
            self.table.query(_PK),
            lambda item: Waiting(
                stack_name=item["sk"],
                job=item["job"],
                run_id=item["run_id"],
                event=json.loads(item["event"]),
            ),
        )
