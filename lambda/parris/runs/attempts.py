"""Whether a run gets another machine, and which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..contract import EndedBy, State
from ..jobs.retry import CAPACITY, FAILURE, INTERRUPTION, Retry
from .attempt import Attempt, Next, spent_usd
from .budget import MINIMUM_MINUTES
from .ending import Ending
from .ladder import Rung, read_rung
from .lifecycle import Machine
from .record import RunRecord
from .refusals import CAUSES, LATER, Cause
from .times import iso

if TYPE_CHECKING:
    from .bill import Bill
    from .documents import AttemptRecord, Outcome, Receipt

MOST = 100
"""Machines of a run, with those that EC2 refused: a record and an outcome hold them all."""

PAUSE = timedelta(minutes=2)
"""How long nobody asks EC2 again after all that would do was refused."""


@dataclass(frozen=True, kw_only=True)
class Over:
    """A run that gets no other machine, and all that is known of those that it had."""

    ending: Ending
    attempts: tuple[Attempt, ...]
    """All of them; none where its only one ends it."""
    machine: Machine | None
    """The last one's; None if EC2 refused it, lists it no more, or it ended a while ago."""


def between_machines(record: RunRecord, ending: Ending) -> Over:
    """Return how a run ended that has lost its last machine, and has no other one as yet."""
    return Over(ending=ending, attempts=record.attempts, machine=None)


def too_late(record: RunRecord) -> Ending:
    """Return how a run ended whose deadline came while it had no machine."""
    reason = f"{record.reason}; its deadline came before another machine"
    return Ending(state=State.TIMED_OUT, reason=reason, ended_by=EndedBy.REAP)


def follow(
    attempts: Sequence[Attempt],
    *,
    retry: Retry,
    rungs: Sequence[Rung],
    exit_status: int | None,
    now: datetime,
    deadline: datetime,
) -> Next | Ending:
    """Return the attempt that follows the last one, or how the run ends with it.

    Args:
        attempts: those that are over, at least one.
        rungs: the ladder, as far as it is known.
        exit_status: of the trainer of the last one, if it has one.
        now: aware UTC, as `deadline`.
    """
    last = attempts[-1]
    over = Ending(state=last.state, reason=last.reason, ended_by=last.ended_by)
    if not _wanted(last, retry, exit_status):
        return _after_machines(attempts, over)
    had = sum(attempt.refusal is None for attempt in attempts)
    if had >= retry.attempts:
        why = f"; it has had its {retry.attempts} machines (retry.attempts)"
        return _after_machines(attempts, _with(over, why if retry.attempts > 1 else ""))
    if len(attempts) >= MOST:
        why = f"; no run has more than {MOST} attempts, those that EC2 refused included"
        return _after_machines(attempts, _with(over, why))
    number, rung, at = last.number + 1, rungs[0], now
    if last.refusal is not None and CAUSES[last.refusal] is LATER:
        if not _may_wait(attempts, retry, now):
            return _after_machines(attempts, _with(over, _all_refused(attempts)))
        rung, at = last.rung, now + PAUSE
    elif last.refusal is not None:
        found = untried(_round(attempts, rungs[0]), rungs)
        if found is None and not _may_wait(attempts, retry, now):
            return _after_machines(attempts, _with(over, _all_refused(attempts)))
        rung, at = (found, now) if found else (rungs[0], now + PAUSE)
    elif last.state == State.FAILED:
        rung = last.rung
    if at + timedelta(minutes=MINIMUM_MINUTES) > deadline:
        why = f"{last.reason}; no {MINIMUM_MINUTES} minutes are left for another machine"
        return Ending(state=State.TIMED_OUT, reason=why, ended_by=last.ended_by)
    return Next(number=number, rung=rung, not_before=iso(at))


def with_attempts(outcome: Outcome, record: RunRecord, bill: Bill | None = None) -> Outcome:
    """Return an ``outcome.json`` with all attempts of its run, and what they cost together.

    Args:
        outcome: its ``zone``, the last machine's, is that attempt's alone.
        bill: the last machine's, by which its ``cost-usd`` is.
    """
    zone = outcome.get("zone", "")
    outcome = outcome.copy()
    outcome.pop("zone", None)
    if not record.attempts or "attempts" in outcome:
        return outcome
    earlier = record.attempts
    if record.state == State.RELAUNCHING:
        return {**outcome, **of_all(earlier)}
    last = last_attempt(record.receipt, outcome, zone)
    if bill is not None:
        last |= {"began": iso(bill.began), "ended": iso(bill.ended)}
    every = [*(attempt.record() for attempt in earlier), last]
    spent = spent_usd(earlier) + (outcome.get("cost-usd") or 0.0)
    return {**outcome, "cost-usd": round(spent, 4), "attempts": every}


def last_attempt(receipt: Receipt, outcome: Outcome, zone: str = "") -> AttemptRecord:
    """Return the attempt of a run's last machine, by what its ``outcome.json`` says of it."""
    rung = read_rung(receipt)
    return {
        "number": int(receipt.get("attempt", 1)),
        "instance-type": rung.instance_type,
        "market": rung.market,
        "subnet-id": rung.subnet_id,
        "began": outcome.get("booted") or receipt.get("attempt-began"),
        "ended": outcome.get("finished"),
        "state": outcome.get("state"),
        "reason": outcome.get("reason"),
        "ended-by": outcome.get("ended-by"),
        "cost-usd": outcome.get("cost-usd"),
        "instance-id": outcome.get("instance-id"),
        "machine": outcome.get("machine"),
        "hourly-usd": (receipt.get("price") or {}).get("hourly-usd"),
        "zone": zone,
        "refusal": None,
    }


def of_all(attempts: Sequence[Attempt]) -> Outcome:
    """Return what an ``outcome.json`` says of a run whose machines are all over."""
    held = [attempt.record() for attempt in attempts]
    return {"cost-usd": spent_usd(attempts), "attempts": held}


def _wanted(last: Attempt, retry: Retry, exit_status: int | None) -> bool:
    if last.refusal is not None:
        return CAPACITY in retry.on and bool(last.refusal)
    taken = (EndedBy.SPOT, EndedBy.EC2, EndedBy.NODE)
    if last.state == State.INTERRUPTED and last.ended_by in taken:
        return INTERRUPTION in retry.on
    if last.state == State.FAILED and FAILURE in retry.on:
        return not retry.exit_statuses or exit_status in retry.exit_statuses
    return False


def _round(attempts: Sequence[Attempt], first: Rung) -> list[tuple[Rung, Cause]]:
    """Return the refusals since EC2 was asked for the `first` rung last."""
    found: list[tuple[Rung, Cause]] = []
    for attempt in reversed(attempts):
        if attempt.refusal is None:
            break
        if CAUSES[attempt.refusal] is not LATER:
            found.append((attempt.rung, CAUSES[attempt.refusal]))
        if attempt.rung == first:
            break
    return found


def untried(refused: Sequence[tuple[Rung, Cause]], rungs: Sequence[Rung]) -> Rung | None:
    """Return the first rung that no refusal rules out."""
    return next(
        (
            rung
            for rung in rungs
            if not any(rung == one or cause.rules_out(one, rung) for one, cause in refused)
        ),
        None,
    )


def _refusals(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the refusals since there was a machine."""
    found: list[Attempt] = []
    for attempt in reversed(attempts):
        if attempt.refusal is None:
            break
        found.insert(0, attempt)
    return found


def _may_wait(attempts: Sequence[Attempt], retry: Retry, now: datetime) -> bool:
    refused = _refusals(attempts)
    if not any(CAUSES[attempt.refusal or ""].passes for attempt in refused):
        return False
    since = datetime.fromisoformat(refused[0].began)
    return now + PAUSE <= since + timedelta(minutes=retry.max_wait_minutes)


def _all_refused(attempts: Sequence[Attempt]) -> str:
    refused = _refusals(attempts)
    tried = {_named(attempt.rung): attempt.refusal for attempt in refused}
    began = datetime.fromisoformat(refused[0].began)
    minutes = (datetime.fromisoformat(refused[-1].ended) - began).total_seconds() / 60
    words = ", ".join(f"{rung} ({why})" for rung, why in tried.items())
    return f"; EC2 refused all that would do for {minutes:.0f} minutes: {words}"


def _named(rung: Rung) -> str:
    return " ".join(filter(None, (rung.instance_type, rung.market, rung.subnet_id)))


def _after_machines(attempts: Sequence[Attempt], ending: Ending) -> Ending:
    """Return an ending as it is called if the run has had a machine."""
    had = any(attempt.refusal is None for attempt in attempts)
    if not had or ending.state != State.LAUNCH_FAILED:
        return ending
    return Ending(state=State.INTERRUPTED, reason=ending.reason, ended_by=ending.ended_by)


def _with(ending: Ending, more: str) -> Ending:
    return Ending(state=ending.state, reason=ending.reason + more, ended_by=ending.ended_by)
