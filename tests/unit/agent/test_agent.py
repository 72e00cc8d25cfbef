"""The supervisor: a trainer from its start to the power-off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.unit.agent.machine import (
    OWN_URI,
    Machine,
    eventually,
    metadata,
)


def test_a_trainer_that_succeeds_is_stored_before_the_power_goes_off(machine: Machine) -> None:
    outcome = machine.run(
        "echo one; echo two >&2; echo model > $PARRIS_OUTPUT_DIR/m; "
        "echo c > $PARRIS_CHECKPOINT_DIR/c; sleep 0.2"
    )
    assert outcome["state"] == "succeeded"
    assert outcome["ended-by"] == "trainer"
    assert outcome["reason"] == "trainer-script.sh exited with status 0"
    assert outcome["exit-status"] == 0
    assert outcome["run-id"] == "r1"
    assert outcome["job"] == "digits"
    assert outcome["booted"] == "2026-01-01T12:00:00Z"
    assert outcome["booted"] < outcome["started"] <= outcome["finished"]
    assert 0.2 <= outcome["trainer-seconds"] < 3
    assert outcome["peak-memory-bytes"] > 1_000_000
    assert outcome["bytes-stored"] == len("one\ntwo\n") + len("model\n") + len("c\n")
    assert outcome["warnings"] == []
    assert machine.stored("log.txt") == b"one\ntwo\n"
    assert machine.stored("output/m") == b"model\n"
    assert machine.stored("checkpoints/c") == b"c\n"
    assert machine.messages == ["one", "two"]
    stored, forced, off = machine.calls[-3:]
    assert stored == f"aws s3 cp - {OWN_URI}/outcome.json"
    assert forced.startswith("systemd-run --quiet --unit=parris-force ")
    assert off == "shutdown --poweroff now"
    assert f"parris outcome: {json.dumps(outcome)}" in machine.console


def test_the_machine_goes_off_within_two_seconds_of_the_trainer(machine: Machine) -> None:
    machine.run("echo a > $PARRIS_OUTPUT_DIR/a; date +%s.%N")
    ended = float(machine.stored("log.txt") or b"")
    (went_off,) = [when for when, call in machine.journal if call == "shutdown --poweroff now"]
    assert went_off - ended < 2


def test_the_end_of_a_run_starts_the_aws_cli_three_times(machine: Machine) -> None:
    """Each start costs about a second of CPU: one for all files, one for the log, one for the word.

    The log's last lines are sent beside the files.
    """
    machine.script(
        "echo a > $PARRIS_OUTPUT_DIR/a; echo b > $PARRIS_CHECKPOINT_DIR/b; echo first\n"
        "until [[ -e go ]]; do sleep 0.1; done; date +%s.%N > end; echo last"
    )
    process = machine.start()
    eventually(lambda: machine.messages == ["first"])
    eventually(lambda: machine.stored("alive.json"))
    (machine.home / "source/go").touch()
    process.wait(20)
    ended = float((machine.home / "source/end").read_text())
    calls = [
        call.split()[1:3]
        for when, call in machine.journal
        if when > ended and call.startswith("aws ")
    ]
    assert sorted(calls) == [["logs", "put-log-events"], ["s3", "cp"], ["s3", "cp"]]


def test_a_trainer_is_told_about_its_run(machine: Machine) -> None:
    machine.receipt["parameters"] = {"learning-rate": "0.1", "tëst.x": "a b"}
    machine.run("pwd; env")
    log = (machine.stored("log.txt") or b"").decode().splitlines()
    assert log[0] == str(machine.home / "source")
    for line in (
        "PARRIS_JOB=digits",
        "PARRIS_RUN_ID=r1",
        f"PARRIS_OUTPUT_DIR={machine.home}/output",
        f"PARRIS_CHECKPOINT_DIR={machine.home}/checkpoints",
        f"PARRIS_DEADLINE={machine.receipt['deadline']}",
        "PARRIS_PARAM_LEARNING_RATE=0.1",
        "PARRIS_PARAM_T_ST_X=a b",
        "TERMINATION_TIME_LIMIT=60",
        f"HOME={machine.folder}",
    ):
        assert line in log


def test_without_a_time_limit_the_trainer_reads_never(machine: Machine) -> None:
    machine.receipt["time-limit-minutes"] = None
    machine.run('echo "$TERMINATION_TIME_LIMIT"')
    assert machine.stored("log.txt") == b"never\n"


def test_a_script_runs_under_the_interpreter_it_names(machine: Machine) -> None:
    machine.receipt["script"] = "code/train.py"
    machine.script(
        "#!/usr/bin/env python3\nimport sys; print(sys.version_info[0])", "code/train.py"
    )
    assert machine.run()["state"] == "succeeded"
    assert machine.stored("log.txt") == b"3\n"


def test_a_script_of_300_kilobytes_runs(machine: Machine) -> None:
    assert machine.run("#!/bin/bash\n" + "# padding\n" * 30_000 + "echo end\n")["exit-status"] == 0
    assert machine.stored("log.txt") == b"end\n"


def test_windows_line_endings_are_repaired_with_a_warning(machine: Machine) -> None:
    outcome = machine.run("#!/bin/bash\r\nif true; then\r\n  echo fine\r\nfi\r\n")
    assert outcome["state"] == "succeeded"
    assert outcome["warnings"] == [
        "trainer-script.sh had Windows line endings (CRLF); they were repaired for this run"
    ]
    assert machine.stored("log.txt") == b"fine\n"


@pytest.mark.parametrize(
    ("script", "content", "reason"),
    [
        ("nowhere.sh", None, "nowhere.sh cannot be read or repaired: No such file or directory"),
        ("../run.json", None, "../run.json lies outside the job's folder"),
        ("/etc/passwd", None, "/etc/passwd lies outside the job's folder"),
        (
            "t.sh",
            "#!/no/such/interpreter\n",
            "t.sh cannot be started: No such file or directory; "
            "does the image have the interpreter its first line names?",
        ),
    ],
)
def test_a_script_that_cannot_run_is_reported(
    machine: Machine, script: str, content: str | None, reason: str
) -> None:
    machine.receipt["script"] = script
    if content is not None:
        machine.script(content, script)
    outcome = machine.run()
    assert (outcome["state"], outcome["reason"]) == ("failed", reason)
    assert outcome["exit-status"] is None
    assert outcome["started"] is None
    assert machine.calls[-1] == "shutdown --poweroff now"


def test_a_symlink_out_of_the_job_is_refused(machine: Machine) -> None:
    (machine.home / "source/trainer-script.sh").symlink_to("/bin/bash")
    assert "lies outside the job's folder" in machine.run()["reason"]


def test_a_trainer_that_fails_is_reported_with_its_last_line(machine: Machine) -> None:
    outcome = machine.run(r"echo step 1; printf '10%%\r20%%\rno more data\n\n'; exit 3")
    assert (outcome["state"], outcome["ended-by"], outcome["exit-status"]) == (
        *("failed", "trainer"),
        3,
    )
    assert outcome["reason"] == (
        "trainer-script.sh exited with status 3; its last line: no more data"
    )


def test_a_trainer_ended_by_a_signal_has_its_negative_number(machine: Machine) -> None:
    outcome = machine.run("kill -SEGV $$")
    assert (outcome["state"], outcome["exit-status"]) == ("failed", -signal.SIGSEGV)
    assert outcome["reason"] == "trainer-script.sh was ended by signal 11"


def test_what_the_trainer_leaves_in_its_group_is_ended(machine: Machine) -> None:
    assert machine.run("sleep 300 & echo $!")["state"] == "succeeded"
    left = int(machine.stored("log.txt") or b"")
    eventually(lambda: not _is_alive(left))


def test_a_daemon_that_keeps_the_output_open_is_not_waited_for(machine: Machine) -> None:
    begun = time.monotonic()
    outcome = machine.run("setsid sleep 8 & echo started")
    assert outcome["state"] == "succeeded"
    assert time.monotonic() - begun < 6


@pytest.mark.processes
def test_a_slow_disk_does_not_cut_the_log_off(machine: Machine) -> None:
    # A pipe in place of log.txt that takes 400 kB a second: most of it waits as the trainer ends.
    log = machine.home / "log.txt"
    os.mkfifo(log)
    taken = bytearray()

    def disk() -> None:
        with log.open("rb", buffering=0) as pipe:
            while block := pipe.read(40_000):
                taken.extend(block)
                time.sleep(0.1)

    reader = threading.Thread(target=disk, daemon=True)
    reader.start()
    outcome = machine.run("head --bytes 1000000 /dev/zero; echo end")
    reader.join(10)
    assert outcome["trainer-seconds"] < 2  # it did not wait for the disk
    assert len(taken) == 1_000_004
    assert taken.endswith(b"end\n")


@pytest.mark.processes
def test_a_daemon_that_never_falls_silent_is_not_waited_for(machine: Machine) -> None:
    begun = time.monotonic()
    assert machine.run("setsid timeout 90 yes & sleep 0.2", 60)["state"] == "succeeded"
    assert time.monotonic() - begun < 45


@pytest.mark.processes
def test_a_lost_s3_costs_neither_the_outcome_nor_the_power_off(machine: Machine) -> None:
    machine.break_aws({"match": "s3 ", "status": 1, "said": "Could not connect"})
    machine.script("echo a > $PARRIS_OUTPUT_DIR/a; echo b")
    machine.start().wait(30)
    (line,) = [line for line in machine.console.splitlines() if "parris outcome: " in line]
    outcome = json.loads(line.partition("parris outcome: ")[2])
    assert (outcome["state"], outcome["bytes-stored"]) == ("succeeded", 0)
    assert outcome["warnings"] == ["not everything was stored: Could not connect"]
    assert machine.stored("outcome.json") is None
    assert machine.calls[-1] == "shutdown --poweroff now"


def test_the_machine_is_named_by_its_metadata_service(machine: Machine) -> None:
    values = {"instance-id": "i-0a", "instance-type": "c7i.large", "ami-id": "ami-1"}
    with metadata({f"meta-data/{name}": value for name, value in values.items()}) as service:
        outcome = machine.run("sleep 0.3", AWS_EC2_METADATA_SERVICE_ENDPOINT=service.endpoint)
    assert outcome["instance-id"] == "i-0a"
    assert outcome["instance-type"] == "c7i.large"
    assert outcome["image"] == "ami-1"


def test_a_broken_receipt_is_an_outcome_and_not_a_machine_left_on(machine: Machine) -> None:
    del machine.receipt["log-group"]
    outcome = machine.run("echo never")
    assert outcome["state"] == "failed"
    assert outcome["reason"] == "the supervisor failed: KeyError: 'log-group'"
    assert machine.calls[-1] == "shutdown --poweroff now"


def test_a_fault_of_the_agent_still_ends_the_trainer_and_stores_its_work(machine: Machine) -> None:
    machine.receipt["stop-grace-seconds"] = "soon"
    (machine.home / "output/a").write_text("kept")  # the fault may come before the script's work
    outcome = machine.run(f"exec -a {machine.home} sleep 300")
    assert outcome["state"] == "failed"
    assert "the supervisor failed: ValueError" in outcome["reason"]
    assert machine.stored("output/a") == b"kept"
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert f"{machine.home} 300" not in running.stdout


def test_the_second_power_command_is_tried_when_the_first_fails(machine: Machine) -> None:
    machine.record("shutdown", "exit 1")
    machine.run("true")
    assert machine.calls[-2:] == ["shutdown --poweroff now", "poweroff --force"]


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
