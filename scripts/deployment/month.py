"""What a month's runs have cost, put together from the ledger: pure but for `read_bills`."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from parris.aws.ledger import Ledger
from parris.contract import State
from parris.jobs.retry import SPOT
from parris.runs.attempt import spent_usd
from parris.runs.budget import cost
from parris.runs.documents import Receipt
from parris.runs.month import MICROS, id_beginnings, keeps, month_of, real_micros, worst_micros
from parris.runs.record import RunRecord
from parris.runs.times import read_time

IDLE = "idle"
"""What ended a run whose machine did nothing, in the words of ``ended-by``."""

_OLDER = "r-"
"""How the ids of runs of versions before 0.2 begin, which say nothing of their time."""


@dataclass(frozen=True, kw_only=True)
class Bill:
    """One run, in US dollars."""

    job: str
    run_id: str
    claimed: str
    state: str
    ended_by: str
    instance_type: str
    market: str
    """Of its last machine."""
    usd: float
    """What it has cost, or so far."""
    reserved_usd: float
    """What counts of a month's budget while it is under way."""
    counted_usd: float
    """What counts of it when it is over."""
    saved_usd: float
    by_market: Mapping[str, float]
    is_priced: bool

    @property
    def is_under_way(self) -> bool:
        return self.state in _UNDER_WAY

    @property
    def wasted_usd(self) -> float:
        """What was paid for nothing."""
        useless = self.state in (State.FAILED, State.LAUNCH_FAILED) or self.ended_by == IDLE
        return self.usd if useless else 0.0


_UNDER_WAY = (State.LAUNCHING, State.ACCEPTED, State.RELAUNCHING)


def read_bills(
    ledger: Ledger, month: str, grace: timedelta, now: datetime
) -> tuple[list[Bill], list[str]]:
    """Return the bills of the runs that were launched in `month`, the earliest first.

    And what is wrong with items of the ledger that hold no run. It is a call for each megabyte of
    runs, some side by side.
    """
    this, *before = id_beginnings(month)
    beginnings = [*(f"{this}{tens}" for tens in range(4)), *before, _OLDER]
    with ThreadPoolExecutor(max_workers=len(beginnings)) as pool:
        found = list(pool.map(ledger.all_begun_with, beginnings))
    records = chain.from_iterable(records for records, _ in found)
    problems = list(chain.from_iterable(problems for _, problems in found))
    bills = [bill_of(record, grace, now) for record in records if _is_of(record, month)]
    return sorted(bills, key=lambda bill: (bill.claimed, bill.run_id)), problems


def _is_of(record: RunRecord, month: str) -> bool:
    claimed = read_time(record.receipt.get("claimed"))
    return claimed is not None and month_of(claimed) == month


def bill_of(record: RunRecord, grace: timedelta, now: datetime) -> Bill:
    receipt, outcome = record.receipt, record.outcome or {}
    going, worst = keeps(record), worst_micros(receipt, grace)
    usd = outcome.get("cost-usd")
    if going:
        usd = _so_far(record, now)
    machines = list(outcome.get("attempts") or [one.record() for one in record.attempts])
    if not outcome.get("attempts"):  # the one that is under way, or the only one
        rest = (usd or 0.0) - spent_usd(record.attempts)
        machines.append(
            {
                "instance-type": receipt.get("instance-type", ""),
                "market": receipt.get("market", ""),
                "cost-usd": rest,
                "hourly-usd": _hourly(receipt),
            }
        )
    return Bill(
        job=record.job,
        run_id=record.run_id,
        claimed=str(receipt.get("claimed", "")),
        state=record.state,
        ended_by=str(outcome.get("ended-by", "")),
        instance_type=str(receipt.get("instance-type", "")),
        market=str(receipt.get("market", "")),
        usd=usd or 0.0,
        reserved_usd=worst / MICROS if going else 0.0,
        counted_usd=real_micros(outcome, worst) / MICROS if outcome else 0.0,
        saved_usd=round(sum(_saved(receipt, machine) for machine in machines), 4),
        by_market=_by_market(machines),
        is_priced=usd is not None or record.outcome is None,
    )


def _so_far(record: RunRecord, now: datetime) -> float | None:
    spent = spent_usd(record.attempts)
    began = read_time(record.receipt.get("attempt-began", record.receipt.get("claimed")))
    if record.state == State.RELAUNCHING or record.stack_id is None or began is None:
        return spent
    machine = cost(record.receipt, began, now)
    return None if machine is None else spent + machine


def _hourly(receipt: Receipt) -> str | None:
    return (receipt.get("price") or {}).get("hourly-usd")


def _saved(receipt: Receipt, machine: Mapping[str, Any]) -> float:
    """Return what a spot machine cost less than it would have on demand, as far as is known.

    A receipt knows that price of the run's last machine, and of others of its type.
    """
    price, hourly = receipt.get("price") or {}, machine.get("hourly-usd")
    whole = price.get("on-demand-hourly-usd")
    if whole is None and receipt.get("market") != SPOT:
        whole = price.get("hourly-usd")
    same = machine.get("instance-type") == receipt.get("instance-type")
    if machine.get("market") != SPOT or not (same and whole and hourly and float(hourly)):
        return 0.0
    return float(machine.get("cost-usd") or 0.0) * (float(whole) / float(hourly) - 1)


def _by_market(machines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for machine in machines:
        market = str(machine.get("market") or "")
        sums[market] = sums.get(market, 0.0) + float(machine.get("cost-usd") or 0.0)
    return sums


def forecast(usd: float, month: str, now: datetime) -> float | None:
    """Return what a month will have cost if it goes on as it began; None if it is not going on.

    The first day is counted as a whole: of its first hours nobody can tell.
    """
    if month_of(now) != month:
        return None
    first = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    days = calendar.monthrange(first.year, first.month)[1]
    gone = max(1.0, (now - first) / timedelta(days=1))
    return usd * days / gone


def summary(
    bills: Sequence[Bill], month: str, budget: float | None, now: datetime
) -> dict[str, Any]:
    """Return a month as ``make costs JSON=1`` prints it (docs/commands.md)."""
    usd = sum(bill.usd for bill in bills)
    under_way = [bill for bill in bills if bill.is_under_way]
    reserved = sum(bill.reserved_usd for bill in under_way)
    counted = sum(bill.counted_usd for bill in bills)
    ahead = forecast(usd, month, now)
    markets: dict[str, float] = {}
    for bill in bills:
        for market, part in bill.by_market.items():
            markets[market] = markets.get(market, 0.0) + part
    return {
        "month": month,
        "usd": _round(usd),
        "runs": len(bills),
        "under-way": len(under_way),
        "reserved-usd": _round(reserved),
        "budget-usd": budget,
        "left-usd": None if budget is None else _round(max(0.0, budget - counted - reserved)),
        "forecast-usd": None if ahead is None else _round(ahead),
        "saved-usd": _round(sum(bill.saved_usd for bill in bills)),
        "wasted-usd": _round(sum(bill.wasted_usd for bill in bills)),
        "without-price": sum(not bill.is_priced for bill in bills),
        "by-job": _grouped(bills, lambda bill: bill.job),
        "by-end": _grouped(bills, _end_of),
        "by-market": [
            {"name": name, "usd": _round(part)} for name, part in sorted(markets.items()) if part
        ],
    }


def _end_of(bill: Bill) -> str:
    return f"{bill.state} ({IDLE})" if bill.ended_by == IDLE else bill.state


def _grouped(bills: Sequence[Bill], key: Any) -> list[dict[str, Any]]:
    groups: dict[str, list[Bill]] = {}
    for bill in bills:
        groups.setdefault(key(bill), []).append(bill)
    rows = [
        {
            "name": name,
            "runs": len(group),
            "usd": _round(sum(bill.usd for bill in group)),
            "reserved-usd": _round(sum(bill.reserved_usd for bill in group)),
            "saved-usd": _round(sum(bill.saved_usd for bill in group)),
            "wasted-usd": _round(sum(bill.wasted_usd for bill in group)),
        }
        for name, group in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row["usd"], row["name"]))


def _round(usd: float) -> float:
    return round(usd, 4)
