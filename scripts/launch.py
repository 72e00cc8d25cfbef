"""Start a training through the deployed function: `make launch [JOB=x] [WAIT=1]`."""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from parris.request import DEFAULT_JOB
from scripts import console, stale
from scripts.console import Refused
from scripts.deployment import Deployment, read_deployment
from scripts.follow import follow
from scripts.which_cloud import hint


def main(argv: list[str]) -> int:
    """Invoke the launch function; with --wait, follow the run and exit with its result."""
    parser = argparse.ArgumentParser(prog="make launch", description=main.__doc__)
    parser.add_argument("--job", default=DEFAULT_JOB)
    parser.add_argument("--wait", action="store_true", help="follow state and log until the end")
    parser.add_argument("--json", action="store_true", help="print the function's answer as JSON")
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="for the trainer"
    )
    parser.add_argument("--event-id", help="launch at most once for this id")
    parser.add_argument(
        "--upload",
        choices=["0", "1", ""],
        default="",
        help="1: first upload what has changed in the job's folder; 0: never; default: ask",
    )
    options = parser.parse_args(argv)

    deployment = read_deployment()
    stale.settle(
        deployment,
        options.job or DEFAULT_JOB,
        {"": None, "0": False, "1": True}[options.upload],
        ask=sys.stdin.isatty() and sys.stdout.isatty() and not options.json,
    )
    event: dict[str, Any] = {
        "job": options.job or DEFAULT_JOB,
        "event-id": options.event_id or str(uuid.uuid4()),
    }
    if not options.event_id:
        # Only with an id of our own: the same id must mean the same run whenever it is sent.
        event["time"] = datetime.now(UTC).isoformat()
    if options.parameter:
        event["parameters"] = dict(_split(item) for item in options.parameter)
    answer = invoke(deployment, event)
    if options.json:
        console.print_json(answer)
    else:
        _print(answer)
    if not options.wait:
        if not options.json:
            print(
                hint(
                    f"follow it with make logs RUN={answer['run-id']} WAIT=1 or make status; "
                    f"its results come with make results RUN={answer['run-id']}"
                )
            )
        return 0
    try:
        return follow(deployment, answer["job"], answer["run-id"])
    except KeyboardInterrupt:
        again = hint(f"make logs RUN={answer['run-id']} WAIT=1")
        print(f"\nthe run goes on; {again} follows it again", file=sys.stderr)
        return 130


def invoke(deployment: Deployment, event: dict[str, Any]) -> dict[str, Any]:
    """Return the launch function's answer to `event`.

    Raises:
        Refused: with the function's own words, if it refused.
    """
    result = deployment.client("lambda").invoke(
        FunctionName=deployment.launch_function, Payload=json.dumps(event).encode()
    )
    answer: dict[str, Any] = json.loads(result["Payload"].read())
    if "FunctionError" in result:
        message = answer.get("errorMessage") or "no message; see make logs"
        raise Refused(f"job {event['job']} was not launched: {message}")
    return answer


def _print(answer: dict[str, Any]) -> None:
    if answer["duplicate"]:
        print(f"run {answer['run-id']} of job {answer['job']} was launched before; nothing new")
    else:
        print(f"run {answer['run-id']} of job {answer['job']} launched")
    print(f"  stack    {answer['stack-name']}")
    print(f"  deadline {answer['deadline']}")
    print(f"  cost     {cost_of(answer)}")
    for note in answer.get("notes", []):
        print(f"  note     {hint(note)}")


def cost_of(answer: Mapping[str, Any]) -> str:
    """Return what a launch's answer says of its price, an hour and at most."""
    if not answer.get("hourly-usd"):
        return "price unknown"
    return f"${answer['hourly-usd']} an hour, ${answer['most-usd']} at most, by its deadline"


def _split(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals:
        raise Refused(f"--parameter {item}: not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    console.run(main)
