"""The machines of a run's ladder, each asked about: zones, price, quota."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

from parris.aws import instances
from parris.errors import PriceUnknown
from parris.jobs.retry import ON_DEMAND, SPOT
from parris.launch import prepare
from parris.runs.budget import Price
from parris.runs.ladder import Rung
from parris.runs.plan import RunPlan
from scripts.planning import quotas, rungs
from scripts.planning.quotas import Standing
from scripts.planning.reading import InstanceType, Reading, heard
from scripts.planning.rungs import Kind

_Priced = Price | PriceUnknown


def read_kinds(
    pool: Executor, reading: Reading, run: RunPlan, running: Future[Any], notes: list[str]
) -> tuple[list[Kind], Mapping[str, InstanceType]]:
    """Return the kinds of machine that would do, and what EC2 says of their types.

    Args:
        running: what `quotas.running` finds.
        notes: gets a line for what AWS does not let these credentials ask.
    """
    ec2, names = reading.ec2, run.config.instance_types
    found = rungs.kinds_of(run.ladder.rungs())
    typing = pool.submit(reading.instance_types, names)
    zoning = pool.submit(instances.subnet_zones, ec2, list(run.ladder.subnets))
    offering = pool.submit(instances.offered_zones, ec2, names)
    pricing = {rung: pool.submit(_price, reading, run, rung) for rung in _to_price(run, found)}
    standing = _standings(pool, reading, found, running, notes)
    types = heard(typing, "instance types", notes) or {}
    zones = heard(zoning, "subnets", notes)
    offers = heard(offering, "zones that have the types", notes)
    priced = {rung: price.result() for rung, price in pricing.items()}
    return [
        _kind(run, each, types, zones, offers, priced, standing.get(_code(each[0])))
        for each in found
    ], types


def _kind(
    run: RunPlan,
    each: tuple[Rung, ...],
    types: Mapping[str, InstanceType],
    zones: Mapping[str, str] | None,
    offers: set[tuple[str, str]] | None,
    priced: Mapping[Rung, _Priced],
    standing: Standing | None,
) -> Kind:
    rung, said = each[0], types.get(each[0].instance_type)
    where = None
    if zones is not None and offers is not None:
        where = rungs.zones_of(each, zones, offers)
    over, nodes = None, run.config.nodes
    if standing is not None and said is not None:
        what = f"{nodes} x {rung.instance_type}" if nodes > 1 else rung.instance_type
        over = quotas.refusal(what, nodes * said.vcpus, standing, run.region)
    offered = where is None or bool(where)
    refusal = over or ""
    if not offered:
        refusal = rungs.not_offered(rung.instance_type, zones or {}, run.region)
    price, dearest = priced[rung], priced[_dearest(run, rung)]
    return Kind(
        instance_type=rung.instance_type,
        market=rung.market,
        rungs=each,
        vcpus=nodes * said.vcpus if said else None,
        gpus=said.gpus if said else "",
        zones=where,
        price=price if isinstance(price, Price) else None,
        unpriced=str(price) if isinstance(price, PriceUnknown) else "",
        most_hourly_usd=dearest.hourly_usd if isinstance(dearest, Price) else None,
        standing=standing,
        refusal=refusal,
        cause=rungs.cause_of(rung.market, offered=offered, quota=over),
    )


def _to_price(run: RunPlan, found: list[tuple[Rung, ...]]) -> set[Rung]:
    firsts = [each[0] for each in found]
    return {*firsts, *(_dearest(run, rung) for rung in firsts)}


def _dearest(run: RunPlan, rung: Rung) -> Rung:
    """Return the rung whose price is the most that a machine of `rung` may cost.

    A spot machine costs the on-demand price at most, unless its request says less: that of a run
    with a budget does (EC2 user guide, "Spot Instances"; render.stack_parameters).
    """
    limited = run.budget_usd is not None
    return replace(rung, market=ON_DEMAND) if rung.market == SPOT and not limited else rung


def _price(reading: Reading, run: RunPlan, rung: Rung) -> _Priced:
    try:
        return prepare.read_price(replace(run, rung=rung), reading.clients)
    except PriceUnknown as error:
        return error


def _standings(
    pool: Executor,
    reading: Reading,
    found: list[tuple[Rung, ...]],
    running: Future[Any],
    notes: list[str],
) -> dict[str, Standing]:
    """Return the quotas that these machines count against, by code."""
    wanted = {
        quota.code: quota
        for each in found
        if (quota := quotas.quota_of(each[0].instance_type, each[0].market))
    }
    limiting = {
        code: pool.submit(quotas.read_limit, reading.quotas, quota)
        for code, quota in wanted.items()
    }
    counted = heard(running, "machines that run", notes)
    vcpus: Mapping[str, int] = {}
    if counted:
        others = pool.submit(reading.instance_types, quotas.types_in(counted, wanted))
        known = heard(others, "instance types", notes) or {}
        vcpus = {name: kind.vcpus for name, kind in known.items()}
    limits = {code: heard(limit, "quotas", notes) for code, limit in limiting.items()}
    return {
        code: Standing(quota=quota, limit=limits[code], used=quotas.used(counted, vcpus, quota))
        for code, quota in wanted.items()
        if limits[code] is not None and counted is not None
    }


def _code(rung: Rung) -> str:
    quota = quotas.quota_of(rung.instance_type, rung.market)
    return quota.code if quota else ""
