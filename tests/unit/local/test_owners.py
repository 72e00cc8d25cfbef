"""Whatever starts an embedded cloud takes it along when it ends, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.local import owners, processes

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[3]

SERVER = """
import os, time
from scripts.local import owners
owners.end_with_them(os.environ)
time.sleep(300)
"""
STARTER = f"""
import subprocess, sys, time
from scripts.local import owners
owners.own()
server = subprocess.Popen([sys.executable, "-c", '''{SERVER}'''], start_new_session=True)
terraform = subprocess.Popen(["sleep", "300"], start_new_session=True)
print(server.pid, terraform.pid, flush=True)
time.sleep(300)
"""
"""A demo: a cloud, and a terraform, which is in a session of its own too."""


def gone(pids: list[int], seconds: float = 30) -> bool:
    limit = time.monotonic() + seconds
    while any(processes.started(pid) for pid in pids) and time.monotonic() < limit:
        time.sleep(0.05)
    return not any(processes.started(pid) for pid in pids)


def hear_signals() -> None:
    """Hear what a shell's background or nohup lets its children's children ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def start(program: str, environ: dict[str, str]) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "lambda:."} | environ,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=hear_signals,
    )
    assert process.stdout is not None
    return process, [int(pid) for pid in process.stdout.readline().split()]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda n: n.name
)
def test_what_an_owner_started_ends_with_it(number: signal.Signals) -> None:
    starter, started = start(STARTER, {})
    assert len(started) == 2
    time.sleep(1.5)  # it has looked once and found its owner there
    assert not gone(started, 0)
    starter.send_signal(number)
    starter.wait(timeout=20)
    try:
        assert gone(started)
    finally:
        processes.send(started, signal.SIGKILL)


def test_it_ends_with_the_owner_of_its_owner_too(monkeypatch: pytest.MonkeyPatch) -> None:
    outer = subprocess.Popen(["sleep", "300"])
    monkeypatch.delenv(owners.VARIABLE, raising=False)
    owners.own(outer.pid)
    starter, started = start(STARTER, {owners.VARIABLE: os.environ[owners.VARIABLE]})
    outer.kill()
    outer.wait()
    try:
        assert gone(started)
    finally:
        processes.send(started, signal.SIGKILL)
        starter.kill()
        starter.wait()


def test_a_cloud_without_an_owner_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(owners.VARIABLE, raising=False)
    assert owners.all_there(os.environ)
    server, _ = start("print(flush=True)\n" + SERVER, {})
    time.sleep(2.5)
    assert server.poll() is None
    server.kill()
    server.wait()


def test_a_process_that_has_the_owners_id_is_not_the_owner() -> None:
    assert not owners.all_there({owners.VARIABLE: f"{os.getpid()}@1"})
