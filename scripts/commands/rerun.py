"""Start a run again as it was, through the deployed function: `parris rerun`."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from parris.jobs.parameters import read_parameters
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.commands.launch import send
from scripts.deployment.outputs import read_deployment
from scripts.deployment.runs import find_run


def main(argv: list[str]) -> int:
    """Let the launch function start a run again; what lies in the job's folder does not count."""
    options = parse("rerun", argv)
    parameters = dict(options.parameter)
    if problems := read_parameters(parameters)[1]:
        raise Refused("; ".join(problems))
    deployment = read_deployment()
    earlier = find_run(deployment, options.job or None, options.run or None)
    event: dict[str, Any] = {
        "job": earlier.job,
        "rerun": earlier.run_id,
        "event-id": options.event_id or str(uuid.uuid4()),
    }
    if not options.event_id:  # as with launch: the same id must mean the same run
        event["time"] = datetime.now(UTC).isoformat()
    if parameters:
        event["parameters"] = parameters
    return send(deployment, event, options)
