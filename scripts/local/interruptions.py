"""A machine that is taken away: a spot interruption, with its notice, or a host that fails.

Stands in for what EC2 does by itself ("Spot Instance interruption notices" and "Instance
retirement", EC2 user guide; "StateReason", EC2 API reference). `ask` leaves a file in the machine's
directory, as a fault is a file in the cloud's home; the server looks for it.

- A spot machine with notice: ``spot/instance-action`` of its metadata and the event "EC2 Spot
  Instance Interruption Warning"; when the time is over it is terminated, as by TerminateInstances.
- A spot machine without: it is off at once, and nobody on it is asked. Notices are "emitted on a
  best effort basis".
- Any other machine: the same, and its reason is Server.InternalError, since EC2 documents no code
  for a host that fails under a running instance. EC2 gives no notice there.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

from ministack.core.responses import request_scope

from scripts.local import events, instances

LOOK_SECONDS = 0.25

_ASKED = "interruption.json"

logger = logging.getLogger("interruptions")


class NoSuchMachine(ValueError):
    """There is no machine of that id in the cloud."""


def ask(home: Path, instance_id: str, notice: int) -> None:
    """Let EC2 take away a machine of the cloud in `home`.

    Args:
        notice: seconds between the notice and the end; 0 for none.

    Raises:
        NoSuchMachine: if it has none of that id, or no more.
    """
    directory = home / "instances" / instance_id
    temporary = directory / f"{_ASKED}.new"
    try:
        temporary.write_text(json.dumps({"notice": notice}))
    except FileNotFoundError as error:
        raise NoSuchMachine(f"the embedded cloud has no machine {instance_id}") from error
    temporary.replace(directory / _ASKED)  # a reader never sees half of it


def register() -> None:
    """Look for machines to take away, for as long as the server runs."""
    threading.Thread(target=_watch, name="interruptions", daemon=True).start()


def _watch() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        for running in instances.running():
            notice = _asked(instances.directory(running.record["InstanceId"]))
            if notice is not None:
                threading.Thread(target=_interrupt, args=(running, notice), daemon=True).start()


def _asked(directory: Path) -> int | None:
    path = directory / _ASKED
    try:
        notice = int(json.loads(path.read_text())["notice"])
        path.unlink()
    except FileNotFoundError:  # as ever, or its disk has just been dropped
        return None
    except (ValueError, KeyError, TypeError) as error:
        logger.error("%s is ignored: %s", path, error)
        path.unlink(missing_ok=True)
        return None
    return notice


def _interrupt(running: instances.Running, notice: int) -> None:
    metadata = running.metadata
    with request_scope(metadata.account, metadata.region):
        if running.record.get("InstanceLifecycle") != "spot":
            instances.take(running.record, "Server.InternalError", "Internal error", 0)
            return
        if notice:
            _warn(running, notice)
            time.sleep(notice)
        grace = instances.TERMINATE_GRACE_SECONDS if notice else 0
        code = "Server.SpotInstanceTermination"
        instances.take(running.record, code, "Spot instance termination", grace)


def _warn(running: instances.Running, notice: int) -> None:
    """Give notice, on the machine and on the bus."""
    action = "terminate"
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + notice))
    said = json.dumps({"action": action, "time": until})
    running.metadata.notice.write_text(said)
    record: dict[str, Any] = running.record
    # "arn:aws:ec2:availability-zone:instance/instance-id. This format differs from the EC2
    # resource ARN format" (EC2 user guide, "Spot Instance interruption notices").
    identifier, zone = record["InstanceId"], record["Placement"]["AvailabilityZone"]
    detail = {"instance-id": identifier, "instance-action": action}
    arn = f"arn:aws:ec2:{zone}:instance/{identifier}"
    events.put("aws.ec2", "EC2 Spot Instance Interruption Warning", arn, detail)
