"""EC2 instances that really run: from pending to terminated.

Stands in for what StartInstances, StopInstances, TerminateInstances and a power-off from within do
with an instance ("Instance lifecycle" and "Change instance initiated shutdown behavior", EC2 user
guide). The record of an instance stays MiniStack's; this adds what it leaves out and the machine.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ministack.core.concurrency import spawn_background
from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2

from scripts.local import boot, events, faults
from scripts.local.imds import MetadataServer

TERMINATE_GRACE_SECONDS = 10.0
"""How long a guest may take to end when it is terminated through the API. EC2 gives it minutes;
here somebody waits, and ten seconds are enough for a last upload on loopback."""

STOP_GRACE_SECONDS = 120.0
"""The same for StopInstances: more than the guest's own 90 s, so that those decide."""

_SHOWN_SECONDS = 3600
_STATES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}


@dataclass(frozen=True, kw_only=True)
class Running:
    """An instance with a machine that is on."""

    record: dict[str, Any]
    machine: boot.Machine
    metadata: MetadataServer


_running: dict[str, Running] = {}
_lock = threading.RLock()
_home = Path()
_endpoint = ""


def register(home: Path, endpoint: str) -> None:
    """Say where machines live and which endpoint they call."""
    global _home, _endpoint
    _home, _endpoint = home, endpoint


def directory(instance_id: str) -> Path:
    """Return the directory of an instance's machine."""
    return _home / "instances" / instance_id


def is_ours(instance_id: str) -> bool:
    """Return whether an instance has, or had, a machine."""
    return directory(instance_id).is_dir()


def start(record: dict[str, Any]) -> None:
    """Start a stopped instance; its user data does not run again."""
    set_state(record, "pending")
    power_on(record, None)


def end(record: dict[str, Any], transition: str, final: str, grace: float) -> None:
    """Begin to stop or terminate an instance and return at once.

    Args:
        transition: ``stopping`` or ``shutting-down``.
        final: ``stopped`` or ``terminated``.
        grace: seconds its processes get to end by themselves.
    """
    with _lock:
        if record["State"]["Name"] in (transition, final, "terminated"):
            return
        running = _running.get(record["InstanceId"])
        now = time.strftime("%Y-%m-%d %H:%M:%S GMT", time.gmtime())
        record["StateTransitionReason"] = f"User initiated ({now})"
        _give_reason(record, "Client.UserInitiatedShutdown", "User initiated shutdown")
        set_state(record, transition)
        if running is None:
            _settle(record, final)
    if running is not None:
        running.machine.press_power_button(grace)


def running() -> list[Running]:
    """Return the instances whose machine is on."""
    with _lock:
        return list(_running.values())


def take(record: dict[str, Any], code: str, message: str, grace: float) -> None:
    """Terminate a running instance for a reason of EC2's own, and return at once.

    Args:
        code: as StateReason has it, which StateTransitionReason then says too.
        grace: seconds its processes get to end by themselves; with 0 none of them is asked, as
            when the host fails.
    """
    with _lock:
        running = _running.get(record["InstanceId"])
        if running is None or record["State"]["Name"] != "running":
            return
        record["StateTransitionReason"] = code
        _give_reason(record, code, message)
        set_state(record, "shutting-down")
    running.machine.press_power_button(grace)


def wait_until_off(instance_id: str, seconds: float) -> bool:
    """Wait for an instance's machine to be off; return whether it is."""
    with _lock:
        running = _running.get(instance_id)
    return running is None or running.machine.off.wait(seconds)


def kill_all() -> None:
    """Kill every machine at once: the cloud is going down, and what they upload with it."""
    for each in running():
        each.machine.press_power_button(0)
    for instance_id in list(_running):
        wait_until_off(instance_id, 10)


def set_state(record: dict[str, Any], name: str) -> None:
    """Put an instance into a state and tell the event bus."""
    record["State"] = {"Code": _STATES[name], "Name": name}
    events.instance_state(record["InstanceId"], name)


def power_on(record: dict[str, Any], user_data: bytes | None) -> None:
    """Give an instance a machine and boot it; `user_data` runs at the first boot only."""
    instance_id = record["InstanceId"]
    with _lock:  # whoever ends it meanwhile finds a machine to switch off
        notice = directory(instance_id) / "spot-notice.json"
        metadata = MetadataServer(record, get_account_id(), get_region(), notice)
        try:
            machine = boot.start(
                instance_id,
                directory(instance_id),
                user_data=user_data,
                metadata_endpoint=metadata.url,
                endpoint=_endpoint,
                faults=faults.of_machine(_stack_of(instance_id)),
            )
        except OSError:
            metadata.close()
            _give_reason(record, "Server.InternalError", "Internal error on launch")
            _settle(record, "terminated")
            raise
        _running[instance_id] = Running(record=record, machine=machine, metadata=metadata)
        set_state(record, "running")
    spawn_background(_follow, record, thread_name=f"machine-{instance_id}")


def _stack_of(instance_id: str) -> str:
    tags = {tag["Key"]: tag["Value"] for tag in ec2._tags.get(instance_id) or []}
    return str(tags.get("aws:cloudformation:stack-name", ""))


def _follow(record: dict[str, Any]) -> None:
    """Wait until a machine is off, then give its instance the state that follows."""
    running = _running[record["InstanceId"]]
    running.machine.wait_until_off()
    running.metadata.close()
    with _lock:
        if record["State"]["Name"] == "running":  # the guest powered itself off
            record["StateTransitionReason"] = ""
            reason = "Instance initiated shutdown"
            _give_reason(record, "Client.InstanceInitiatedShutdown", reason)
            terminates = record["InstanceInitiatedShutdownBehavior"] == "terminate"
            set_state(record, "shutting-down" if terminates else "stopping")
    if record["State"]["Name"] == "shutting-down":
        running.machine.drop_disk()  # outside the lock: it may be large
    with _lock:
        del _running[record["InstanceId"]]
        ends = record["State"]["Name"] == "shutting-down"
        _settle(record, "terminated" if ends else "stopped")
    running.machine.off.set()


def _settle(record: dict[str, Any], final: str) -> None:
    if final == "terminated":
        for mapping in record["BlockDeviceMappings"]:
            if mapping["Ebs"]["DeleteOnTermination"]:
                ec2._volumes.pop(mapping["Ebs"]["VolumeId"], None)
        record["BlockDeviceMappings"] = []
        # EC2 shows it for about an hour more; MiniStack forgets it a minute after this time.
        record["_terminated_at"] = time.time() + _SHOWN_SECONDS - 60
    set_state(record, final)


def _give_reason(record: dict[str, Any], code: str, message: str) -> None:
    record["StateReason"] = {"Code": code, "Message": f"{code}: {message}"}
