"""What AWS Lambda calls as the reap function: wiring only."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ..aws.clients import client
from ..aws.storage import Storage
from ..aws.topic import Notifier
from ..errors import ParrisError
from ..settings import read_reap_settings
from .launches import Launches
from .reconcile import Reaper
from .recorder import Recorder

log = logging.getLogger("parris")
log.setLevel(logging.INFO)


def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Delete the stacks whose run is over, and give every run an outcome.

    Every failure is raised; another sweep comes, whatever it was.
    """
    settings, now = read_reap_settings(os.environ), datetime.now(UTC)
    storage = Storage(s3=client("s3"), config_bucket="", results_bucket=settings.results_bucket)
    cloudformation, ec2 = client("cloudformation"), client("ec2")
    notifier = Notifier(sns=partial(client, "sns"), topic_arn=settings.topic_arn, storage=storage)
    reaper = Reaper(
        storage=storage,
        cloudformation=cloudformation,
        ec2=ec2,
        recorder=Recorder(
            storage=storage, cloudformation=cloudformation, ec2=ec2, notifier=notifier, now=now
        ),
        launches=Launches(
            functions=partial(client, "lambda"),
            logs=client("logs"),
            function_arn=settings.launch_function_arn,
            iot_log_group=settings.iot_log_group,
        ),
        settings=settings,
        now=now,
    )
    try:
        answer = reaper.reap(event)
    except ParrisError as error:
        log.error("reap: %s", error)
        raise
    log.info("reap: %s", json.dumps(answer))
    return answer
