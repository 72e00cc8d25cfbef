"""DynamoDB: the runs of a deployment, and which launch each belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..contract import SCHEMA, Metric, State
from ..runs.month import id_beginnings
from ..runs.record import LEASE, RunRecord, read_record
from .table import Item, Table, expiry, read_each, to_text

if TYPE_CHECKING:
    from ..runs.documents import Outcome, Receipt

_MINE = "{nonce} = :nonce"
_RUN = "run#"
_OLDER = "r-"
"""How the ids of runs of older versions begin, which say nothing of their time."""
_PAGE = 25
"""The fewest items of a job in one call: some of them never became a plan."""
_SOUGHT = 10
"""Times as many items are read at first where not all count."""
_ADOPTION = ("adopted", "adopted")


@dataclass(frozen=True)
class Ledger:
    """Runs by job and id; an index holds those that are open, another all that were planned."""

    table: Table

    def name_event(self, job: str, digest: str, run_id: str) -> str:
        """Return the run id of an event that has no time: that of its first delivery."""
        held = self.table.put_new(f"event#{job}", digest, {"run_id": run_id})
        return run_id if held is None else str(held["run_id"])

    def claim(
        self, job: str, run_id: str, nonce: str, now: datetime, trial: str = ""
    ) -> tuple[RunRecord, bool]:
        """Claim a run that nobody has claimed; return it, and whether it is this launch's.

        Args:
            trial: ``<grid id>/<number>``, of a run that is one.
        """
        claimed = {
            "state": State.LAUNCHING,
            "open": "run",
            "schema": SCHEMA,
            "claims": 1,
            **_lease(nonce, now),
            **expiry(now),  # of what never becomes a plan
            **({"trial": trial} if trial else {}),
        }
        held = self.table.put_new(_pk(job), run_id, claimed)
        if held is None or held.get("nonce") == nonce:  # its answer was lost, and it sent again
            return read_record({"pk": _pk(job), "sk": run_id, **claimed}), True
        return read_record(held), False

    def take_over(self, record: RunRecord, nonce: str, now: datetime) -> tuple[RunRecord, bool]:
        """Claim a run that is free again; return it, and whether it is this launch's now."""
        changes: Item = {
            "state": State.LAUNCHING,
            "open": "run",
            "reason": None,
            "claims": record.claims + 1,
            **_lease(nonce, now),
        }
        return self._take(record, nonce, changes)

    def seize(self, record: RunRecord, nonce: str, now: datetime) -> tuple[RunRecord, bool]:
        """Take a run from a launch that died, so that no other comes until `hold` frees it."""
        return self._take(record, nonce, {"state": State.LAUNCHING, **_lease(nonce, now)})

    def _take(self, record: RunRecord, nonce: str, changes: Item) -> tuple[RunRecord, bool]:
        """Change a run unless its claim has changed; with the nonce, so that it may come twice."""
        before, state = record.nonce, record.state
        condition = "{nonce} = :before AND {state} = :state OR {nonce} = :nonce"
        ours, held = self.table.change(
            *run_key(record), changes, condition, before=before, state=state, nonce=nonce
        )
        return (read_record(held) if held else record), ours

    def plan(self, record: RunRecord, receipt: Receipt) -> bool:
        """Note what a claimed run is going to be; return whether it is still this launch's."""
        changes = {"kind": "run", "receipt": to_text(receipt), "expires": None}
        return self.table.change(*run_key(record), changes, _MINE, nonce=record.nonce)[0]

    def note_stack(self, record: RunRecord, stack_id: str, receipt: Receipt) -> None:
        """Note the stack of a run, and its receipt as it is now."""
        changes = {"stack_id": stack_id, "receipt": to_text(receipt), "expires": None}
        self.table.change(*run_key(record), {"kind": "run", **changes}, _MINE, nonce=record.nonce)

    def take_in(self, record: RunRecord, receipt: Receipt) -> None:
        """Make a run that was just claimed what its receipt of a version without a ledger says."""
        state = str(receipt.get("state", State.ACCEPTED))
        changes = {
            "kind": "run",
            "state": state,
            "receipt": to_text(receipt),
            "stack_id": receipt.get("stack-id"),
            "open": "run" if state in (State.LAUNCHING, State.ACCEPTED, State.QUEUED) else None,
            "expires": None,
        }
        self.table.change(*run_key(record), changes, _MINE, nonce=record.nonce)

    def accept(self, record: RunRecord) -> None:
        """Note that a run has its stack, and that this has been told."""
        condition = f"{_MINE} AND {{state}} = :launching"
        changes = {"state": State.ACCEPTED}
        self.table.change(
            *run_key(record), changes, condition, nonce=record.nonce, launching=State.LAUNCHING
        )

    def hold(self, record: RunRecord, state: str, reason: str) -> bool:
        """Note why a claimed run has no stack; of a skipped or queued one that has yet to be told.

        A claimed run that became a grid has none either.

        Returns:
            Whether it was still this launch's to say so.
        """
        ended = {"open": None} if state in (State.LAUNCH_FAILED, State.GRID) else {}
        changes = {"state": state, "reason": reason, **ended}
        condition = f"{_MINE} AND attribute_not_exists({{outcome}})"
        return self.table.change(*run_key(record), changes, condition, nonce=record.nonce)[0]

    def note_progress(self, record: RunRecord, folder: str, metrics: Mapping[str, Metric]) -> None:
        """Note how a run goes, by its machine's word, unless it is over or another's by now."""
        changes = {"folder": folder, "metrics": to_text(metrics)}
        condition = f"{_MINE} AND attribute_not_exists({{outcome}})"
        self.table.change(*run_key(record), changes, condition, nonce=record.nonce)

    def end(self, job: str, run_id: str, outcome: Outcome) -> None:
        """Note how a run ended. It stays open until that has been told."""
        changes = {"state": str(outcome["state"]), "outcome": _in_short(outcome)}
        self.table.change(_pk(job), run_id, changes)

    def close(self, job: str, run_id: str) -> None:
        """Note that nothing more is to be done about a run."""
        self.table.change(_pk(job), run_id, {"open": None})

    def adopt(
        self,
        job: str,
        run_id: str,
        receipt: Receipt,
        outcome: Outcome | None,
        now: datetime,
        *,
        told: bool = False,
    ) -> RunRecord:
        """Return a run's record, made of what an earlier version left in S3 if it has none.

        Args:
            told: whether its end has been told for sure, or it is too long ago to be told of.
        """
        state = str((outcome or receipt).get("state", State.ACCEPTED))
        item: Item = {
            "kind": "run",
            "state": state,
            "receipt": to_text(receipt),
            "reason": str(receipt.get("reason", "")),
            **_lease("", now - LEASE),
        }
        if outcome is not None:
            item["outcome"] = _in_short(outcome)
        going = outcome is None and state in (State.ACCEPTED, State.QUEUED)
        untold = not told and (outcome is not None or state == State.LAUNCHING)
        if going or untold:
            item["open"] = "run"
        if stack_id := receipt.get("stack-id"):
            item["stack_id"] = str(stack_id)
        held = self.table.put_new(_pk(job), run_id, item)
        return read_record({"pk": _pk(job), "sk": run_id, **item} if held is None else held)

    def read(self, job: str, run_id: str) -> RunRecord | None:
        item = self.table.get(_pk(job), run_id)
        return read_record(item) if item else None

    def open_runs(self) -> tuple[list[RunRecord], list[str]]:
        """Return the runs about which something is to be done, as of a second or so ago.

        And one problem for each unreadable item, which stops no other.
        """
        return read_each(self.table.query("run", index="open"), read_record)

    def newest(
        self,
        limit: int,
        job: str | None = None,
        *,
        older: bool = True,
        since: str = "",
        states: Sequence[str] = (),
    ) -> tuple[list[RunRecord], list[str]]:
        """Return the planned runs (of `job`) with the latest ids, the latest first.

        And one problem for each unreadable item.

        Args:
            older: whether those with ids of older versions come after all others, for one more
                call where there is room for them.
            since: the beginning of the oldest id that counts; ids of older versions tell no time.
            states: the states that count, of runs that are over; all if empty.
        """
        ids: list[Mapping[str, Any]] = [{"before": _OLDER, "since": since}]
        if older and not since:
            ids.append({"begins_with": _OLDER})
        return read_each(islice(self._latest(job, limit, ids, states), limit), read_record)

    def _latest(
        self,
        job: str | None,
        page: int,
        ranges: Sequence[Mapping[str, Any]],
        states: Sequence[str],
    ) -> Iterator[Item]:
        index, key = ("", _pk(job)) if job else ("kind", "run")
        page = max(page, _PAGE) if job else page
        among = ("state", states) if states else None
        page *= _SOUGHT if states else 1
        for ids in ranges:
            for item in self.table.query(key, index=index, page=page, among=among, **ids):
                if "kind" in item:  # a job's own partition also has what never became a plan
                    yield item

    def all_begun_with(self, beginning: str) -> tuple[list[RunRecord], list[str]]:
        """Return the planned runs whose ids begin so: a call for each megabyte of them.

        And one problem for each unreadable item.
        """
        return read_each(self.table.query("run", index="kind", begins_with=beginning), read_record)

    def claimed_in(self, month: str) -> Iterator[RunRecord]:
        """Return the planned runs that launches of a month claimed, but what nobody can read.

        DynamoDB reads a megabyte a call of all whose ids may be of one, and hands out these: a
        grid may have had 100,000 trials the month before.
        """
        claimed = ("receipt", f'"claimed": "{month}-')
        for ids in id_beginnings(month):
            found = self.table.query("run", index="kind", begins_with=ids, containing=claimed)
            for item in found:
                yield from read_each(iter([item]), read_record)[0]

    def begun_with(self, beginning: str, limit: int) -> list[tuple[str, str]]:
        """Return (job, run id) of the planned runs whose ids begin so, the latest first."""
        found = self.table.query("run", index="kind", begins_with=beginning, page=limit)
        named = islice(found, limit)
        return [(str(item["pk"]).removeprefix(_RUN), str(item["sk"])) for item in named]

    def adopted_after(self) -> str | None:
        """Return the last run of a version without a ledger that was taken in, ``<job>/<run id>``.

        None when all were.
        """
        held = self.table.get(*_ADOPTION) or {}
        return None if held.get("done") else str(held.get("after", ""))

    def note_adoption(self, after: str, done: datetime | None) -> None:
        changes = {"after": after, **({"done": done.isoformat()} if done else {})}
        self.table.change(*_ADOPTION, changes, "attribute_not_exists({done})")


def _lease(nonce: str, now: datetime) -> Item:
    return {"nonce": nonce, "lease": (now + LEASE).isoformat()}


_LONG = ("console", "history")
"""Of an outcome, what the ledger does without: its records are read a thousand at a time."""


def _in_short(outcome: Outcome) -> str:
    return to_text({key: value for key, value in outcome.items() if key not in _LONG})


def _pk(job: str) -> str:
    return _RUN + job


def run_key(record: RunRecord) -> tuple[str, str]:
    """Return partition and sort key of a run's item."""
    return _pk(record.job), record.run_id
