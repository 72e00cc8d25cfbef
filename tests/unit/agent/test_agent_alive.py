"""A machine says that its trainer has begun, and that it lives, in `alive.json`."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import Any

import pytest

from tests.unit.agent.machine import OWN_URI, Machine, eventually
from tests.unit.agent.test_agent_restore import FIRST, keep
from tests.unit.agent.test_agent_restore import second as second
from trainer.runtime.agent.alive import Alive
from trainer.runtime.agent.aws import Answer, Aws

pytestmark = pytest.mark.processes

UNTIL_END = "echo ready; until [[ -e end ]]; do sleep 0.1; done"
PUT = f"aws s3 cp - {OWN_URI}/alive.json"
UPLOAD = "s3 cp /"


def begin(machine: Machine, script: str = UNTIL_END) -> subprocess.Popen[bytes]:
    machine.script(script)
    process = machine.start()
    eventually(lambda: machine.messages)
    return process


def end(machine: Machine, process: subprocess.Popen[bytes]) -> None:
    (machine.home / "source/end").touch()
    process.wait(30)
    assert machine.outcome()["state"] == "succeeded"


def test_a_machine_whose_trainer_has_begun_says_so(machine: Machine) -> None:
    machine.receipt["attempt"] = 3
    process = begin(machine)
    content = json.loads(eventually(lambda: machine.stored("alive.json")))
    assert content["attempt"] == 3
    assert content["time"].startswith("20")
    end(machine, process)
    assert machine.calls.count(PUT) == 1


def test_a_machine_whose_trainer_does_not_begin_does_not_say_so(machine: Machine) -> None:
    assert machine.run()["state"] == "failed"  # there is no script
    assert machine.stored("alive.json") is None


def test_a_silent_machine_says_again_that_it_lives(machine: Machine) -> None:
    machine.patience["ALIVE_SECONDS"] = "0.3"
    process = begin(machine)
    eventually(lambda: machine.calls.count(PUT) >= 3)
    end(machine, process)


def test_an_upload_is_sign_enough(machine: Machine) -> None:
    machine.patience["ALIVE_SECONDS"] = "2"
    machine.receipt["sync-interval-seconds"] = 0.3
    process = begin(machine, "until [[ -e end ]]; do echo ready; sleep 0.1; done")
    time.sleep(5)
    assert machine.calls.count(PUT) == 1
    end(machine, process)


def test_a_long_upload_delays_no_sign(machine: Machine) -> None:
    machine.patience["ALIVE_SECONDS"] = "0.3"
    machine.receipt["sync-interval-seconds"] = 0.3
    machine.break_aws({"match": UPLOAD, "sleep": 6})
    process = begin(machine)
    eventually(lambda: machine.calls.count(PUT) >= 3, 5)
    machine.break_aws()
    end(machine, process)


def test_a_sign_that_failed_is_tried_again(machine: Machine) -> None:
    machine.patience["FIRST_PAUSE, LONGEST_PAUSE, FAILURE_PAUSE"] = "0.5, 4.0, 0.3"
    machine.break_aws({"match": "alive.json", "status": 1, "said": "AccessDenied"})
    process = begin(machine)
    eventually(lambda: "could not store alive.json: AccessDenied" in machine.console)
    machine.break_aws()
    eventually(lambda: machine.stored("alive.json"))
    end(machine, process)


def test_a_machine_says_so_only_when_its_folder_has_what_was_restored(second: Machine) -> None:
    keep(second, "checkpoints/epoch", "3\n", FIRST)
    second.patience["TICK_SECONDS"] = "0.2"
    second.receipt["sync-interval-seconds"] = 1
    fault = {"match": UPLOAD, "status": 1, "said": "fatal error: no network"}
    second.break_aws(fault)
    process = begin(second)
    eventually(lambda: second.console.count("could not store everything this time") >= 2)
    assert second.stored("alive.json") is None
    second.break_aws()
    eventually(lambda: second.stored("alive.json"))
    assert second.stored("checkpoints/epoch") == b"3\n"
    assert second.stored("log.txt") is not None
    end(second, process)


def test_a_trainer_that_ends_at_once_has_begun_too(second: Machine) -> None:
    keep(second, "checkpoints/epoch", "3\n", FIRST)
    second.break_aws({"match": "alive.json", "sleep": 1})
    assert second.run("echo ready")["state"] == "succeeded"
    assert json.loads(second.stored("alive.json") or b"")["attempt"] == 2
    uploads = [call.startswith(f"aws {UPLOAD}") for call in second.calls]
    outcome = f"aws s3 cp - {OWN_URI}/outcome.json"
    assert uploads.index(True) < second.calls.index(PUT) < second.calls.index(outcome)


class Recorder(Aws):
    """An aws CLI that takes what it is given."""

    def __init__(self) -> None:
        self.puts: list[bytes] = []

    def call(self, *_arguments: str, stdin: bytes = b"", **_limits: Any) -> Answer:
        self.puts.append(stdin)
        return Answer(0, "")


def test_a_run_that_ends_just_as_the_first_sign_begins_ends_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread that stores begins the sign; the main one ends it, maybe between two lines."""
    aws, starting = Recorder(), threading.Event()
    alive = Alive(aws, OWN_URI)
    start = threading.Thread.start

    def slow_start(thread: threading.Thread) -> None:
        if thread.name == "alive":
            starting.set()
            time.sleep(0.3)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", slow_start)
    store = threading.Thread(target=alive.begin, args=(1,), name="store")
    store.start()
    assert starting.wait(5)
    alive.end()  # a thread that is not started yet cannot be joined
    store.join(5)
    assert len(aws.puts) == 1
