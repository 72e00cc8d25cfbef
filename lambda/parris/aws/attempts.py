"""DynamoDB: the machines of a run, one after another, each claimed by one launch.

What the next sweep finds if a function dies in between: after `end`, a run that is relaunching,
which it sends to the launch function again; after `claim`, the same once the lease is over; after
the stack was made or changed, a stack that holds the attempt, which it notes with `begin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..contract import State
from ..runs.attempt import Attempt, Next
from ..runs.ending import Ending
from ..runs.record import LEASE, RunRecord, read_record
from .ledger import run_key
from .table import Item, Table, to_text

if TYPE_CHECKING:
    from ..runs.documents import Receipt

_SAME = "{next} = :next AND {state} = :relaunching"


@dataclass(frozen=True)
class Attempts:
    """The attempts of runs, in their records."""

    table: Table

    def end(
        self, record: RunRecord, over: Sequence[Attempt], then: Next, why: str, now: datetime
    ) -> bool:
        """Note that a run's machine is over, and which one comes then; return whether it is new.

        However often the same end is told, one of them is the first.

        Args:
            over: all that are over, the one that has just ended the last.
        """
        changes = {
            "state": State.RELAUNCHING,
            "attempts": to_text([attempt.record() for attempt in over]),
            "next": to_text(then.record()),
            "over": len(over),
            "reason": why,
            "lease": now.isoformat(),
        }
        # Of a late delivery, the machine that ended is not the one that is under way.
        known = "{over} = :over" if record.attempts else "attribute_not_exists({over})"
        had = {"over": len(record.attempts)} if record.attempts else {}
        going = "{state} IN (:accepted, :launching) AND attribute_not_exists({outcome})"
        states = {"accepted": State.ACCEPTED, "launching": State.LAUNCHING}
        condition = f"{known} AND {going}"
        given: dict[str, Any] = {**states, **had}
        return self.table.change(*run_key(record), changes, condition, **given)[0]

    def claim(self, record: RunRecord, nonce: str, now: datetime) -> RunRecord | None:
        """Claim the next attempt of a run for one launch; None if it is another's, or done."""
        if record.next is None:
            return None
        changes = {"nonce": nonce, "lease": (now + LEASE).isoformat()}
        free = "({lease} <= :now OR {nonce} = :nonce)"
        ours, held = self.table.change(
            *run_key(record),
            changes,
            f"{_SAME} AND {free}",
            **_same(record),
            now=now.isoformat(),
            nonce=nonce,
        )
        return read_record(held) if ours and held else None

    def begin(self, record: RunRecord, stack_id: str, receipt: Receipt) -> bool:
        """Note that the next attempt has its stack; `receipt` is the run's from now on.

        The run stays ``launching`` until the previous attempt's end has been told.
        """
        changes: Item = {
            "state": State.LAUNCHING,
            "stack_id": stack_id,
            "receipt": to_text(receipt),
            "next": None,
            "reason": None,
        }
        return self.table.change(*run_key(record), changes, _SAME, **_same(record))[0]

    def give_back(self, record: RunRecord, now: datetime) -> None:
        """Let another launch claim the attempt at once: this one could not begin it yet."""
        given = {**_same(record), "nonce": record.nonce}
        lease = {"lease": now.isoformat()}
        self.table.change(*run_key(record), lease, f"{_SAME} AND {{nonce}} = :nonce", **given)

    def refuse(self, record: RunRecord, ending: Ending) -> None:
        """Note that the run gets no other machine, and how it ended; a sweep concludes it."""
        changes = {"refused": to_text(ending.record())}
        self.table.change(*run_key(record), changes, _SAME, **_same(record))


def _same(record: RunRecord) -> dict[str, Any]:
    held = to_text(record.next.record()) if record.next else ""
    return {"next": held, "relaunching": State.RELAUNCHING}
