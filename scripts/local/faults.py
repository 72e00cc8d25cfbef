"""Faults for a drill: what can go wrong on AWS, made to go wrong here.

``faults.json`` in the cloud's home is read whenever a fault could strike, so it may be written and
changed while the cloud runs; `write` does so, and ``down`` removes it::

    {
      "machines": {"<stack>": ["no-shutdown", "disk-full:64"], "*": ["no-endpoint"]},
      "scheduler": "down",
      "cloudformation": {"<stack>": "why its instance cannot be created"},
      "throttle": 3,
      "failing": {"part": 0.05, "roles": "parris-*"},
      "capacity": [{"instance-type": "g5.*", "market": "spot", "zone": "us-east-1a",
                    "error": "InsufficientInstanceCapacity", "times": 2}],
      "not-offered": {"p5.*": ["us-east-1c"]},
      "spot-usd": {"m5.large": "0.05", "g5.xlarge": {"us-east-1b": "0.30"}},
      "quotas": {"L-DB2E81BA": 0}
    }

Every key may be left out, and ``*`` is any stack. Faults of machines hold from the next boot on:

- ``no-shutdown``: shutdown, poweroff, halt, reboot and systemctl say that they do it, and do not.
- ``no-endpoint``: ``AWS_ENDPOINT_URL`` of the guest is a port where nobody listens. Metadata, which
  on EC2 needs no network either, still answers.
- ``no-sts``: the same for AWS STS alone, as in a subnet whose only way out is an endpoint for S3.
- ``user-data-dies``: the first line of user data after ``#!`` ends it with an error.
- ``disk-full[:KiB]``: the machine's files (PARRIS_HOME, HOME, TMPDIR) lie on a file system of so
  many KiB (1024 by default), where a write beyond them fails with ENOSPC as on any full disk. It is
  a tmpfs in a user namespace, so Linux only, and only where users may make one:
  `disk_can_be_full`. From outside its files are not seen.
- ``no-machine``: the instance runs and its metadata answers, but nothing boots: the hardware is
  somebody else's, as of a virtual machine's in ``make test-boot`` (no_machine.py).

``scheduler: down`` holds every schedule of EventBridge Scheduler back; one-time schedules that were
missed fire when it is lifted. ``throttle: N`` answers every N-th call of CloudFormation with
``Throttling``. ``failing`` lets so large a part of all calls fail that roles of these names make,
half of them after their effect, each with every retry of the next 20 seconds: HTTP status 500
without a body, which any client tries again (failing_calls.py).

``capacity`` is a list of rules, of which the first that fits refuses a launch with one of EC2's
errors (capacity.py). ``instance-type``, ``market``, ``zone`` and ``subnet`` are patterns as of a
shell, and what a rule leaves out is anything. ``times`` is how many launches it refuses, counted
since the file was written; without it, all. A launch that names neither zone nor subnet is refused
only where each zone refuses it. ``not-offered`` says in which zones a type cannot be had, and
``spot-usd`` what a spot machine costs an hour now, everywhere or in one zone. ``quotas`` is how
many vCPUs Service Quotas says of a quota, by its code; no launch is refused for it, which is what
``capacity`` does.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from scripts.local.capacity import REFUSALS
from scripts.local.guest_faults import DISK_KIB, MACHINE_FAULTS, NAMESPACE

__all__ = ["DISK_KIB", "MACHINE_FAULTS"]

_KEYS = {"machines", "scheduler", "cloudformation", "throttle", "failing"}
_KEYS |= {"capacity", "not-offered", "spot-usd", "quotas"}
_PATTERNS = ("instance-type", "market", "zone", "subnet")
_NAME = "faults.json"

logger = logging.getLogger("faults")
_home: Path | None = None
_struck: Counter[tuple[int, int]] = Counter()  # by when the file was written, and the rule's place


@dataclass(frozen=True, kw_only=True)
class CapacityRule:
    """A rule of ``capacity`` that fits a launch."""

    error: str
    place: tuple[int, int]


class UnknownFault(ValueError):
    """A fault that is none of those above."""


def write(home: Path, faults: Mapping[str, Any]) -> None:
    """Let these faults, and no others, strike the cloud in `home`.

    Raises:
        UnknownFault: for a key or a machine's fault that does not exist, or not on this system.
    """
    _check(faults)
    machines = (faults.get("machines") or {}).values()
    full = any(name.startswith("disk-full") for names in machines for name in names)
    if full and not disk_can_be_full():
        raise UnknownFault("no such fault here: disk-full needs user namespaces")
    temporary = home / f"{_NAME}.new"
    temporary.write_text(json.dumps(faults, indent=2) + "\n")
    temporary.replace(home / _NAME)  # a reader never sees half of it


def register(home: Path) -> None:
    """Read faults from `home`, and put the throttle before CloudFormation."""
    from ministack import app
    from ministack.services.cloudformation import helpers

    global _home
    _home = home
    handle = app.SERVICE_HANDLERS["cloudformation"]
    calls = itertools.count(1)

    async def throttled(*request: Any) -> Any:
        every = int(_read().get("throttle") or 0)
        if every and next(calls) % every == 0:
            return helpers._error("Throttling", "Rate exceeded", 400)
        return await handle(*request)

    app.SERVICE_HANDLERS["cloudformation"] = throttled


def failing() -> tuple[float, str]:
    """Return which part of all calls fails, and of which roles."""
    said = _read().get("failing") or {}
    return float(said.get("part", 0)), str(said.get("roles", "*"))


def of_machine(stack: str) -> list[str]:
    """Return the faults of the machines that `stack` boots."""
    machines = _read().get("machines") or {}
    return [*machines.get("*", []), *machines.get(stack, [])]


def of_creation(stack: str) -> str | None:
    """Return why an instance of `stack` cannot be created, or None."""
    reasons = _read().get("cloudformation") or {}
    reason = reasons.get(stack) or reasons.get("*")
    return str(reason) if reason else None


def scheduler_is_down() -> bool:
    """Return whether no schedule fires."""
    return bool(_read().get("scheduler") == "down")


def of_capacity(launch: Mapping[str, str]) -> CapacityRule | None:
    """Return the rule that refuses a launch, or None; `strike` counts that it did.

    Args:
        launch: what rules have patterns for, each with its value.
    """
    written = _written()
    for number, rule in enumerate(_read().get("capacity") or []):
        place = (written, number)
        spent = "times" in rule and _struck[place] >= rule["times"]
        if not spent and all(fnmatchcase(launch[n], rule.get(n, "*")) for n in _PATTERNS):
            return CapacityRule(error=rule["error"], place=place)
    return None


def strike(rule: CapacityRule) -> None:
    """Count that a rule has refused a launch."""
    _struck[rule.place] += 1


def is_offered(instance_type: str, zone: str) -> bool:
    """Return whether a type can be had in a zone at all."""
    missing = _read().get("not-offered") or {}
    return not any(fnmatchcase(instance_type, kind) and zone in missing[kind] for kind in missing)


def spot_usd(instance_type: str, zone: str) -> Decimal | None:
    """Return the spot price that a fault sets, or None."""
    said = (_read().get("spot-usd") or {}).get(instance_type)
    price = said.get(zone) if isinstance(said, Mapping) else said
    return None if price is None else Decimal(str(price))


def quota(code: str) -> int | None:
    """Return what a fault says that a quota is, or None."""
    said = (_read().get("quotas") or {}).get(code)
    return None if said is None else int(said)


def disk_can_be_full() -> bool:
    """Return whether ``disk-full`` works here."""
    if shutil.which(NAMESPACE[0]) is None:
        return False
    mount = ["sh", "-c", "mount -t tmpfs tmpfs /tmp"]
    return subprocess.run([*NAMESPACE, *mount], capture_output=True, check=False).returncode == 0


def _read() -> dict[str, Any]:
    if _home is None:
        return {}
    try:
        faults = json.loads((_home / _NAME).read_text())
        _check(faults)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        logger.error("%s is ignored: %s", os.fspath(_home / _NAME), error)
        return {}
    return dict(faults)


def _written() -> int:
    try:
        return (_home / _NAME).stat().st_mtime_ns if _home else 0
    except FileNotFoundError:
        return 0


def _check(faults: Mapping[str, Any]) -> None:
    if unknown := set(faults) - _KEYS:
        raise UnknownFault(f"no such faults: {', '.join(sorted(unknown))}")
    for stack, names in (faults.get("machines") or {}).items():
        for name in names:
            kind, _, size = name.partition(":")
            if kind not in MACHINE_FAULTS or (size and (kind != "disk-full" or not size.isdigit())):
                raise UnknownFault(f"{stack}: no such fault of a machine: {name}")
    for rule in faults.get("capacity") or []:
        _check_capacity(rule)
    if unknown := set(faults.get("failing") or {}) - {"part", "roles"}:
        raise UnknownFault(f"no such faults of calls: {', '.join(sorted(unknown))}")
    for code, vcpus in (faults.get("quotas") or {}).items():
        if type(vcpus) is not int or vcpus < 0:
            raise UnknownFault(f"{code}: no such faults' quota: {vcpus}")
    for kind, said in (faults.get("spot-usd") or {}).items():
        for price in said.values() if isinstance(said, Mapping) else [said]:
            _check_price(kind, price)


def _check_capacity(rule: Mapping[str, Any]) -> None:
    if unknown := set(rule) - {*_PATTERNS, "error", "times"}:
        raise UnknownFault(f"no such faults of capacity: {', '.join(sorted(unknown))}")
    if rule.get("error") not in REFUSALS:
        raise UnknownFault(f"no such fault of capacity: {rule.get('error')}")


def _check_price(kind: str, price: object) -> None:
    try:
        Decimal(str(price))
    except InvalidOperation as error:
        raise UnknownFault(f"{kind}: no such faults' price: {price}") from error
