"""What a month has cost, from a ledger on moto, as `make costs` prints it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto import mock_aws

from parris.aws.ledger import Ledger
from parris.runs.attempt import Attempt
from parris.runs.ladder import Rung
from scripts.cli.console import Refused
from scripts.commands import costs
from scripts.deployment.month import forecast, read_bills
from tests.ledger import make_table, note_run
from tests.plans import NOW

GRACE = timedelta(minutes=15)
ON_DEMAND = {"hourly-usd": "0.10"}
SPOT = {"hourly-usd": "0.02", "on-demand-hourly-usd": "0.10"}


class Month:
    """A ledger with runs, and the command that tells what they cost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.ledger = Ledger(make_table())
        self.number, self.capsys = 0, capsys
        ledger, budget = self.ledger, self

        class Deployed:
            grace_minutes = 15

            @property
            def monthly_budget_usd(self) -> float | None:
                return budget.usd

        self.usd: float | None = None
        self.ledger.note_adoption("", NOW)
        monkeypatch.setattr(costs, "read_deployment", Deployed)
        monkeypatch.setattr(costs, "ledger_of", lambda _: ledger)
        monkeypatch.setattr(costs, "datetime", Clock)

    def run(
        self,
        job: str,
        state: str = "",
        usd: float | None = None,
        ended_by: str = "trainer",
        **receipt: Any,
    ) -> tuple[str, str]:
        """Note a run, under way if it has no `state`."""
        self.number += 1
        claimed = receipt.pop("claimed", "2026-11-24T11:00:00Z")
        run_id = f"{claimed[:10].replace('-', '')}-110000-{self.number:08x}"
        known = {"job": job, "run-id": run_id, "claimed": claimed, "stack-id": "arn:x"}
        kind = {"instance-type": "t3.medium", "market": "on-demand", "price": ON_DEMAND}
        deadline = {"deadline": "2026-11-24T13:00:00Z"}
        outcome = {"state": state, "ended-by": ended_by, "cost-usd": usd} if state else None
        note_run(self.ledger.table, {**known, **kind, **deadline, **receipt}, outcome)
        return job, run_id

    def said(self, *arguments: str) -> str:
        assert costs.main(list(arguments)) == 0
        return self.capsys.readouterr().out


class Clock(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return NOW.astimezone(tz)


@pytest.fixture
def month(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Month]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Month(monkeypatch, capsys)


def test_a_month_by_job_by_end_and_by_market(month: Month) -> None:
    month.usd = 10
    month.run("digits", "succeeded", 0.5)
    month.run("digits", "failed", 0.25)
    month.run("line", "succeeded", 0.2, market="spot", price=SPOT)
    month.run("line")
    told = json.loads(month.said("--json"))
    assert {key: told[key] for key in ("month", "runs", "under-way", "usd")} == {
        **{"month": "2026-11", "runs": 4, "under-way": 1},
        "usd": 1.05,  # the one under way has gone on for an hour
    }
    assert (told["saved-usd"], told["wasted-usd"]) == (0.8, 0.25)
    assert told["reserved-usd"] == 0.2267  # two hours and 16 minutes of 0.10
    # What counts is what was reserved at most: 0.2267 of the 0.5 and of the 0.25.
    assert told["left-usd"] == pytest.approx(10 - 2 * 0.2267 - 0.2267 - 0.0454, abs=0.0002)
    assert [(row["name"], row["runs"], row["usd"]) for row in told["by-job"]] == [
        ("digits", 2, 0.75),
        ("line", 2, 0.3),
    ]
    assert {row["name"]: row["runs"] for row in told["by-end"]} == {
        **{"succeeded": 2, "failed": 1, "accepted": 1},
    }
    assert told["by-market"] == [
        {"name": "on-demand", "usd": 0.85},
        {"name": "spot", "usd": 0.2},
    ]
    lines = month.said().splitlines()
    assert lines[0] == "2026-11 (UTC): $1.0500 for 4 runs, 1 of them under way"
    assert lines[1].startswith("budget    $10.00: $0.2267 reserved for what is under way, $9.2")
    assert "wasted    $0.2500 on runs that ended failed, launch-failed, idle" in lines
    assert next(line for line in lines if line.startswith("digits")).split()[1:3] == [
        *("2", "$0.7500")
    ]


def test_what_failed_came_to_nothing_or_idled_was_wasted_and_nothing_else(month: Month) -> None:
    month.run("a", "failed", 0.01)
    month.run("b", "launch-failed", 0.02, "reap")
    month.run("c", "stopped", 0.04, "idle")
    month.run("d", "stopped", 0.08, "operator")
    month.run("e", "timed-out", 0.16, "agent")
    month.run("f", "succeeded", 0.32)
    told = json.loads(month.said("--json"))
    assert told["wasted-usd"] == 0.07
    wasted = {row["name"]: row["wasted-usd"] for row in told["by-job"] if row["wasted-usd"]}
    assert wasted == {"a": 0.01, "b": 0.02, "c": 0.04}
    ends = {row["name"]: row["wasted-usd"] for row in told["by-end"] if row["wasted-usd"]}
    assert sum(ends.values()) == pytest.approx(0.07)


def test_a_run_is_of_the_month_of_its_launch(month: Month) -> None:
    month.run("a", "succeeded", 1.0, claimed="2026-10-31T23:59:00Z")
    month.run("b", "succeeded", 2.0, claimed="2026-12-01T00:00:00Z")
    waited = {"job": "c", "run-id": "20261031-230000-000000ff", "stack-id": "arn:x"}
    outcome = {"state": "succeeded", "ended-by": "trainer", "cost-usd": 4.0}
    note_run(month.ledger.table, {**waited, "claimed": "2026-11-01T01:00:00Z"}, outcome)
    for name, usd in (("2026-10", 1.0), ("2026-11", 4.0), ("2026-12", 2.0)):
        assert json.loads(month.said(f"--month={name}", "--json"))["usd"] == usd


def test_a_csv_has_a_line_a_run(month: Month) -> None:
    job, run_id = month.run("line", "succeeded", 0.2, market="spot", price=SPOT)
    [row] = csv.DictReader(io.StringIO(month.said("--csv")))
    assert (row["job"], row["run-id"], row["market"]) == (job, run_id, "spot")
    assert (row["usd"], row["saved-usd"], row["wasted-usd"]) == ("0.2000", "0.8000", "0.0000")
    with pytest.raises(Refused, match="not as both"):
        costs.main(["--csv", "--json"])


def test_each_machine_of_a_run_counts_for_its_own_market(month: Month) -> None:
    def machine(number: int, market: str, hourly: str, usd: float) -> Any:
        rung = Rung(instance_type="t3.medium", market=market, subnet_id="")
        return Attempt(
            number=number,
            rung=rung,
            began="",
            ended="",
            state="interrupted",
            reason="",
            ended_by="spot",
            hourly_usd=hourly,
            usd=usd,
            instance_id=None,
            zone="",
            folder=None,
            refusal=None,
        ).record()

    machines = [machine(1, "spot", "0.02", 0.1), machine(2, "on-demand", "0.10", 0.3)]
    _, run_id = month.run("a", "succeeded", 0.4)
    outcome: Any = {"state": "succeeded", "ended-by": "trainer", "cost-usd": 0.4}
    outcome["attempts"] = machines
    month.ledger.end("a", run_id, outcome)
    told = json.loads(month.said("--json"))
    assert told["by-market"] == [
        {"name": "on-demand", "usd": 0.3},
        {"name": "spot", "usd": 0.1},
    ]
    assert told["saved-usd"] == 0.4


def test_a_month_without_runs_says_so(month: Month) -> None:
    assert month.said("--month=2025-02").splitlines() == [
        "no run was launched in 2025-02 (UTC)",
        "budget    none; the Terraform variable monthly_budget_usd sets one",
    ]


def test_the_calls_do_not_grow_with_the_runs(month: Month) -> None:
    calls: list[str] = []
    client = month.ledger.table.dynamodb()
    for _ in range(60):
        month.run("a", "succeeded", 0.01)
    seen = type(month.ledger.table)(dynamodb=lambda: client, name=month.ledger.table.name)
    client.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
    bills, problems = read_bills(Ledger(seen), "2026-11", GRACE, NOW)
    assert (len(bills), problems) == (60, [])
    assert calls == ["Query"] * 6  # and one more for each megabyte


def test_a_forecast_goes_on_as_the_month_began() -> None:
    assert forecast(24.5, "2026-11", NOW) == pytest.approx(24.5 / 23.5 * 30)
    assert forecast(1.0, "2026-11", datetime(2026, 11, 1, 1, tzinfo=UTC)) == 30.0
    assert forecast(1.0, "2026-10", NOW) is None
