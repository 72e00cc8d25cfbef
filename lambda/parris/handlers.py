"""What AWS Lambda calls: wiring only."""

from __future__ import annotations

import functools
import json
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .errors import ParrisError
from .launch import Clients, Machine
from .launch import launch as launch_training
from .settings import read_settings
from .storage import Storage

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ssm import SSMClient

log = logging.getLogger("parris")
log.setLevel(logging.INFO)

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=15,
    retries={"mode": "standard", "max_attempts": 4},
    max_pool_connections=16,
)


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
            clients=Clients(storage=_storage, cloudformation=_cloudformation, ssm=_ssm),
            machine=_machine(),
            now=datetime.now(UTC),
        )
    except ParrisError as error:
        log.error("launch refused: %s", error)
        raise
    except (ClientError, BotoCoreError) as error:
        log.error("launch failed: %s", error)
        raise
    log.info("launched: %s", json.dumps(answer))
    return answer


# A warm function keeps what the last event made: clients hold connections worth keeping.

_making = threading.Lock()


def _client(service: Any) -> Any:
    # boto3's default session is not for two threads at once (boto3 guide, "Multithreading").
    with _making:
        return boto3.client(service, config=_CONFIG)


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
def _machine() -> Machine:
    """Read the packaged files; the zip keeps the repository's own folders."""
    here = Path(__file__).resolve()
    root = next(up for up in here.parents if (up / "cloudformation").is_dir())
    return Machine(
        template=(root / "cloudformation/training-stack.yaml").read_text(),
        user_data=(root / "trainer/runtime/user-data.sh").read_text(),
        agent=(root / "trainer/runtime/agent.py").read_text(),
    )
