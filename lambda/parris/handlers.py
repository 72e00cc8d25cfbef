"""What AWS Lambda calls: wiring only."""

from __future__ import annotations

import gc

# Until the first answer: importing and reading service models makes a great many objects that
# stay, and the collector would look through all of them again and again (about 50 ms).
gc.disable()

import functools
import json
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from .aws.prices import price_region
from .aws.storage import Storage
from .errors import ParrisError
from .launch.launch import Clients, Machine
from .launch.launch import launch as launch_training
from .settings import read_reap_settings, read_settings

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient

log = logging.getLogger("parris")
log.setLevel(logging.INFO)

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=15,
    retries={"mode": "standard", "max_attempts": 4},
    max_pool_connections=16,
)

_BRIEFLY = _CONFIG.merge(
    Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 3})
)
"""For what a launch can do without: a price list that nobody can reach must not outlast it."""


def launch(event: object, context: Any) -> dict[str, Any]:
    """Start the training that `event` asks for and return the answer.

    Every failure is raised, so that Lambda records it and, for an asynchronous event, sends it
    to the failure topic.
    """
    try:
        answer = launch_training(
            event,
            context.aws_request_id,
            settings=_settings(),
            clients=Clients(
                storage=_storage,
                cloudformation=_cloudformation,
                ssm=_ssm,
                pricing=_pricing,
                ec2=_ec2,
                sns=_sns,
                scheduler=lambda: _client("scheduler"),
            ),
            machine=_machine(),
            now=datetime.now(UTC),
        )
    except ParrisError as error:
        log.error("launch refused: %s", error)
        raise
    except (ClientError, BotoCoreError) as error:
        log.error("launch failed: %s", error)
        raise
    finally:
        gc.freeze()  # what stays need never be looked at again
        gc.enable()
    log.info("launched: %s", json.dumps(answer))
    return answer


def reap(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Delete the stacks whose run is over, and give every run an outcome.

    Every failure is raised; another sweep comes, whatever it was.
    """
    # A launch does without these; its zip does not hold them.
    from .aws.topic import Notifier
    from .reap.launches import Launches
    from .reap.reconcile import Reaper
    from .reap.recorder import Recorder

    settings = read_reap_settings(os.environ)
    storage = Storage(s3=_client("s3"), config_bucket="", results_bucket=settings.results_bucket)
    logs, now = _client("logs"), datetime.now(UTC)
    try:
        answer = Reaper(
            storage=storage,
            cloudformation=_cloudformation(),
            ec2=_ec2(),
            recorder=Recorder(
                storage=storage,
                cloudformation=_cloudformation(),
                ec2=_ec2(),
                notifier=Notifier(sns=_sns, topic_arn=settings.topic_arn, storage=storage),
                now=now,
            ),
            launches=Launches(
                functions=lambda: _client("lambda"),
                logs=logs,
                function_arn=settings.launch_function_arn,
                iot_log_group=settings.iot_log_group,
            ),
            settings=settings,
            now=now,
        ).reap(event)
    except ParrisError as error:
        log.error("reap: %s", error)
        raise
    log.info("reap: %s", json.dumps(answer))
    return answer


# A warm function keeps what the last event made: clients hold connections worth keeping.

_making = threading.Lock()


@functools.cache
def _session() -> Any:
    # botocore is the core of boto3; what boto3 adds, resources and transfers, is not used here
    # and costs a cold start about 60 ms.
    return get_session()


def _client(service: str, region: str | None = None, config: Config = _CONFIG) -> Any:
    # A session is not for two threads at once (boto3 guide, "Multithreading").
    with _making:
        return _session().create_client(service, region_name=region, config=config)


@functools.cache
def _settings() -> Any:
    return read_settings(os.environ)


@functools.cache
def _storage() -> Storage:
    settings = _settings()
    return Storage(
        s3=_client("s3"),
        config_bucket=settings.config_bucket,
        results_bucket=settings.results_bucket,
    )


@functools.cache
def _cloudformation() -> CloudFormationClient:
    client: CloudFormationClient = _client("cloudformation")
    return client


@functools.cache
def _ssm() -> SSMClient:
    client: SSMClient = _client("ssm")
    return client


@functools.cache
def _ec2() -> EC2Client:
    client: EC2Client = _client("ec2")
    return client


@functools.cache
def _sns() -> SNSClient:
    client: SNSClient = _client("sns")
    return client


@functools.cache
def _pricing() -> PricingClient:
    client: PricingClient = _client("pricing", price_region(_settings().region), _BRIEFLY)
    return client


@functools.cache
def _machine() -> Machine:
    """Read the packaged files; the zip keeps the repository's own folders."""
    here = Path(__file__).resolve()
    root = next(up for up in here.parents if (up / "cloudformation").is_dir())
    return Machine(
        template=(root / "cloudformation/training-stack.yaml").read_text(),
        user_data=(root / "trainer/runtime/user-data.sh").read_text(),
    )
