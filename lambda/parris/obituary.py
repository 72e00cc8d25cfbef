"""The outcome of a run whose machine left none, from what is left of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .machines import read_console
from .plan import iso
from .verdict import Ending, Machine

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_logs import CloudWatchLogsClient

log = logging.getLogger(__name__)

CONSOLE_BYTES = 4096
"""How much of a console's end is kept: its last screen or two."""

LAST_WORDS = "parris outcome: "
"""What agent.py prints before it stores its outcome, for the case that it cannot."""


@dataclass(frozen=True, kw_only=True)
class Obituary:
    """Where the last words of a run are found."""

    ec2: EC2Client
    logs: CloudWatchLogsClient

    def write(
        self, receipt: Mapping[str, Any], ending: Ending, machine: Machine | None, now: datetime
    ) -> dict[str, Any]:
        """Return an ``outcome.json`` (docs/contracts.md): the console's, if one was said."""
        console = self._console(machine)
        said = _last_words(console)
        since = (
            machine.launched
            if machine
            else datetime.fromisoformat(receipt.get("claimed", iso(now)))
        )
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
            "finished": iso(now),
            "trainer-seconds": None,
            "peak-memory-bytes": None,
            "bytes-stored": None,
            "cost-usd": None if ending.state == "launch-failed" else cost(receipt, since, now),
            "last-log-line": self._last_log_line(receipt),
            "console": console[-CONSOLE_BYTES:] or None,
            "warnings": [],
        }

    def _console(self, machine: Machine | None) -> str:
        if machine is None:
            return ""
        try:
            return read_console(self.ec2, machine.instance_id)
        except (ClientError, BotoCoreError):
            log.exception("the console of %s could not be read", machine.instance_id)
            return ""

    def _last_log_line(self, receipt: Mapping[str, Any]) -> str | None:
        if "log-group" not in receipt:
            return None
        try:
            events = self.logs.get_log_events(
                logGroupName=receipt["log-group"], logStreamName=receipt["log-stream"], limit=1
            )["events"]
        except (ClientError, BotoCoreError) as error:
            if "ResourceNotFound" not in str(error):
                log.exception("the log of run %s could not be read", receipt["run-id"])
            return None
        return events[-1]["message"].rstrip("\n") if events else None


def cost(receipt: Mapping[str, Any], since: datetime, until: datetime) -> float | None:
    """Return what a machine cost from `since` to `until`, in US dollars; None without a price.

    EC2 bills Linux instances by the second with a minimum of 60 s (EC2 user guide, "On-Demand
    Instances").
    """
    price = receipt.get("price")
    if not price:
        return None
    seconds = max(60, (until - since.astimezone(UTC)).total_seconds())
    return round(float(Decimal(price["hourly-usd"]) * Decimal(seconds) / 3600), 4)


def _last_words(console: str) -> dict[str, Any] | None:
    for line in reversed(console.splitlines()):
        _, found, text = line.partition(LAST_WORDS)
        if found:
            try:
                outcome: dict[str, Any] = json.loads(text)
            except ValueError:
                return None
            return outcome if isinstance(outcome, dict) and "state" in outcome else None
    return None
