"""What AWS Lambda calls as the reap function: wiring only."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ..aws.clients import client
from ..aws.histories import Histories
from ..aws.ledger import Ledger
from ..aws.results import Results
from ..aws.table import Table
from ..aws.told import Told
from ..aws.topic import Notifier
from ..errors import ParrisError
from ..settings import ReapSettings, read_reap_settings
from .adopt import Adoption
from .between import Between
from .bills import Bills
from .dead_launches import DeadLaunches
from .early import EarlyStops
from .grids import GridReaper
from .launches import Launches
from .money import Money
from .open_runs import OpenRuns
from .progress import UnderWay
from .reconcile import Reaper
from .recorder import Recorder
from .relaunch import Relaunches
from .review import Review
from .sweep import Sweep

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

log = logging.getLogger("parris")
log.setLevel(logging.INFO)


def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Delete the stacks whose run is over, and give every run an outcome.

    Every failure is raised; another sweep comes, whatever it was.
    """
    settings, now = read_reap_settings(os.environ), datetime.now(UTC)
    storage = Results(s3=client("s3"), config_bucket="", results_bucket=settings.results_bucket)
    ledger = Ledger(Table(dynamodb=partial(client, "dynamodb"), name=settings.ledger_table))
    reaper = make_reaper(
        settings=settings,
        storage=storage,
        ledger=ledger,
        notifier=Notifier(
            sns=partial(client, "sns"),
            topic_arn=settings.topic_arn,
            told=Told(table=ledger.table, now=now),
        ),
        launches=Launches(
            functions=partial(client, "lambda"),
            logs=client("logs"),
            function_arn=settings.launch_function_arn,
            iot_log_group=settings.iot_log_group,
        ),
        cloudformation=client("cloudformation"),
        ec2=client("ec2"),
        now=now,
    )
    try:
        answer = reaper.reap(event)
    except ParrisError as error:
        log.error("reap: %s", error)
        raise
    log.info("reap: %s", json.dumps(answer))
    return answer


def make_reaper(
    *,
    settings: ReapSettings,
    storage: Results,
    ledger: Ledger,
    notifier: Notifier,
    launches: Launches,
    cloudformation: CloudFormationClient,
    ec2: EC2Client,
    now: datetime,
) -> Reaper:
    """Return one invocation of the reap function, with all that it consists of."""
    early = EarlyStops(histories=Histories(ledger.table), now=now)
    grids = GridReaper(
        ledger=ledger, storage=storage, launches=launches, notifier=notifier, early=early, now=now
    )
    bills = Bills(storage=storage, grace=settings.grace)
    recorder = Recorder(
        storage=storage,
        ledger=ledger,
        cloudformation=cloudformation,
        ec2=ec2,
        notifier=notifier,
        money=Money(
            ledger=ledger, notifier=notifier, now=now, budget_usd=settings.monthly_budget_usd
        ),
        grids=grids,
        bills=bills,
        now=now,
    )
    relaunches = Relaunches(
        ledger=ledger,
        storage=storage,
        cloudformation=cloudformation,
        ec2=ec2,
        notifier=notifier,
        launches=launches,
        bills=bills,
        now=now,
    )
    between = Between(
        ledger=ledger,
        cloudformation=cloudformation,
        recorder=recorder,
        relaunches=relaunches,
        now=now,
    )
    dead_launches = DeadLaunches(
        ledger=ledger,
        storage=storage,
        cloudformation=cloudformation,
        ec2=ec2,
        recorder=recorder,
        deployment=settings.deployment,
        now=now,
    )
    open_runs = OpenRuns(
        ledger=ledger,
        storage=storage,
        cloudformation=cloudformation,
        recorder=recorder,
        launches=launches,
        dead_launches=dead_launches,
        between=between,
        now=now,
    )
    sweep = Sweep(
        cloudformation=cloudformation,
        ec2=ec2,
        review=Review(
            cloudformation=cloudformation,
            recorder=recorder,
            relaunches=relaunches,
            settings=settings,
            now=now,
        ),
        open_runs=open_runs,
        under_way=UnderWay(storage=storage, ledger=ledger, early=early),
        adoption=Adoption(ledger=ledger, storage=storage, now=now),
        settings=settings,
        now=now,
    )
    return Reaper(
        cloudformation=cloudformation,
        ec2=ec2,
        recorder=recorder,
        launches=launches,
        between=between,
        sweep=sweep,
        settings=settings,
        now=now,
    )
