"""Which machine a run would begin with, and what it may cost at most."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from parris.jobs.retry import Retry
from parris.runs.budget import Price
from parris.runs.ladder import Ladder
from parris.runs.refusals import NOT_OFFERED, QUOTA, SPOT_QUOTA, Cause
from scripts.planning import rungs
from scripts.planning.rungs import Kind

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LADDER = Ladder(
    instance_types=["g5.xlarge", "g5.2xlarge", "t3.large"],
    markets=["spot", "on-demand"],
    subnets=["subnet-a", "subnet-b"],
)
RETRY = Retry(on=("interruption", "capacity"), attempts=5)


def kinds(**causes: Cause) -> list[Kind]:
    """Return the ladder's kinds; `causes` by market and type, ``spot_g5``, says what is refused."""
    found = []
    for each in rungs.kinds_of(LADDER.rungs()):
        rung = each[0]
        name = f"{rung.market.replace('-', '_')}_{rung.instance_type.partition('.')[0]}"
        cause = causes.get(name)
        found.append(
            Kind(
                instance_type=rung.instance_type,
                market=rung.market,
                rungs=each,
                vcpus=4,
                gpus="",
                zones=("a",),
                price=price("0.10"),
                unpriced="",
                most_hourly_usd=Decimal("0.30" if rung.market == "spot" else "0.20"),
                standing=None,
                refusal="why" if cause else "",
                cause=cause,
            )
        )
    return found


def price(usd: str) -> Price:
    return Price(parts={"instance": Decimal(usd)}, source="", read=NOW, spot=False)


def named(kind: Kind | None) -> str | None:
    return f"{kind.market} {kind.instance_type}" if kind else None


def test_kinds_are_the_ladders_rungs_without_their_places() -> None:
    found = rungs.kinds_of(LADDER.rungs())
    assert [(each[0].market, each[0].instance_type) for each in found] == [
        *(("spot", kind) for kind in LADDER.instance_types),
        *(("on-demand", kind) for kind in LADDER.instance_types),
    ]
    assert [rung.subnet_id for rung in found[0]] == ["subnet-a", "subnet-b"]


@pytest.mark.parametrize(
    ("causes", "first"),
    [
        ({}, "spot g5.xlarge"),
        ({"spot_g5": SPOT_QUOTA}, "on-demand g5.xlarge"),
        ({"spot_g5": NOT_OFFERED, "on_demand_g5": NOT_OFFERED}, "spot t3.large"),
        ({"spot_g5": SPOT_QUOTA, "on_demand_g5": QUOTA}, "on-demand t3.large"),
        (
            {"spot_g5": SPOT_QUOTA, "on_demand_g5": QUOTA, "on_demand_t3": QUOTA},
            None,
        ),
    ],
)
def test_a_run_begins_where_the_reap_function_would_come_to(
    causes: dict[str, Cause], first: str | None
) -> None:
    assert named(rungs.starts_on(kinds(**causes), RETRY)) == first


def test_a_run_that_may_not_go_down_the_ladder_begins_at_its_top_or_not_at_all() -> None:
    for retry in (Retry(on=(), attempts=5), Retry(on=("interruption",), attempts=5)):
        assert rungs.starts_on(kinds(spot_g5=SPOT_QUOTA), retry) is None
        assert named(rungs.starts_on(kinds(), retry)) == "spot g5.xlarge"


def test_zones_are_those_of_its_subnets_that_have_the_type() -> None:
    [each, *_] = rungs.kinds_of(LADDER.rungs())
    zones = {"subnet-a": "eu-west-1a", "subnet-b": "eu-west-1b", "subnet-c": "eu-west-1c"}
    offers = {("g5.xlarge", "eu-west-1b"), ("g5.xlarge", "eu-west-1c"), ("t3.large", "eu-west-1a")}
    assert rungs.zones_of(each, zones, offers) == ("eu-west-1b",)
    anywhere = Ladder(instance_types=["g5.xlarge"], markets=["spot"], subnets=[]).rungs()
    assert rungs.zones_of(anywhere, zones, offers) == ("eu-west-1b", "eu-west-1c")
    assert "no default VPC" in rungs.not_offered("g5.xlarge", {}, "eu-west-1")
    assert "eu-west-1a, eu-west-1b" in rungs.not_offered(
        "g5.xlarge", {"subnet-a": "eu-west-1a", "subnet-b": "eu-west-1b"}, "eu-west-1"
    )


def test_the_worst_case_is_the_dearest_that_it_may_come_to_and_never_over_the_budget() -> None:
    over = NOW + timedelta(hours=10)
    every = kinds()
    assert rungs.worst_usd(every, NOW, over, None) == Decimal("3.0000")
    assert rungs.worst_usd([every[-1]], NOW, over, None) == Decimal("2.0000")
    assert rungs.worst_usd(every, NOW, over, Decimal("1.5")) == Decimal("1.5000")
    assert rungs.worst_usd([], NOW, over, None) is None
    first, retry = every[0], RETRY
    assert rungs.reachable(every, first, retry) == every
    assert rungs.reachable(every, first, Retry(on=(), attempts=5)) == [first]
    assert first not in rungs.reachable(kinds(spot_g5=SPOT_QUOTA), every[3], retry)


@pytest.mark.parametrize(
    ("market", "offered", "quota", "cause"),
    [
        ("spot", True, None, None),
        ("spot", True, "too few", SPOT_QUOTA),
        ("on-demand", True, "too few", QUOTA),
        ("on-demand", False, "too few", NOT_OFFERED),
    ],
)
def test_a_refusal_says_as_much_of_other_rungs_as_ec2s_own(
    market: str, offered: bool, quota: str | None, cause: Cause | None
) -> None:
    assert rungs.cause_of(market, offered=offered, quota=quota) is cause
