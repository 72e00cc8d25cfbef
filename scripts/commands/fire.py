"""Set a trigger off as its own source would: `parris fire`."""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from parris.contract import State
from parris.errors import meant
from parris.events.request import DEFAULT_JOB, JOB_NAME
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.cli.which_cloud import hint, is_local
from scripts.commands.launch import follow_hint, follow_to_the_end
from scripts.deployment.fired import Fired, Heard, Listener, job_of
from scripts.deployment.interruption import check_cloud, interrupt
from scripts.deployment.outputs import Deployment, make_client, read_deployment
from scripts.deployment.several import pick_run_to_change

CLICKS = ("SINGLE", "DOUBLE", "LONG")
INTERRUPTION = "interruption"
"""The one kind that starts no run but meets one that is under way."""

SCHEDULER_SECONDS = 120
"""How long a run may take to begin after its window: EventBridge Scheduler invokes within a minute
of a schedule's time (its user guide, "Schedule types"), and the function has to launch it."""

_SAID = {
    "status": "the click told the newest runs' states to the notification topic",
    "stop": "the click asked the job's runs to stop; make status shows them",
}
"""What a click did that launches nothing."""


def main(argv: list[str]) -> int:
    """Set a trigger off, and say what comes of it; with --wait, follow its run to the end."""
    options = parse("fire", argv)
    if not options.trigger:
        raise Refused(
            f"TRIGGER is missing, one of {', '.join((*TRIGGERS, INTERRUPTION))}, "
            "e.g. make fire TRIGGER=button CLICK=DOUBLE"
        )
    if options.trigger == INTERRUPTION:
        return fire_interruption(options)
    deployment = read_deployment()
    job = job_of(deployment, options.trigger, options.name, options.job)
    listener = Listener(deployment, job)
    fired = TRIGGERS[options.trigger](deployment, options)
    print(fired.did, flush=True)
    heard = None if fired.later and not options.wait else listener.listen(fired)
    print(hint(_told(fired, heard, listened=options.wait or not fired.later)))
    run = (heard.receipt if heard else None) or {}
    answer = {"trigger": options.trigger, "did": fired.did}
    answer |= {key: run.get(key) for key in ("job", "run-id", "state", "reason")}
    status = 1 if options.wait and heard is None else 0
    if run and options.wait:
        status, ended = follow_to_the_end(deployment, run["job"], run["run-id"])
        answer |= ended
    elif run:
        print(follow_hint(run["run-id"]))
    if options.json:
        console.print_json(answer)
    return status


def fire_interruption(options: argparse.Namespace) -> int:
    """Take a run's machine away as EC2 does, and say so; with --wait, follow the run to its end."""
    check_cloud()
    deployment = read_deployment()
    run = pick_run_to_change(
        deployment, options.job or None, options.run or None, "make fire TRIGGER=interruption"
    )
    did = interrupt(deployment, run, options.notice)
    print(did, flush=True)
    status = 0
    answer = {"trigger": INTERRUPTION, "did": did, "job": run.job, "run-id": run.run_id}
    answer |= {"state": run.state, "reason": run.reason}
    if options.wait:
        status, ended = follow_to_the_end(deployment, run.job, run.run_id)
        answer |= ended
    else:
        print(follow_hint(run.run_id))
    if options.json:
        console.print_json(answer)
    return status


def _told(fired: Fired, heard: Heard | None, *, listened: bool) -> str:
    if heard is None and not listened:
        return f"its run begins {fired.later}; WAIT=1 waits for it"
    if heard is None:
        return (
            f"nothing was heard of it within {fired.seconds:.0f} s; make status and the "
            "notifications tell if something comes yet"
        )
    if heard.receipt is None:
        return _SAID[heard.action]
    run = f"run {heard.receipt['run-id']} of job {heard.receipt['job']}"
    if heard.receipt["state"] in (State.SKIPPED, State.QUEUED):
        return f"{run} is {heard.receipt['state']}: {heard.receipt['reason']}"
    return f"{run} launched"


def fire_button(deployment: Deployment, options: argparse.Namespace) -> Fired:
    """Publish a click as an AWS IoT button does."""
    click, serial = options.click or "SINGLE", options.serial or "make-fire"
    if click not in CLICKS:
        raise Refused(f"CLICK={click} is not one of {', '.join(CLICKS)}")
    press = {"serialNumber": serial, "batteryVoltage": "1512mV", "clickType": click}
    topic = _topic(deployment.iot_topic, serial, "iot_topic")
    _publish(deployment, topic, json.dumps(press))
    did = f"published a {click} click of button {topic.rpartition('/')[2]} to {topic}"
    return Fired(did=did, names={"topic": topic})


def fire_device(deployment: Deployment, options: argparse.Namespace) -> Fired:
    """Publish a message as any device does, good or bad."""
    job = options.job or DEFAULT_JOB
    if not JOB_NAME.fullmatch(job):
        raise Refused(f"JOB={job} cannot be part of a topic; give a job's name")
    topic = _topic(deployment.launch_topic, job, "launch_topic")
    payload = options.payload or "{}"
    _publish(deployment, topic, payload)
    return Fired(did=f"published {payload} to {topic}", names={"topic": topic})


def fire_schedule(deployment: Deployment, options: argparse.Namespace) -> Fired:
    """Send what the schedule's rule would, since EventBridge fires no rule on demand."""
    if options.name not in deployment.schedules:
        raise Refused(_unknown("schedule", options.name, deployment.schedules))
    # What an earlier version applied does not say it.
    rule = deployment.schedules[options.name].get("rule", f"{deployment.deployment}-{options.name}")
    [target] = deployment.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    event = fill(target["InputTransformer"]["InputTemplate"], datetime.now(UTC))
    deployment.client("lambda").invoke(
        FunctionName=deployment.launch_function,
        InvocationType="Event",
        Payload=json.dumps(event).encode(),
    )
    did = f"sent the event of schedule {options.name} to {deployment.launch_function}"
    return Fired(did=did, names={"event-id": event["event-id"]})


def fill(template: str, now: datetime) -> dict[str, Any]:
    """Return a schedule's event: its input template with an id and a time of this moment."""
    values = {"<id>": str(uuid.uuid4()), "<time>": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    for placeholder, value in values.items():
        template = template.replace(placeholder, json.dumps(value))
    event: dict[str, Any] = json.loads(template)
    return event


def fire_data(deployment: Deployment, options: argparse.Namespace) -> Fired:
    """Put a file where a data trigger looks, or renew the object that is there."""
    name = options.name or _whose(options.key, deployment.data_triggers)
    if name not in deployment.data_triggers:
        raise Refused(_unknown("data trigger", name, deployment.data_triggers))
    bucket, prefix = (str(deployment.data_triggers[name][key]) for key in ("bucket", "prefix"))
    if not options.key.startswith(prefix) or not options.key:
        raise Refused(f"KEY={options.key} does not begin with {prefix!r}, as trigger {name} wants")
    settle = int(deployment.data_triggers[name]["settle_seconds"])
    fired = partial(
        Fired,
        names={"data-trigger": name},
        seconds=settle + SCHEDULER_SECONDS,
        later=f"{settle} s after the first of the objects that come together, or a minute later",
    )
    s3 = deployment.client("s3")
    try:
        told = s3.get_bucket_notification_configuration(Bucket=bucket)
        if "EventBridgeConfiguration" not in told:
            raise Refused(
                f"s3://{bucket} does not tell EventBridge of its objects; "
                f"make bucket NAME={bucket} lets it"
            )
        if options.file:
            s3.upload_file(str(_file(options.file)), bucket, options.key)
            did = f"put {options.file} to s3://{bucket}/{options.key} (trigger {name})"
            return fired(did=did)
        # An object may be copied onto itself if something changes (S3 API, CopyObject).
        s3.copy_object(
            Bucket=bucket,
            Key=options.key,
            CopySource={"Bucket": bucket, "Key": options.key},
            MetadataDirective="REPLACE",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchBucket", "404"):
            raise
        raise Refused(
            f"there is no s3://{bucket}/{options.key}; FILE=path puts a file there, and "
            f"make bucket NAME={bucket} makes the bucket"
        ) from error
    return fired(did=f"renewed s3://{bucket}/{options.key} (trigger {name})")


TRIGGERS = {
    "button": fire_button,
    "device": fire_device,
    "schedule": fire_schedule,
    "data": fire_data,
}


def _topic(pattern: str | None, name: str, variable: str) -> str:
    if pattern is None:
        raise Refused(f"{variable} is null, so nothing listens; give it a topic and apply")
    return pattern.replace("+", name)


def _publish(deployment: Deployment, topic: str, payload: str) -> None:
    endpoint = None
    if not is_local():  # AWS_ENDPOINT_URL says where an embedded cloud is
        found = deployment.client("iot").describe_endpoint(endpointType="iot:Data-ATS")
        endpoint = f"https://{found['endpointAddress']}"
    client = make_client("iot-data", deployment.region, endpoint)
    client.publish(topic=topic, qos=1, payload=payload.encode())


def _whose(key: str, triggers: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the one trigger that looks where `key` is."""
    found = [name for name, each in triggers.items() if key.startswith(str(each["prefix"]))]
    if len(found) > 1:
        raise Refused(f"KEY={key} belongs to triggers {', '.join(sorted(found))}; give NAME=…")
    return found[0] if found else ""


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise Refused(f"FILE={text} is not a file")
    return path


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> str:
    if not known:
        return f"this deployment has no {what}; add one to terraform.tfvars, then make deploy"
    listed = ", ".join(sorted(known))
    if not name:
        return f"NAME= is missing, a {what} of this deployment: {listed}"
    return f"NAME={name} is no {what} of this deployment: {listed}{meant(name, known)}"
