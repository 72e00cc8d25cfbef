"""What a month's runs have cost: `parris costs`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from parris.runs.month import month_of
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.columns import Column
from scripts.cli.console import Refused
from scripts.cli.plain_text import one_line
from scripts.cli.which_cloud import hint
from scripts.cli.words import counted
from scripts.deployment.month import Bill, read_bills, summary
from scripts.deployment.outputs import read_deployment
from scripts.deployment.stores import ledger_of


def main(argv: list[str]) -> int:
    """Print a month's money: by job, by end and by market, what is reserved, and the forecast."""
    options = parse("costs", argv)
    if options.csv and options.json:
        raise Refused("a month is printed as CSV or as JSON, not as both; leave one out")
    deployment, now = read_deployment(), datetime.now(UTC)
    month = options.month or month_of(now)
    ledger, grace = ledger_of(deployment), timedelta(minutes=deployment.grace_minutes)
    bills, problems = read_bills(ledger, month, grace, now)
    for problem in problems:
        print(one_line(f"note: an item of the ledger holds no run: {problem}"), file=sys.stderr)
    if ledger.adopted_after() is not None:
        note = "note: runs of an earlier version are still being taken in; they are not in here yet"
        print(note, file=sys.stderr)
    if options.csv:
        csv.writer(sys.stdout).writerows([_FIELDS, *map(_fields, bills)])
        return 0
    told = summary(bills, month, deployment.monthly_budget_usd, now)
    if options.json:
        console.print_json(told)
        return 0
    for line in lines(told):
        print(hint(line))
    for title, rows in (("JOB", told["by-job"]), ("END", told["by-end"])):
        if rows:
            print()
            columns = [Column(heading=title, rank=0), *_COLUMNS]
            console.print_table(columns, [_row(row) for row in rows])
    if told["by-market"]:
        print()
        columns = [Column(heading="MARKET", rank=0), _COLUMNS[1]]
        rows = [(row["name"] or "-", _usd(row["usd"])) for row in told["by-market"]]
        console.print_table(columns, rows)
    return 0


_COLUMNS = (
    Column(heading="RUNS", rank=2),
    Column(heading="COST", rank=1),
    Column(heading="RESERVED", rank=3),
    Column(heading="SAVED", rank=4),
    Column(heading="WASTED", rank=5),
)

_FIELDS = (
    *("job", "run-id", "claimed", "state", "ended-by", "instance-type", "market"),
    *("usd", "reserved-usd", "saved-usd", "wasted-usd"),
)
"""The first line of a CSV."""


def lines(told: Mapping[str, Any]) -> list[str]:
    """Return what is said of a whole month, from its `summary`."""
    month, under_way = told["month"], told["under-way"]
    if not told["runs"]:
        return [f"no run was launched in {month} (UTC)", *_budget(told)]
    going = f", {under_way} of them under way" if under_way else ""
    said = [f"{month} (UTC): {_usd(told['usd'])} for {counted(told['runs'], 'run', 'runs')}{going}"]
    said += _budget(told)
    if told["forecast-usd"] is not None:
        said.append(f"forecast  {_usd(told['forecast-usd'])} for the month, if it goes on so")
    if told["saved-usd"]:
        said.append(f"spot      {_usd(told['saved-usd'])} less than on demand")
    if told["wasted-usd"]:
        ends = ("failed", "launch-failed", "idle")
        said.append(f"wasted    {_usd(told['wasted-usd'])} on runs that ended {', '.join(ends)}")
    if told["without-price"]:
        which = counted(told["without-price"], "run", "runs")
        said.append(f"unknown   {which} without a price: nobody knows what they cost")
    return said


def _budget(told: Mapping[str, Any]) -> list[str]:
    if told["budget-usd"] is None:
        return ["budget    none; the Terraform variable monthly_budget_usd sets one"]
    return [
        f"budget    ${told['budget-usd']:.2f}: {_usd(told['reserved-usd'])} reserved for what is "
        f"under way, {_usd(told['left-usd'])} left"
    ]


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    sums = ("usd", "reserved-usd", "saved-usd", "wasted-usd")
    return (row["name"], str(row["runs"]), *(_usd(row[key]) for key in sums))


def _fields(bill: Bill) -> Sequence[object]:
    sums = (bill.usd, bill.reserved_usd, bill.saved_usd, bill.wasted_usd)
    return (
        *(bill.job, bill.run_id, bill.claimed, bill.state, bill.ended_by),
        *(bill.instance_type, bill.market),
        *(f"{usd:.4f}" for usd in sums),
    )


def _usd(usd: float) -> str:
    return f"${usd:.4f}"
