"""What a machine has cost is for EC2 and S3's clock to say, not for the machine."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from parris.runs.bill import Bill, bill, needs_sign, with_end
from parris.runs.lifecycle import Machine
from parris.runs.times import iso
from tests.plans import NOW

HOUR = 60
GRACE = timedelta(minutes=15)


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def machine(state: str = "terminated", ended: float | None = None) -> Machine:
    given = None if ended is None else at(ended)
    return Machine(instance_id="i-1", state=state, reason="", launched=at(1), ended=given)


def billed(
    known: Machine | None, *, now: float = 5 * HOUR, sign: float | None = None, **more: Any
) -> Bill:
    """Return the bill of a machine at $60 an hour that was asked for at NOW, for two hours."""
    receipt: Any = {"claimed": iso(NOW), "deadline": iso(at(2 * HOUR))}
    receipt["price"] = {"hourly-usd": "60.0"}
    heard = None if sign is None else at(sign)
    return bill(receipt, known, now=at(now), grace=GRACE, sign=heard, **more)


def test_ec2_s_own_times_count() -> None:
    one = billed(machine(ended=31), sign=40)
    assert (one.began, one.ended, one.usd) == (at(1), at(31), 30.0)


@pytest.mark.parametrize("said", [0, 1e9, 0.01, None])
def test_what_a_machine_says_that_ec2_knows_moves_nothing(said: float | None) -> None:
    assert billed(machine(ended=31), said_usd=said).usd == 30.0
    assert billed(machine(), sign=29, said_usd=said).usd == 30.0
    assert billed(machine("running"), now=31, said_usd=said).usd == 30.0


def test_a_machine_that_runs_costs_until_now() -> None:
    assert billed(machine("running", ended=5), now=31, sign=3).usd == 30.0
    assert billed(machine("shutting-down"), now=31, sign=3).usd == 30.0


def test_a_late_sweep_books_no_longer_than_a_machine_was_heard_of() -> None:
    one = billed(machine(), sign=29)
    assert (one.ended, one.usd) == (at(31), 30.0)
    assert billed(machine(), now=30, sign=29).ended == at(30)


def test_a_late_sweep_books_no_longer_than_any_machine_may_run() -> None:
    assert billed(machine()).ended == at(2 * HOUR + 16)  # deadline, grace, and a late schedule
    assert billed(machine(), now=40).ended == at(40)


def test_a_time_from_before_it_began_is_of_another_clock() -> None:
    assert billed(machine(ended=0), now=40).ended == at(40)
    assert billed(machine(), now=40, sign=-5).ended == at(40)
    assert billed(machine(ended=50), now=40).ended == at(40)


def test_what_a_machine_says_that_ec2_knows_no_more_counts_within_bounds() -> None:
    assert billed(None, sign=29, said_usd=28).usd == 28
    assert billed(None, sign=29, said_usd=1e9).usd == 31.0  # from when it was asked for
    assert billed(None, sign=29, said_usd=0).usd == 24.0  # it came within five minutes
    assert billed(None, sign=29).usd == 31.0
    assert billed(None, said_usd=1e9).usd == 136.0  # it said nothing else: its deadline and grace


def test_a_machine_without_a_price_has_no_dollars() -> None:
    one = bill({"claimed": iso(NOW)}, machine(), now=at(9), grace=GRACE, sign=None, said_usd=5)
    assert (one.usd, one.ended) == (None, at(9))


def test_the_time_of_ec2_s_event_is_that_of_an_end_without_one() -> None:
    assert with_end(machine(), at(9)).ended == at(9)
    assert with_end(machine(ended=5), at(9)).ended == at(5)
    assert with_end(machine("running"), at(9)).ended is None
    assert needs_sign(with_end(machine(), None))
    assert not needs_sign(with_end(machine(), at(9)))
