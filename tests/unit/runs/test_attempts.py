"""Whether a run gets another machine, and which: pure, for all that may happen to one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parris.contract import EndedBy, State
from parris.jobs.retry import CAUSES, ON_DEMAND, SPOT, Retry
from parris.launch.relaunch import _OverError, _within_budget
from parris.runs.attempt import Attempt, Next, read_attempts, read_next
from parris.runs.attempts import MOST, PAUSE, follow
from parris.runs.budget import Price
from parris.runs.ending import Ending
from parris.runs.ladder import Ladder, Rung
from parris.runs.record import read_record
from parris.runs.refusals import CAUSES as REFUSALS
from parris.runs.times import iso
from tests.plans import NOW, plan

LADDER = Ladder(
    instance_types=("g5.xlarge", "g4dn.xlarge"), markets=("spot", "on-demand"), subnets=("a", "b")
)
RUNGS = LADDER.rungs()
RETRY = Retry(on=CAUSES, attempts=20, max_wait_minutes=60)
LATER = NOW + timedelta(hours=10)
CLIENTS: Any = None
"""Of AWS: what asks for a price is in a test's own hands."""


def lost(number: int = 1, rung: Rung = RUNGS[0]) -> Attempt:
    return Attempt(
        number=number,
        rung=rung,
        began=iso(NOW),
        ended=iso(NOW),
        state=State.INTERRUPTED,
        reason="EC2 took the spot machine",
        ended_by=EndedBy.SPOT,
        hourly_usd="0.36",
        usd=0.1,
        instance_id=f"i-{number}",
        zone="us-east-1a",
        folder=f"A:i-{number}",
        refusal=None,
    )


def refused(number: int, rung: Rung, word: str = "capacity", minutes: float = 0) -> Attempt:
    at = iso(NOW + timedelta(minutes=minutes))
    return replace(
        lost(number, rung),
        began=at,
        ended=at,
        state=State.LAUNCH_FAILED,
        reason=f"no {word}",
        ended_by=EndedBy.CLOUDFORMATION,
        usd=0.0,
        instance_id=None,
        folder=None,
        refusal=word,
    )


def after(*attempts: Attempt, minutes: float = 0, retry: Retry = RETRY) -> Next | Ending:
    now = NOW + timedelta(minutes=minutes)
    return follow(attempts, retry=retry, rungs=RUNGS, exit_status=1, now=now, deadline=LATER)


def rung_after(*attempts: Attempt, minutes: float = 0) -> Rung:
    then = after(*attempts, minutes=minutes)
    assert isinstance(then, Next), then
    return then.rung


def test_a_machine_that_was_taken_is_followed_by_the_first_rung_at_once() -> None:
    assert after(lost(3, RUNGS[5])) == Next(number=4, rung=RUNGS[0], not_before=iso(NOW))


def test_refusals_go_down_the_ladder_and_each_rung_is_asked_for_once() -> None:
    attempts: list[Attempt] = []
    for number, rung in enumerate(RUNGS, 1):
        attempts.append(refused(number, rung))
        if number < len(RUNGS):
            assert rung_after(*attempts) == RUNGS[number]
    then = after(*attempts)
    assert then == Next(number=9, rung=RUNGS[0], not_before=iso(NOW + PAUSE))


def test_a_quota_of_spot_machines_goes_on_demand() -> None:
    assert rung_after(refused(1, RUNGS[0], "spot-quota")) == RUNGS[4]


def test_a_round_that_waited_begins_anew_and_remembers_nothing_of_the_last() -> None:
    one = [refused(number, rung) for number, rung in enumerate(RUNGS, 1)]
    assert rung_after(*one, refused(9, RUNGS[0], minutes=2), minutes=2) == RUNGS[1]


def test_waiting_has_an_end_and_the_end_names_each_rung_and_its_reason() -> None:
    attempts = [refused(number, rung) for number, rung in enumerate(RUNGS, 1)]
    attempts.append(refused(9, RUNGS[0], minutes=59))
    only = replace(RETRY, max_wait_minutes=60)
    tried = [refused(1, RUNGS[0]), refused(2, RUNGS[0], minutes=59)]
    then = follow(
        tried, retry=only, rungs=RUNGS[:1], exit_status=None, now=NOW + timedelta(minutes=59),
        deadline=LATER,
    )  # fmt: skip
    assert isinstance(then, Ending)
    assert then.state == State.LAUNCH_FAILED
    assert "refused all that would do for 59 minutes: g5.xlarge spot a (capacity)" in then.reason


def test_a_run_that_had_a_machine_is_interrupted_when_no_other_can_be_had() -> None:
    then = follow(
        [lost(), refused(2, RUNGS[0], "quota")],
        retry=RETRY,
        rungs=RUNGS[:1],
        exit_status=None,
        now=NOW,
        deadline=LATER,
    )
    assert isinstance(then, Ending)
    assert (then.state, "g5.xlarge spot a (quota)" in then.reason) == (State.INTERRUPTED, True)


def test_when_ec2_is_unwell_the_same_rung_waits() -> None:
    then = after(refused(1, RUNGS[2], "later"))
    assert then == Next(number=2, rung=RUNGS[2], not_before=iso(NOW + PAUSE))


def test_what_no_machine_would_cure_ends_the_run_at_once() -> None:
    then = after(refused(1, RUNGS[0], ""))
    assert then == Ending(state=State.LAUNCH_FAILED, reason="no ", ended_by=EndedBy.CLOUDFORMATION)


@pytest.mark.parametrize(("statuses", "goes_on"), [((), True), ((1, 75), True), ((75,), False)])
def test_a_failure_counts_by_its_exit_status(statuses: tuple[int, ...], goes_on: bool) -> None:
    failed = replace(lost(1, RUNGS[3]), state=State.FAILED, ended_by=EndedBy.TRAINER)
    then = after(failed, retry=replace(RETRY, exit_statuses=statuses))
    assert isinstance(then, Next) is goes_on
    if isinstance(then, Next):
        assert then.rung == RUNGS[3]


@pytest.mark.parametrize("ended_by", [EndedBy.SHUTDOWN, EndedBy.STOP, EndedBy.SOMEBODY])
def test_what_somebody_ended_stays_ended(ended_by: EndedBy) -> None:
    assert isinstance(after(replace(lost(), ended_by=ended_by)), Ending)


def test_what_is_written_is_read_as_it_was() -> None:
    attempts = (lost(), refused(2, RUNGS[3]))
    assert read_attempts(json.dumps([one.record() for one in attempts])) == attempts
    then = Next(number=3, rung=RUNGS[1], not_before=iso(NOW))
    assert read_next(json.dumps(then.record())) == then


events = st.one_of(st.just(None), st.sampled_from(sorted(REFUSALS)))


@given(st.lists(events, max_size=60), st.integers(0, 120))
def test_whatever_ec2_says_a_run_ends_in_time_and_no_machine_is_asked_for_twice_at_once(
    said: list[str | None], wait: int
) -> None:
    retry = replace(RETRY, max_wait_minutes=wait)
    attempts: list[Attempt] = []
    now, rung = NOW, RUNGS[0]
    waiting_since = now
    for number, word in enumerate(said, 1):
        minutes = (now - NOW).total_seconds() / 60
        one = lost(number, rung) if word is None else refused(number, rung, word)
        at = iso(NOW + timedelta(minutes=minutes))
        attempts.append(replace(one, began=at, ended=at))
        then = follow(attempts, retry=retry, rungs=RUNGS, exit_status=None, now=now, deadline=LATER)
        if isinstance(then, Ending):
            break
        assert then.number == number + 1
        assert sum(one.refusal is None for one in attempts) < retry.attempts
        if word is None:
            waiting_since = now
        asked = now
        now = max(now, NOW.fromisoformat(then.not_before))
        assert now - waiting_since <= timedelta(minutes=wait)
        if word is not None and now == asked:
            assert then.rung != rung
        rung = then.rung
    else:
        assert sum(word is None for word in said) < retry.attempts


def test_what_ec2_refused_is_no_machine_that_the_run_has_had() -> None:
    """Twelve spot rungs are refused, two more than it may have machines; then comes on-demand."""
    subnets = [f"subnet-{letter}" for letter in "abcdef"]
    kinds = ["g5.xlarge", "g4dn.xlarge"]
    rungs = Ladder(instance_types=kinds, markets=[SPOT, ON_DEMAND], subnets=subnets).rungs()
    attempts: list[Attempt] = []
    rung = rungs[0]
    retry = replace(RETRY, attempts=10)
    for number in range(1, 1 + 2 * len(rungs)):
        attempts.append(refused(number, rung, "capacity"))
        then = follow(attempts, retry=retry, rungs=rungs, exit_status=None, now=NOW, deadline=LATER)
        if isinstance(then, Ending) or then.not_before > iso(NOW):
            break
        rung = then.rung
    asked = [attempt.rung for attempt in attempts]
    assert retry.attempts < len(asked) == len(set(asked)) == len(rungs)
    assert {one.market for one in asked} == {SPOT, ON_DEMAND}


def test_a_run_asks_no_more_often_than_its_record_holds() -> None:
    attempts = [refused(number, RUNGS[0]) for number in range(1, 1 + MOST)]
    then = after(*attempts, retry=replace(RETRY, max_wait_minutes=1440))
    assert isinstance(then, Ending)
    assert "EC2 refused all that would do" in then.reason


GRACE_MINUTES = 15
"""How long after its deadline the last of the three layers has ended a machine (grace_minutes)."""


@given(
    st.decimals(Decimal("0.5"), Decimal(50), places=2),
    st.lists(
        st.tuples(
            st.decimals(Decimal("0.05"), Decimal(40), places=2),
            st.floats(0.1, 600),
            st.floats(0, 60),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_all_machines_together_never_cost_more_than_the_limit_and_one_grace(
    limit: Decimal, machines: list[tuple[Decimal, float, float]]
) -> None:
    whole = plan(json.dumps({"termination-method": "around-cost", "cost-limit": float(limit)}))
    record = read_record({"pk": "run#default", "sk": "r", "state": "x", "lease": NOW.isoformat()})
    spent, now = Decimal(0), NOW
    attempts: list[Attempt] = []
    for number, (hourly, would_run, waits) in enumerate(machines, 1):
        price = Price(parts={"instance": hourly}, source="", read=now, spot=True)
        with mock.patch("parris.launch.prepare.read_price", return_value=price):
            known = replace(record, attempts=tuple(attempts), reason="taken")
            try:
                planned = _within_budget(whole, known, CLIENTS, now)
            except _OverError:
                break
        assert planned.deadline <= whole.deadline  # it never moves back
        ran = min(would_run, planned.limit_minutes + GRACE_MINUTES)
        usd = hourly * Decimal(str(ran)) / 60
        spent += usd
        attempts.append(replace(lost(number), usd=round(float(usd), 4)))
        now += timedelta(minutes=ran + waits)
    dearest = max(hourly for hourly, _, _ in machines)
    assert spent <= limit + dearest * GRACE_MINUTES / 60 + Decimal("0.001")
