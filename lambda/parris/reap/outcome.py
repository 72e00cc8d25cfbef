"""The outcome of a run whose machine left none, from what is left of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.instances import read_console
from ..contract import State
from ..runs.bill import Bill
from ..runs.ending import Ending
from ..runs.lifecycle import Machine
from ..runs.outcome import read_outcome
from ..runs.times import iso

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from ..runs.documents import Outcome, Receipt


log = logging.getLogger(__name__)

CONSOLE_BYTES = 4096
"""How much of a console is kept: a screen or two."""

_TELLING = ("parris", "cloud-init", "Out of memory", "Kernel panic")
"""Whose lines say most about a run; the others are a boot's and a shutdown's."""

LAST_WORDS = "parris outcome: "
"""What the agent prints before it stores its outcome, for the case that it cannot."""


def outcome_from_outside(
    ec2: EC2Client,
    receipt: Receipt,
    ending: Ending,
    machine: Machine | None,
    bill: Bill,
) -> Outcome:
    """Return the ``outcome.json`` (docs/contracts.md) of a run whose machine stored none.

    It is the one that the machine printed on its console, if it did, else `ending`.
    """
    console = _console(ec2, machine)
    said = _last_words(console, str(receipt["job"]), str(receipt["run-id"]))
    if said is not None:
        warning = "the machine could not store this outcome; it was read from its console"
        return {**said, "warnings": [*said.get("warnings", []), warning]}
    return {
        "run-id": receipt["run-id"],
        "job": receipt["job"],
        "state": ending.state,
        "reason": ending.reason,
        "ended-by": ending.ended_by,
        "exit-status": None,
        "instance-id": machine.instance_id if machine else None,
        "instance-type": receipt.get("instance-type"),
        "image": receipt.get("image"),
        "booted": iso(machine.launched) if machine else None,
        "started": None,
        "finished": iso(bill.ended),
        "trainer-seconds": None,
        "peak-memory-bytes": None,
        "bytes-stored": None,
        "cost-usd": None if ending.state == State.LAUNCH_FAILED and not machine else bill.usd,
        "console": excerpt(console) or None,
        "warnings": [],
        "parris-version": receipt.get("parris-version"),
    }


def _console(ec2: EC2Client, machine: Machine | None) -> str:
    if machine is None:
        return ""
    try:
        return read_console(ec2, machine.instance_id)
    except (ClientError, BotoCoreError):
        log.exception("the console of %s could not be read", machine.instance_id)
        return ""


def excerpt(console: str) -> str:
    """Return a console cut to CONSOLE_BYTES: its telling lines, then the last of the others."""
    telling: list[str] = []
    others: list[str] = []
    for line in console.splitlines():
        (telling if any(word in line for word in _TELLING) else others).append(line)
    first = "\n".join(telling)[-CONSOLE_BYTES:]
    room = CONSOLE_BYTES - len(first) - 1
    rest = "\n".join(others)[-room:] if room > 0 else ""
    return "\n".join(filter(None, (first, rest)))


def _last_words(console: str, job: str, run_id: str) -> Outcome | None:
    """Return the outcome that was printed last, if it is one: a trainer can print there too."""
    for line in reversed(console.splitlines()):
        _, found, text = line.partition(LAST_WORDS)
        if found:
            return read_outcome(text.encode(), job, run_id, by_machine=True)[0]
    return None
