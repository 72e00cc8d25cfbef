"""The embedded cloud as a background process: one per home directory, found again by its record."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.local import aws_command, boot, processes

REPOSITORY = Path(__file__).resolve().parents[2]
REGION = "us-east-1"

_HEALTHY_SECONDS = 60.0
_STOP_SECONDS = 15.0


class CloudError(Exception):
    """What a person has to know when the cloud cannot start, stop or be found; one line."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A running embedded cloud, as ``cloud.json`` in its home describes it."""

    pid: int
    port: int
    endpoint: str
    region: str
    started: str
    """ISO 8601, UTC."""
    process_started: str
    """The server's start as the operating system counts it: with `pid`, one process for good."""

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return processes.started(self.pid) == self.process_started


def recorded(home: Path) -> Cloud | None:
    try:
        return Cloud(**json.loads((home / "cloud.json").read_text()))
    except (OSError, ValueError, TypeError):  # none, or half written by a dying `up`
        return None


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Keep two of `up` and `down` from working in one home at once."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Listen on a port of 127.0.0.1, before there is a server, so that nobody else can take it."""
    if not 0 <= port <= 65535:
        raise CloudError(f"port {port} is not one of 0 to 65535; 0 takes a free one")
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen()
        except OSError as error:
            other = port + 11 if port <= 65000 else port - 11
            raise CloudError(
                f"port {port} is not free ({error.strerror}); take another: LOCAL_PORT={other}"
            ) from error
        yield listening


def spawn(home: Path, listening: socket.socket) -> Cloud:
    """Start the server on a bound socket and record it at once, so that `down` can find it."""
    port = listening.getsockname()[1]
    descriptor = listening.fileno()
    with (home / "cloud.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "scripts.local.server", str(home), str(descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            pass_fds=[descriptor],
            start_new_session=True,
        )
    server.returncode = 0  # a daemon from here on: not this process's to wait for
    cloud = Cloud(
        pid=server.pid,
        port=port,
        endpoint=f"http://127.0.0.1:{port}",
        region=REGION,
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        process_started=processes.started(server.pid) or "",
    )
    (home / "cloud.json").write_text(json.dumps(asdict(cloud), indent=2) + "\n")
    return cloud


def wait_until_healthy(home: Path, cloud: Cloud) -> None:
    """Wait for the server's first answer; raise CloudError, and clean up, if none comes."""
    limit = time.monotonic() + _HEALTHY_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < limit and cloud.alive:
        try:
            with opener.open(f"{cloud.endpoint}/_ministack/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    last = (home / "cloud.log").read_text(errors="replace").strip().splitlines()[-1:]
    remove_leftovers(home)
    raise CloudError(f"the server did not start: {''.join(last)} (all of it: {home}/cloud.log)")


def remove_leftovers(home: Path) -> None:
    """End every process of the cloud in `home`, then remove what is void without it.

    The log and the Terraform provider's folder stay: one tells why, the other saves a download.
    """
    if cloud := recorded(home):
        _stop_server(cloud)
    for machine in sorted((home / "instances").glob("i-*")):
        processes.kill_until_gone(_find(machine.name))
        boot.link_of(machine.name).unlink(missing_ok=True)
    for name in ("cloud.json", "calls.json", "faults.json", aws_command.SOCKET):
        (home / name).unlink(missing_ok=True)
    for name in ("data", "instances", "mail", "tmp"):
        shutil.rmtree(home / name, ignore_errors=True)
    for state in home.glob("terraform.tfstate*"):
        state.unlink()


def _find(instance_id: str) -> Callable[[], set[int]]:
    return lambda: processes.of_instance(instance_id)


def _stop_server(cloud: Cloud) -> None:
    """Ask the server to stop, then kill it with its functions' processes, its process group."""
    if cloud.alive:
        processes.send([cloud.pid], signal.SIGTERM)
        limit = time.monotonic() + _STOP_SECONDS
        while cloud.alive and time.monotonic() < limit:
            _collect(cloud.pid)
            time.sleep(0.05)
        if cloud.alive:
            processes.send([cloud.pid], signal.SIGKILL)
    _collect(cloud.pid)
    if processes.started(cloud.pid) is None:  # else the id, and the group's, is another's by now
        try:
            os.killpg(cloud.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def _collect(pid: int) -> None:
    """Reap the server if this very process started it."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
