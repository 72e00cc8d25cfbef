"""The power commands and systemd-run, as an instance of the embedded cloud finds them on its PATH.

Standard library only and run by path: a small sh script per command calls
``python commands.py <initctl> <command> <arguments>``. Each checks its arguments as the real one
does (shutdown(8), poweroff(8), systemd-run(1)) and writes one line of JSON to the instance's init.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import sys
from pathlib import Path

_VALUED_RUN_OPTIONS = {"-p", "-u", "-E", "--property", "--unit", "--setenv", "--description"}
_VALUED_RUN_OPTIONS |= {"--slice", "--service-type", "--uid", "--gid", "--nice"}
_VALUED_RUN_OPTIONS |= {"--working-directory"}
_UNKNOWN_RUN_OPTIONS = {"--scope", "--user", "--pty", "-t", "--wait", "--pipe", "-P"}


class Refused(Exception):
    """An argument the real command refuses; the text is what it prints."""


def shutdown(arguments: list[str], now: datetime.datetime) -> dict[str, object]:
    """Return the order for shutdown(8): power off now or later, or cancel that."""
    times = []
    for argument in arguments:
        if argument in ("-c",):
            return {"do": "cancel"}
        if argument in ("-r", "--reboot"):
            raise Refused("Instances of the embedded cloud cannot reboot.")
        if argument in ("-h", "-P", "-H", "-k", "--poweroff", "--halt", "--no-wall"):
            continue
        if argument.startswith("-"):
            raise Refused(f"shutdown: unrecognized option '{argument}'")
        times.append(argument)
    when = times[0] if times else "+1"  # what follows the time is a message for the logged-in
    if when in ("now", "+0", "0"):
        return {"do": "poweroff"}
    if match := re.fullmatch(r"\+?(\d+)", when):
        return {"do": "schedule", "seconds": int(match[1]) * 60}
    if (match := re.fullmatch(r"(\d{1,2}):(\d\d)", when)) and int(match[1]) < 24:
        at = now.replace(hour=int(match[1]), minute=int(match[2]) % 60, second=0, microsecond=0)
        if at <= now:
            at += datetime.timedelta(days=1)
        return {"do": "schedule", "seconds": (at - now).total_seconds()}
    raise Refused(f"Failed to parse time specification: {when}")


def poweroff(arguments: list[str]) -> dict[str, object]:
    """Return the order for poweroff(8) and halt(8), which take options only."""
    force = False
    for argument in arguments:
        if argument in ("-f", "--force", "-ff"):
            force = True
        elif argument == "--reboot":
            raise Refused("Instances of the embedded cloud cannot reboot.")
        elif not argument.startswith("-"):
            raise Refused("Too many arguments.")  # "poweroff now" is one of these
    return {"do": "poweroff", "force": force}


def systemctl(arguments: list[str]) -> dict[str, object]:
    """Return the order for systemctl(1), as far as a machine without systemd can obey.

    A unit that is enabled waits for the next boot, and an instance here boots but once; no job is
    ever under way, as far as it can tell.
    """
    verbs = [argument for argument in arguments if not argument.startswith("-")]
    if verbs[:1] == ["enable"] or verbs in (["list-jobs"], ["is-system-running"]):
        return {"do": "nothing"}
    if verbs not in (["poweroff"], ["halt"]):
        raise Refused(f"systemctl of the embedded cloud does not know {' '.join(verbs)}.")
    return poweroff([argument for argument in arguments if argument.startswith("-")])


def systemd_run(arguments: list[str], environment: dict[str, str]) -> dict[str, object]:
    """Return the order for systemd-run(1): a transient service, in the service manager's own
    environment and not the caller's (``--setenv NAME`` passes one variable on)."""
    unit, setenv, properties = f"run-u{os.getpid()}", {}, {}
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option, given, value = rest.pop(0).partition("=")
        if option == "--":
            break
        if option in _UNKNOWN_RUN_OPTIONS or option.startswith("--on-"):
            raise Refused(f"systemd-run of the embedded cloud does not know {option}.")
        if not given and option in _VALUED_RUN_OPTIONS:
            value = rest.pop(0) if rest else ""
        if option in ("-u", "--unit"):
            unit = value
        elif option in ("-p", "--property"):
            key, _, text = value.partition("=")
            properties[key] = text
        elif option == "--working-directory":
            properties["WorkingDirectory"] = value
        elif option in ("-E", "--setenv"):
            name, given, text = value.partition("=")
            setenv[name] = text if given else environment.get(name, "")
    if not rest:
        raise Refused("Command line to execute required.")
    program = shutil.which(rest[0])
    if program is None:
        raise Refused(f"Failed to find executable {rest[0]}: No such file or directory")
    unit = unit if unit.endswith(".service") else f"{unit}.service"
    return {
        "do": "run",
        "unit": unit,
        "argv": [program, *rest[1:]],
        "setenv": setenv,
        "properties": properties,
    }


def main(argv: list[str]) -> int:
    """Check one command and pass its order on to the instance's init."""
    initctl, command, arguments = Path(argv[0]), argv[1], argv[2:]
    now = datetime.datetime.now().astimezone()
    try:
        if command == "shutdown":
            order = shutdown(arguments, now)
        elif command == "systemd-run":
            order = systemd_run(arguments, dict(os.environ))
        elif command == "systemctl":
            order = systemctl(arguments)
        elif command == "reboot":
            raise Refused("Instances of the embedded cloud cannot reboot.")
        else:
            order = poweroff(arguments)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    try:
        descriptor = os.open(initctl, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        print(f"Failed to talk to init daemon: {error.strerror}", file=sys.stderr)
        return 1
    os.set_blocking(descriptor, True)  # only the opening must not wait for a reader
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(json.dumps(order).encode() + b"\n")
    if order["do"] == "schedule":
        at = now + datetime.timedelta(seconds=float(str(order["seconds"])))
        print(
            f"Shutdown scheduled for {at:%a %Y-%m-%d %H:%M:%S %Z}, use 'shutdown -c' to cancel.",
            file=sys.stderr,
        )
    elif order["do"] == "run":
        print(f"Running as unit: {order['unit']}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
