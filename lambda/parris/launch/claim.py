"""A run belongs to one launch: its record in the ledger says to which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from ..aws.ledger import Ledger
from ..aws.storage import Claim, Storage
from ..contract import State
from ..events.request import LaunchRequest
from ..runs.plan import event_digest, run_id_for
from ..runs.record import RunRecord

if TYPE_CHECKING:
    from ..runs.documents import Receipt


def claim_run(
    ledger: Ledger,
    request: LaunchRequest,
    nonce: str,
    now: datetime,
    find_stack: Callable[[str, str], str | None],
    has_begun: Callable[[str], bool],
) -> tuple[RunRecord, bool]:
    """Claim the event's run, one for all its deliveries; return it, and whether it is ours.

    An event without a time of its own has that of its first delivery.

    Args:
        nonce: what nobody can guess.
        find_stack: returns the id of the stack of that name if it holds that run: the launch died
            before it recorded the stack. Then the run is not claimed anew, and a sweep completes
            its record.
        has_begun: returns whether the run of that id has had a machine. Asked where its launch
            died: its stack may have come and gone before anybody noted it. A sweep sees to what is
            left.
    """
    if request.time is not None:
        run_id = run_id_for(request, request.time)
    else:
        proposed = run_id_for(request, now)
        run_id = ledger.name_event(request.job, event_digest(request), proposed)
    trial = f"{request.trial.grid_id}/{request.trial.number}" if request.trial else ""
    record, ours = ledger.claim(request.job, run_id, nonce, now, trial)
    if ours or not record.is_free(now):
        return record, ours
    name = record.receipt.get("stack-name")
    if name and (stack_id := find_stack(name, run_id)):
        return replace(record, stack_id=stack_id), False
    # Of one that was held back or refused the ledger knows that it never began.
    if record.state == State.LAUNCHING and has_begun(run_id):
        return record, False
    return ledger.take_over(record, nonce, now)


class Orders:
    """The ``run.json`` of one run, which its machine obeys, as its launch writes it."""

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage, self._prefix = storage, prefix
        self._held: Claim | None = None

    def write(self, receipt: Receipt, *, first: bool) -> Receipt | None:
        """Write it; if it is the `first` and there is one, return that one instead.

        The run is then of a version that had no ledger.
        """
        if first:
            self._held = self._storage.claim(self._prefix, receipt)
            return None if self._held else self._storage.read_receipt(self._prefix).receipt
        self._held = self._storage.write_receipt(self._prefix, receipt)
        return None

    def change(self, changes: Receipt) -> None:
        """Change keys of it, if it was written.

        Whoever asks the run to stop or moves its deadline meanwhile writes the same object.
        """
        if self._held is None:
            return
        for _ in range(3):
            known = self._held
            if claim := self._storage.replace(self._prefix, {**known.receipt, **changes}, known):
                self._held = claim
                return
            self._held = self._storage.read_receipt(self._prefix)
