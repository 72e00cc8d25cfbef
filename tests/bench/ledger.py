"""What sweeps and admissions cost, however many runs there are."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import boto3
from botocore.config import Config
from moto import mock_aws

from parris.aws.arrivals import Arrivals
from parris.aws.slots import Slots
from parris.aws.table import Table
from parris.launch.windows import settle
from parris.runs.names import KEEP_TAG
from parris.runs.times import iso
from scripts.local import cloud
from tests.bench.figures import Figure
from tests.ledger import make_table
from tests.plans import NOW, SETTINGS
from tests.reap_world import IMAGE, ROLE_ID
from tests.world import World

CALL_SECONDS = 0.03
LISTS = ("DescribeStacks", "DescribeInstances", "Query", "GetItem")
"""Calls of a sweep whose answer is of many runs; GetItem: of the deployment itself."""

AT_ONCE, LIMIT = 20, 3
ARRIVING_AT_ONCE = 200
"""As many as Lambda might run at once, each with a connection of its own."""

TEMPLATE = json.dumps({"Resources": {"H": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}})


def bench_sweep(live: int) -> Iterator[Figure]:
    """Measure a sweep over runs that are all under way, 30 ms a call.

    Each machine has said something new of how its run goes, as it does every minute. Pages of
    lists, which many runs share, are counted apart. The seconds hold moto's own time, which grows
    with the square of the runs.
    """
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    fresh = patch("parris.reap.progress.FRESH", timedelta.max)  # the test's clock is not S3's
    with patch.dict(os.environ, keys), fresh, mock_aws():
        world = World()
        world.reap()  # which takes in what a version without a ledger left: nothing
        machines = [_run_under_way(world, number, live) for number in range(live)]
        for number, machine in enumerate(machines):
            _say(world, number, machine, epoch=1)
        world.reap()
        for number, machine in enumerate(machines):
            _say(world, number, machine, epoch=2)
        calls: list[str] = []

        def wait(**_: Any) -> None:
            time.sleep(CALL_SECONDS)

        for client in world.clients:
            client.meta.events.register_first("before-send", wait)
            client.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
        began = time.perf_counter()
        world.reap()
        took = time.perf_counter() - began
        left = world.ledger.open_runs()[0]
    if any(run.metrics != {"epoch": 2} for run in left):
        raise SystemExit("error: a sweep did not note how runs go")
    if len(left) != live:
        raise SystemExit(f"error: {live - len(left)} of {live} runs were ended that are under way")
    pages = [name for name in calls if name in LISTS]
    what = f"sweep of {live} runs under way, each with news"
    yield Figure(what=f"{what}: calls a run", value=(len(calls) - len(pages)) / live, goal=2)
    yield Figure(what=f"{what}: pages of lists", value=len(pages), goal=10 + live // 20)
    yield Figure(what=f"{what}: 30 ms a call", value=took, unit="s", goal=60)


def _say(world: World, number: int, machine: str, epoch: int) -> None:
    prefix = f"runs/job-{number}/{_run_id(number)}/machines/{ROLE_ID}:{machine}/"
    body = json.dumps({"metrics": {"epoch": epoch}, "over": False}).encode()
    world.s3.put_object(Bucket="parris-results", Key=f"{prefix}metrics.json", Body=body)


def _run_id(number: int) -> str:
    return f"20261124-110000-{number:08x}"


def _run_under_way(world: World, number: int, live: int) -> str:
    """Make a run with its stack and machine, one of `live`; return the machine's id."""
    job, run_id = f"job-{number}", _run_id(number)
    deadline = iso(NOW + timedelta(hours=1))
    tags = {
        "parris:deployment": SETTINGS.deployment,
        "parris:job": job,
        "parris:run-id": run_id,
        "parris:deadline": deadline,
        KEEP_TAG: "never",
    }
    stack_id = world.cloudformation.create_stack(
        StackName=job,
        TemplateBody=TEMPLATE,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )["StackId"]
    known = {"job": job, "run-id": run_id, "state": "accepted", "deadline": deadline}
    receipt: Any = {**known, "stack-id": stack_id, "stack-name": job}
    world.ledger.adopt(job, run_id, receipt, None, NOW)
    Slots(world.table).take(job, f"{job}/{run_id}", live)
    named: Any = [{"Key": key, "Value": value} for key, value in tags.items()]
    [instance] = world.ec2.run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": named}],
    )["Instances"]
    return str(instance["InstanceId"])


@contextmanager
def a_table(home: Path) -> Iterator[Table]:
    """Give a ledger on an embedded cloud of its own, for as many callers at once as wish."""
    cloud.up(home, 0)
    try:
        with patch.dict(os.environ, cloud.local_environ(dict(os.environ), home)):
            config = Config(max_pool_connections=ARRIVING_AT_ONCE)
            # boto3's own session keeps the credentials of whoever asked it first.
            session = boto3.Session(region_name="us-east-1")
            client = session.client("dynamodb", config=config)
            yield make_table(client)
    finally:
        cloud.down(home)


def bench_slots(home: Path, rounds: int) -> Iterator[Figure]:
    """Let 20 ask for room at the same moment where 3 have it, again and again."""
    with a_table(home) as table:
        slots, wrong = Slots(table), 0
        ready = threading.Barrier(AT_ONCE)

        def ask(name: str) -> bool:
            ready.wait()
            return slots.take(name, f"job/{name}", LIMIT).granted

        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            for number in range(rounds):
                names = [f"{number}-{one}" for one in range(AT_ONCE)]
                granted = list(pool.map(ask, names))
                wrong += sum(granted) != LIMIT
                for name, held in zip(names, granted, strict=True):
                    if held:
                        slots.give_back(name, f"job/{name}")
    what = f"{AT_ONCE} at once against a limit of {LIMIT}, {rounds} times: not exactly {LIMIT}"
    yield Figure(what=what, value=wrong, goal=0)


def bench_arrivals(home: Path, count: int) -> Iterator[Figure]:
    """Let objects arrive at a data trigger, many at once, and count those that no window has."""
    with a_table(home) as table:
        began = time.perf_counter()
        windows, schedules = arrive(table, count)
        took = time.perf_counter() - began
        held = sum(Arrivals(table=table, now=NOW).close("fresh", name)[1] for name in windows)
    what = f"{count} arrivals, {ARRIVING_AT_ONCE} at once"
    yield Figure(what=f"{what}: lost", value=count - held, goal=0)
    yield Figure(what=f"{what}: windows", value=len(windows), goal=1)
    yield Figure(what=f"{what}: schedules made", value=schedules, goal=1)
    yield Figure(what=what, value=took, unit="s")


def arrive(table: Table, count: int) -> tuple[set[str], int]:
    """Let `count` objects arrive; return the windows that they are in, and the schedules made."""
    trigger = {"fresh": {"job": "default", "settle_seconds": 3600}}
    settings = replace(SETTINGS, data_triggers=trigger)
    scheduler = Mock()
    arrivals = Arrivals(table=table, now=NOW)

    def come(number: int) -> str:
        event = {"data-trigger": "fresh", "key": f"in/{number}", "version": "v", "time": iso(NOW)}
        event["sequencer"] = f"{number:016x}"
        answer = settle(event, settings, arrivals, lambda: scheduler, NOW)
        return str(answer["window"])

    with ThreadPoolExecutor(max_workers=ARRIVING_AT_ONCE) as pool:
        windows = set(pool.map(come, range(count)))
    return windows, scheduler.create_schedule.call_count
