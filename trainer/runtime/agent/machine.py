"""The machine: its metadata, its timer, its power."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import time
import urllib.request
from pathlib import Path

from .limits import NOLOGIN_MINUTES, ORDERLY_SECONDS
from .words import say

NOLOGIN = Path("/run/nologin")


def read_metadata(path: str) -> str:
    """Return what IMDSv2 says of this machine (EC2 user guide, "Use IMDSv2").

    Each read has a token of its own, so that none expires on a long run.

    Raises:
        METADATA_ERRORS: if it cannot be read; a 404, urllib's HTTPError, is an OSError too.
    """
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
    no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str, method: str, headers: dict[str, str]) -> str:
        request = urllib.request.Request(f"{base}/latest/{path}", headers=headers, method=method)
        with no_proxy.open(request, timeout=2) as response:
            text: str = response.read().decode()
        return text

    token = ask("api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return ask(f"meta-data/{path}", "GET", {"X-aws-ec2-metadata-token": token})


METADATA_ERRORS = (OSError, ValueError, http.client.HTTPException)


def read_identity(found: dict[str, str]) -> None:
    """Fill `found` with what EC2 calls this machine."""
    try:
        for key, path in (("instance-id",) * 2, ("instance-type",) * 2, ("image", "ami-id")):
            found[key] = read_metadata(path)
    except METADATA_ERRORS as error:
        say(f"could not read instance metadata: {error}")


def power_command(*command: str) -> bool:
    """Run shutdown(8) or poweroff(8), and return whether it accepted."""
    try:
        return subprocess.run(command, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"{command[0]}: {error}")
        return False


def arm_timer(home: Path, minutes: int) -> bool:
    """Let the machine go off by itself in `minutes`, and return whether that is sure.

    shutdown(8) puts the new time in place of the old one. Where user-data.sh had to replace it,
    its waiting process reads the second of uptime to go off at from a file.
    """
    armed = power_command("shutdown", "--poweroff", f"+{minutes}")
    if armed and minutes > NOLOGIN_MINUTES:
        # The timer that it replaced may have shut logins out. A cancellation would let them in too,
        # and leave no timer at all should the next order be refused.
        with contextlib.suppress(OSError):
            NOLOGIN.unlink()
    power_off_at = home / "power-off-at"
    if power_off_at.exists():
        new = power_off_at.with_suffix(".new")
        try:
            new.write_text(f"{time.clock_gettime(time.CLOCK_BOOTTIME) + minutes * 60:.0f}\n")
            new.replace(power_off_at)  # at no moment is it missing or cut short
        except OSError as error:
            say(f"{power_off_at.name}: {error.strerror}")
            return False
        return True
    return armed


def ask_systemd(*words: str) -> str:
    """Return what systemctl says, or nothing where there is none."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = ["systemctl", *words]
        return subprocess.run(command, check=False, timeout=10, capture_output=True).stdout.decode()
    return ""


def is_restarting() -> bool:
    """Whether the machine is on its way down to come up again (systemd.special(7))."""
    return "reboot.target" in ask_systemd("list-jobs", "--full", "--no-legend")


def power_off() -> None:
    """Power the machine off; its shutdown behaviour, terminate, does the rest.

    All that is to be kept is stored. The orderly way has ORDERLY_SECONDS: systemd would wait 90 s
    for any process that ignores its SIGTERM.
    """
    force_later()
    # In a shutdown logind takes no order any more, and a restart would go its way.
    stopping = "stopping" in ask_systemd("is-system-running")
    if stopping or not power_command("shutdown", "--poweroff", "now"):
        power_command("poweroff", "--force")


def force_later() -> None:
    """Let a process that a shutdown spares force the power off in ORDERLY_SECONDS.

    Its unit conflicts with no target (systemd.unit(5), DefaultDependencies=), so it is not stopped.
    A process whose name begins with @ is left alone when all others are killed at last (systemd's
    "Storage Daemons for the Root File System"). bash waits by itself: sleep would be killed.
    """
    force = (
        f"exec {{silence}}<> <(:); read -r -t {ORDERLY_SECONDS} -u $silence; "
        "timeout 5 sync; exec poweroff --force --force"
    )
    unit = ("--unit=parris-force", "--property=DefaultDependencies=no")
    path = f"--setenv=PATH={os.environ.get('PATH', '')}"
    exec_as = 'exec -a "@parris-force" bash -c "$0"'
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = ["systemd-run", "--quiet", *unit, path, "--", "bash", "-c", exec_as, force]
        subprocess.run(command, check=False, timeout=10, capture_output=True)
