"""Start a training through the deployed function: `parris launch`."""

from __future__ import annotations

import json
import sys
import uuid
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from parris.errors import InvalidConfig, meant
from parris.events.request import DEFAULT_JOB, LAST
from parris.jobs.config import CONFIG_FILENAME, read_config
from parris.jobs.parameters import read_parameters, unknown_names
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.cli.which_cloud import hint
from scripts.deployment.follow import follow
from scripts.deployment.outputs import Deployment, read_deployment
from scripts.deployment.runs import find_run
from scripts.jobs import stale
from scripts.jobs.jobs import job_folders
from scripts.planning.summary import summary

if TYPE_CHECKING:
    from parris.runs.documents import Answer


def main(argv: list[str]) -> int:
    """Invoke the launch function; with --wait, follow the run and exit with its result."""
    options = parse("launch", argv)

    job, resume, deployment = options.job or DEFAULT_JOB, options.resume, None
    if resume and resume != LAST:
        deployment = read_deployment()
        earlier = find_run(deployment, options.job or None, resume)
        job, resume = earlier.job, earlier.run_id
    refuse_unknown(job, dict(options.parameter))
    deployment = deployment or read_deployment()
    stale.settle(
        deployment,
        job,
        {"": None, "0": False, "1": True}[options.upload],
        ask=sys.stdin.isatty() and sys.stdout.isatty() and not options.json,
    )
    event: dict[str, Any] = {
        "job": job,
        "event-id": options.event_id or str(uuid.uuid4()),
    }
    if not options.event_id:
        # Only with an id of our own: the same id must mean the same run whenever it is sent.
        event["time"] = datetime.now(UTC).isoformat()
    if resume:
        event["resume"] = resume
    if options.parameter:
        event["parameters"] = dict(options.parameter)
    return send(deployment, event, options)


def send(deployment: Deployment, event: dict[str, Any], options: Namespace) -> int:
    """Send an event that launches, show what came of it, and follow it with --wait."""
    answer = invoke(deployment, event)
    if "grid" in answer:  # the job has a grid.json
        from scripts.deployment import show_grid

        return show_grid.send_off(deployment, answer, wait=options.wait, as_json=options.json)
    show(answer)
    status, ended = 0, dict[str, Any]()
    if options.wait:
        status, ended = follow_to_the_end(deployment, answer["job"], answer["run-id"])
    else:
        print(follow_hint(answer["run-id"]))
    if options.json:
        console.print_json({**answer, **ended})
    return status


def refuse_unknown(job: str, parameters: Mapping[str, str]) -> None:
    """Refuse parameters that the job, as it lies here, does not have; its folder may be elsewhere.

    What counts is the uploaded job, which the launch function reads; this one is only quicker.

    Raises:
        Refused: naming each.
    """
    folder = job_folders().get(job)
    problems = read_parameters(parameters)[1]
    try:
        path = folder / CONFIG_FILENAME if folder else None
        known = read_config(path.read_bytes(), str(path)).parameters if path else None
    except (OSError, InvalidConfig):
        known = None
    if known is not None:
        problems += unknown_names(parameters, known, job)
    if problems:
        raise Refused("; ".join(problems))


def follow_hint(run_id: str) -> str:
    """Return what to type to see how a run goes on."""
    return hint(
        f"follow it with make logs RUN={run_id} WAIT=1 or make status; "
        f"its results come with make results RUN={run_id}"
    )


def follow_to_the_end(deployment: Deployment, job: str, run_id: str) -> tuple[int, dict[str, Any]]:
    """Follow a run that was just started; return the exit status and how it ended, if it did."""
    try:
        status = follow(deployment, job, run_id)
    except KeyboardInterrupt:
        again = hint(f"make logs RUN={run_id} WAIT=1")
        print(f"\nthe run goes on; {again} follows it again", file=sys.stderr)
        return 130, {}
    run = find_run(deployment, job, run_id)
    return status, {"state": run.state, "reason": run.reason, "outcome": run.outcome}


def invoke(deployment: Deployment, event: dict[str, Any]) -> Answer:
    """Return the launch function's answer to `event`.

    Raises:
        Refused: with the function's own words, if it refused.
    """
    result = deployment.client("lambda").invoke(
        FunctionName=deployment.launch_function, Payload=json.dumps(event).encode()
    )
    said: Any = json.loads(result["Payload"].read())
    if "FunctionError" in result:
        message = said.get("errorMessage") or "no message; see make logs"
        if f"has no {CONFIG_FILENAME}" in message:
            message = _nowhere(event["job"]) or message
        if said.get("errorType") == "LaunchUnclear":  # a machine may run
            raise Refused(f"job {event['job']} may have been launched: {message}")
        raise Refused(f"job {event['job']} was not launched: {message}")
    answer: Answer = said
    return answer


def _nowhere(job: str) -> str:
    """Return that there is no such job, given that the bucket has none; nothing if it lies here."""
    here = job_folders()
    if job in here:
        return ""
    question = meant(job, here) or f"; jobs: {', '.join(here)}"
    return f"there is no job of that name, neither in the bucket nor in this clone{question}"


def show(answer: Answer) -> None:
    """Print a launch's answer: run, stack, deadline, cost and notes."""
    if answer["duplicate"]:
        print(f"run {answer['run-id']} of job {answer['job']} was launched before; nothing new")
    else:
        print(f"run {answer['run-id']} of job {answer['job']} launched")
    print(f"  stack    {answer['stack-name']}")
    print(f"  plan     {plan_of(answer)}")
    if resumed := answer.get("resumes"):
        print(f"  resumes  {resumed}, with its checkpoints")
    if earlier := answer.get("rerun-of"):
        print(f"  again    {earlier}: its files, parameters, image and machine")
    for note in answer.get("notes", []):
        print(f"  note     {hint(note)}")


def plan_of(answer: Answer) -> str:
    """Return the last line of the run's plan, from a launch's answer.

    Of a duplicate whose first launch is under way it may be unknown.
    """
    return summary(
        answer,
        answer.get("instance-type") or "machine",
        answer.get("market") or "unknown",
        answer["deadline"] or "a deadline that is not set yet",
    )
