"""What AWS Lambda calls as the launch function: wiring only."""

from __future__ import annotations

import gc

# Until the first answer: importing and reading service models makes a great many objects that
# stay, and the collector would look through all of them again and again (about 50 ms).
gc.disable()

import functools
import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.clients import BRIEFLY, client
from ..aws.prices import price_region
from ..aws.storage import Storage
from ..errors import ParrisError
from ..settings import Settings, read_settings
from . import launch
from .prepare import Clients, Machine

log = logging.getLogger("parris")
log.setLevel(logging.INFO)


def handle(event: object, context: Any) -> Mapping[str, Any]:
    """Start the training that `event` asks for and return the answer.

    Every failure is raised, so that Lambda records it and, for an asynchronous event, sends it
    to the failure topic.
    """
    try:
        settings = _settings()
        answer = launch.launch(
            event,
            context.aws_request_id,
            settings=settings,
            clients=Clients(
                storage=_storage,
                dynamodb=partial(client, "dynamodb"),
                cloudformation=partial(client, "cloudformation"),
                ssm=partial(client, "ssm"),
                pricing=lambda: client("pricing", price_region(settings.region), BRIEFLY),
                ec2=partial(client, "ec2"),
                sns=partial(client, "sns"),
                scheduler=partial(client, "scheduler"),
                functions=partial(client, "lambda"),
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


# A warm function keeps what the last event made.


@functools.cache
def _settings() -> Settings:
    return read_settings(os.environ)


@functools.cache
def _storage() -> Storage:
    settings = _settings()
    return Storage(
        s3=client("s3"),
        config_bucket=settings.config_bucket,
        results_bucket=settings.results_bucket,
    )


@functools.cache
def _machine() -> Machine:
    """Read the packaged files; the zip keeps the repository's own folders."""
    here = Path(__file__).resolve()
    root = next(up for up in here.parents if (up / "cloudformation").is_dir())
    return Machine(
        template=(root / "cloudformation/training-stack.yaml").read_text(),
        user_data=(root / "trainer/runtime/user-data.sh").read_text(),
    )
