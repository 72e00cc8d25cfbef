"""No month goes over its budget, whoever launches at once and whatever dies in between.

A thousand launches, by 64 threads at a time.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from parris.aws.slots import Ask, Slots, reservations_of, sums_of
from parris.aws.table import Table
from parris.launch import prepare, relaunch
from parris.runs.budget import Price, after_deadline_usd, worst_usd
from parris.runs.month import Reservation, to_micros
from tests.ledger import make_table
from tests.memory_table import MemoryTable
from tests.plans import NOW, plan

LAUNCHES, BUDGET, LIMIT, MONTH = 1_000, 15_000_000, 60, "2026-11"
THREADS = 64
MINUTES = 60
"""To each run's deadline."""
PLAN = plan('{"termination-method": "at-fixed-time", "time-limit": 60}')
GRACE = PLAN.delete_at - PLAN.deadline


class _Death(Exception):
    """A function ends between two calls."""


@dataclass(frozen=True, kw_only=True)
class Unsteady(MemoryTable):
    """The ledger's table, with calls that come to nothing, or lose their answer, or come twice."""

    chance: random.Random

    def change(self, *given: Any, **values: Any) -> Any:
        fate = self.chance.random()
        if fate < 0.03:
            raise _Death
        answer = MemoryTable.change(self, *given, **values)
        if fate < 0.06:
            raise _Death  # after the effect
        # botocore sends again what was not answered, and meets its own effect.
        return MemoryTable.change(self, *given, **values) if fate < 0.12 else answer


@dataclass
class Run:
    """A run as it really is: what it spends is spent, whatever anybody writes down."""

    name: str
    hourly: Decimal
    """US dollars, of the dearest machine of its ladder."""
    claim: int = 1
    spends: int = 0
    """By its machines together; 0 without a stack."""
    is_over: bool = False

    @property
    def reserved_usd(self) -> Decimal:
        return worst_usd(self.hourly, MINUTES, None, GRACE)


class Month:
    """A deployment in which runs begin and end all at once."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - which of them die, no secret
        table = MemoryTable(dynamodb=_none, name="")
        self.steady = Slots(table)
        self.slots = Slots(
            Unsteady(
                dynamodb=_none, name="", items=table.items, lock=table.lock, chance=self.chance
            )
        )
        self.runs = [
            Run(name=f"job/{number}", hourly=Decimal(self.chance.randint(10, 400)) / 1000)
            for number in range(LAUNCHES)
        ]
        self.most = 0
        """What was spent and could still be spent at any moment."""

    def play(self, run: Run) -> None:
        """Launch a run, with redeliveries, have its machines and its end, told twice."""
        for _ in range(self.chance.randint(1, 3)):
            if run.spends or not self._launch(run):
                run.claim += 1  # its event comes again, or it is another launch's now
        self._look()
        if run.spends:
            run.is_over = True
            for _ in range(2):
                self._try(lambda: self._end(run))
        self._look()

    def _launch(self, run: Run) -> bool:
        ask = Ask(reservation=self._reservation(run), budget=BUDGET)
        slot = self._try(lambda: self.slots.take(_stack(run), run.name, LIMIT, MONTH, ask))
        if slot is None or not slot.granted:
            return False
        if self.chance.random() < 0.1:  # CloudFormation refuses it, or the launch dies
            self._try(lambda: self.slots.give_back(_stack(run), run.name))
            self._try(lambda: self.slots.settle(ask.reservation, 0))
            return False
        run.spends = max(1, to_micros(self._train(run)))
        return True

    def _train(self, run: Run) -> Decimal:
        """Return what three machines at most cost, each as long as the product lets it go on.

        Their prices are anything, also dearer than when the run was launched.
        """
        spent, elapsed, minutes = Decimal(0), 0, MINUTES
        hourly = run.hourly * self.chance.randint(1, 10) / 10
        for _ in range(3):
            taken = self.chance.randint(0, 2 * minutes)
            if taken >= minutes:  # nothing ends it before its stack's own schedule does
                return spent + hourly * minutes / 60 + after_deadline_usd(hourly, GRACE)
            spent = (spent + hourly * taken / 60).quantize(Decimal("0.0001"))
            elapsed += taken
            hourly = run.hourly * self.chance.randint(1, 30) / 10
            rest = replace(PLAN, limit_minutes=MINUTES - elapsed)
            price = Price(parts={"all": hourly}, source="", read=NOW, spot=False)
            record: Any = SimpleNamespace(attempts=[SimpleNamespace(usd=float(spent))], reason="")
            try:
                following = relaunch._within_budget(
                    rest,
                    record,
                    price,  # type: ignore[arg-type] # see `prices`
                    NOW + timedelta(minutes=elapsed),
                    str(run.reserved_usd),
                )
            except relaunch._OverError:
                break
            minutes = following.limit_minutes
        return spent

    def _end(self, run: Run) -> None:
        item = self.slots.give_back(_stack(run), run.name)
        if held := reservations_of(item).get(run.name):
            self.slots.settle(held, run.spends)

    def sweep(self) -> None:
        """Set right what deaths have left, as the reap function does."""
        for run in self.runs:
            if not run.spends or run.is_over:
                self.steady.give_back(_stack(run), run.name)
        for name, held in reservations_of(self.steady.held()).items():
            run = self.runs[int(name.partition("/")[2])]
            if not run.spends or run.is_over:
                self.steady.settle(held, run.spends)

    def _reservation(self, run: Run) -> Reservation:
        worst = to_micros(run.reserved_usd)
        return Reservation(run=run.name, month=MONTH, micros=worst, claim=run.claim)

    def _look(self) -> None:
        known = sums_of(self.steady.held(), MONTH)
        assert known is not None
        self.most = max(self.most, known.spent + known.reserved)

    def _try(self, act: Callable[[], Any]) -> Any:
        with contextlib.suppress(_Death):
            return act()
        return None


def _none() -> Any:
    raise AssertionError("nothing is called")


def _stack(run: Run) -> str:
    return run.name.replace("/", "-")


@pytest.fixture(autouse=True)
def prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the price of a run's next machine be what is handed on in the clients' place."""
    monkeypatch.setattr(prepare, "read_price", lambda _plan, price: price)


@pytest.mark.parametrize("seed", range(5))
def test_no_month_goes_over_its_budget(seed: int) -> None:
    month = Month(seed)
    month.steady.begin_month(MONTH, 0, {})
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        list(pool.map(month.play, month.runs))
    assert [run for run in month.runs if run.spends > to_micros(run.reserved_usd)] == []
    real = sum(run.spends for run in month.runs)
    assert real <= BUDGET
    assert month.most <= BUDGET
    month.sweep()
    known = sums_of(month.steady.held(), MONTH)
    assert known is not None
    assert (known.spent, known.reserved, known.runs) == (real, 0, 0)
    assert BUDGET - real < BUDGET / 5  # what was refused was refused for want of money


def test_a_sum_is_never_counted_twice_if_the_answer_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The test above bites: without the look for its own reservation a write counts twice."""
    change = MemoryTable.change

    def careless(self: MemoryTable, *given: Any, **values: Any) -> Any:
        pk, sk, changes, condition, *more = given
        parts = condition.split(" AND ")
        kept = " AND ".join(part for part in parts if "not_exists({reserved/" not in part)
        return change(self, pk, sk, changes, kept, *more, **values)

    monkeypatch.setattr(MemoryTable, "change", careless)
    with pytest.raises(AssertionError):
        test_no_month_goes_over_its_budget(0)


def test_the_table_in_memory_does_what_moto_does() -> None:
    with mock_aws():
        chance, known = random.Random(7), MemoryTable(dynamodb=_none, name="")  # noqa: S311
        tables: list[Table] = [known, make_table()]
        for table in tables:
            Slots(table).begin_month(MONTH, 10, {})
        for _ in range(60):
            number, claim = chance.randint(1, 8), chance.randint(1, 2)
            name, wants = f"job/{number}", chance.random() < 0.6
            held = Reservation(run=name, month=MONTH, micros=number * 5, claim=claim)
            for table in tables:
                slots = Slots(table)
                if wants:
                    slots.take(f"s{number % 4}", name, 3, MONTH, Ask(reservation=held, budget=60))
                else:
                    slots.give_back(f"s{number % 4}", name)
                    slots.settle(held, 3)
            assert tables[0].get("slots", "slots") == tables[1].get("slots", "slots")
