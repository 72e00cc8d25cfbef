"""How a run is ended that does not end by itself, and what is stored when things go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

import pytest

from tests.unit.agent.machine import AGENT, OWN_URI, Machine, eventually
from trainer.runtime.agent import limits
from trainer.runtime.agent.script import NAMES_POWER_OFF, last_power_off

pytestmark = pytest.mark.processes

STUBBORN = """trap '' TERM
echo early > $PARRIS_OUTPUT_DIR/early
bash -c 'trap "" TERM; while true; do date +%s.%N > late; mv late $PARRIS_OUTPUT_DIR/late
sleep 0.1; done' &
while true; do sleep 0.1; done
"""


UPLOAD = "s3 cp /"
"""Of the calls of the aws CLI, the one that stores files: it alone copies from the machine."""


def test_a_trainer_that_ignores_sigterm_is_killed_before_its_deadline(machine: Machine) -> None:
    # A short grace leaves a busy machine two seconds between the kill and the deadline.
    machine.receipt |= {"deadline": machine.iso_in(8), "stop-grace-seconds": 0.2}
    outcome = machine.run(STUBBORN)
    assert (outcome["state"], outcome["ended-by"]) == ("timed-out", "agent")
    assert outcome["exit-status"] == -signal.SIGKILL
    assert outcome["reason"] == (
        f"the trainer was still running near its deadline, {machine.receipt['deadline']}"
    )
    deadline = datetime.fromisoformat(machine.receipt["deadline"]).timestamp()
    assert machine.journal[-1][1] == "shutdown --poweroff now"
    assert machine.journal[-1][0] < deadline
    assert machine.stored("output/early") == b"early\n"
    # What it forked was killed with it before the deadline, and the file stands still.
    late = (machine.home / "output/late").read_text()
    assert float(late) < deadline
    time.sleep(0.3)
    assert (machine.home / "output/late").read_text() == late


def test_a_child_may_save_its_work_though_bash_has_gone(machine: Machine) -> None:
    machine.receipt["deadline"] = machine.iso_in(7)  # a grace of about a second
    machine.script(
        "import os, signal, sys, time\n"
        "def save(*_):\n"
        "    time.sleep(0.5)\n"
        "    open(os.environ['PARRIS_CHECKPOINT_DIR'] + '/c', 'w').write('saved')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "time.sleep(60)\n",
        "train.py",
    )
    outcome = machine.run("python3 train.py\necho not reached")
    assert outcome["state"] == "timed-out"
    assert machine.stored("checkpoints/c") == b"saved"
    assert b"not reached" not in (machine.stored("log.txt") or b"")


def test_a_deadline_in_the_past_ends_the_run_at_once(machine: Machine) -> None:
    machine.receipt["deadline"] = "2026-01-01T00:00:00Z"
    assert machine.run("sleep 60")["state"] == "timed-out"


@pytest.mark.parametrize(
    ("left", "grace", "begins", "given"),
    [
        (3600, 30, 60, 30),
        (3600, 600, 630, 600),
        (120, 30, 30, 20),
        (4, 30, 1, 2 / 3),
        (-5, 30, 0, 0),
    ],
)
def test_stopping_leaves_time_for_grace_and_upload(
    left: float, grace: float, begins: float, given: float
) -> None:
    stop_at, actual = limits.stop_times(1000.0, 1000.0 + left, grace)
    assert (1000.0 + left - stop_at, actual) == pytest.approx((begins, given))


@pytest.mark.parametrize("jobs", ["", "1 reboot.target start waiting"])
def test_a_machine_that_is_going_down_is_powered_off_by_force(machine: Machine, jobs: str) -> None:
    """logind takes no order any more, and a restart would bring the machine up again."""
    answers = f'case "$*" in list-jobs*) echo "{jobs}" ;; is-system-running) echo stopping ;; esac'
    machine.record("systemctl", answers)
    machine.script("echo ready; sleep 60")
    process = machine.start()
    eventually((machine.home / "log.txt").exists)
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    what = "restart, which ends a run," if jobs else "power off"
    assert machine.outcome()["reason"] == f"the machine was told to {what} while the trainer ran"
    assert machine.calls[-1] == "poweroff --force"


@pytest.mark.parametrize("interval", [60, 0.5], ids=["at the end", "while the trainer runs too"])
def test_an_s3_that_hangs_holds_the_power_off_up_for_a_bounded_time(
    machine: Machine, interval: float
) -> None:
    machine.receipt["sync-interval-seconds"] = interval
    machine.patience |= {"RETRY_SECONDS": "3", "OUTCOME_SECONDS": "2", "HUNG_SECONDS": "2"}
    # As the aws CLI does: it waits for an answer, and then says that none came.
    machine.break_aws({"match": "s3 ", "sleep": 2, "status": 1, "said": "Read timeout"})
    machine.script("echo a > $PARRIS_OUTPUT_DIR/a; sleep 1; date +%s.%N > end; echo b")
    machine.start().wait(30)
    ended = float((machine.home / "source/end").read_text())
    (off,) = [when for when, call in machine.journal if call == "shutdown --poweroff now"]
    assert 3 < off - ended < 3 + 2 + 4
    assert '"warnings": ["not everything was stored: ' in machine.console


def test_a_power_off_that_takes_long_is_forced(machine: Machine) -> None:
    machine.patience["ORDERLY_SECONDS"] = "0.5"
    machine.record("sync")
    machine.run("true")
    eventually(lambda: "poweroff --force --force" in machine.calls)
    assert machine.calls[-2:] == ["sync ", "poweroff --force --force"]


def test_logins_are_let_in_again_when_the_power_off_is_far(machine: Machine) -> None:
    nologin = machine.folder / "nologin"
    script = "import sys, pathlib; from agent import machine\n"
    script += f"machine.NOLOGIN = pathlib.Path({str(nologin)!r})\n"
    script += "machine.arm_timer(pathlib.Path('.'), int(sys.argv[1]))"

    environ = machine.environ | {"PYTHONPATH": str(AGENT.parent)}

    def arm(minutes: int) -> list[str]:
        (machine.folder / "journal").write_text("")
        command = [sys.executable, "-c", script, str(minutes)]
        subprocess.run(command, cwd=machine.folder, env=environ, check=True)
        return machine.calls

    assert arm(60) == ["shutdown --poweroff +60"]
    nologin.touch()
    assert arm(4) == ["shutdown --poweroff +4"]
    assert nologin.exists()
    assert arm(60) == ["shutdown --poweroff +60"]  # at no moment is there no timer
    assert not nologin.exists()


def test_the_shares_of_the_end_make_up_its_limit() -> None:
    last = limits.OUTCOME_SECONDS + limits.ORDERLY_SECONDS
    slow_disk = limits.DRAIN_SECONDS + 5  # the second is of `timeout 5 sync`, before the force
    # Nothing gets through. The price's last read is over before: it begins beside the last upload.
    assert limits.RETRY_SECONDS + 5 + last + slow_disk <= limits.END_SECONDS
    # S3 has all, so that the sign of life is waited for; the log does not get through.
    waits = limits.LAST_SIGN_SECONDS + limits.STREAM_SECONDS + limits.LAST_READ_SECONDS
    assert waits + last + slow_disk <= limits.END_SECONDS
    assert limits.HUNG_SECONDS >= limits.CALL_ATTEMPTS * limits.READ_SECONDS
    assert limits.HUNG_SECONDS < limits.RETRY_SECONDS  # a call that hung once is tried again


POWERED_OFF = """until [[ -s $HOME/agent.pid ]]; do sleep 0.1; done
echo kept > $PARRIS_OUTPUT_DIR/x
%s
"""


def powered_off(machine: Machine, script: str) -> dict[str, Any]:
    """Return the outcome of a script whose `poweroff` tells the machine to stop, as it does."""
    machine.record("poweroff", 'kill -TERM "$(cat ${BASH_SOURCE%/*}/../agent.pid)"')
    machine.script(POWERED_OFF % script)
    process = machine.start()
    (machine.folder / "agent.pid").write_text(str(process.pid))
    process.wait(30)
    assert machine.stored("output/x") == b"kept\n"
    return machine.outcome()


@pytest.mark.parametrize(
    ("training", "state", "status"), [("true", "succeeded", 0), ("(exit 7)", "failed", 7)]
)
@pytest.mark.parametrize("end", ["\npoweroff", "\npoweroff now", "; poweroff &", " && poweroff"])
def test_a_power_off_at_the_end_of_a_script_does_not_hide_how_the_training_ended(
    machine: Machine, training: str, state: str, status: int, end: str
) -> None:
    outcome = powered_off(machine, f"{training}{end}\n# bye")
    assert (outcome["state"], outcome["ended-by"]) == (state, "trainer")
    assert outcome["exit-status"] == status
    (warning,) = outcome["warnings"]
    assert "trainer-script.sh ends in `poweroff" in warning
    assert "it was left out of this run" in warning


@pytest.mark.parametrize("training", ["true", "false"])
def test_what_a_power_off_within_a_script_hides_is_said_to_be_unknown(
    machine: Machine, training: str
) -> None:
    outcome = powered_off(machine, f"{training}\nif true; then\n  poweroff\nfi")
    assert (outcome["state"], outcome["ended-by"]) == ("interrupted", "shutdown")
    assert outcome["exit-status"] == 0
    assert "whether the training succeeded is unknown" in outcome["reason"]


@pytest.mark.parametrize(
    "line", ["  poweroff", "sudo shutdown -h now", "systemctl halt", "[[ $x ]] && init 0"]
)
def test_a_script_that_may_turn_its_machine_off_is_known(line: str) -> None:
    assert NAMES_POWER_OFF.search(f"train\n{line}\nfi\n".encode())
    assert not NAMES_POWER_OFF.search(b"python3 train.py --init 1  # no poweroffs\n")


@pytest.mark.parametrize("training", ["true", "false"])
def test_a_power_off_that_systemd_refuses_is_not_the_trainings_failure(
    machine: Machine, training: str
) -> None:
    machine.record("poweroff", "echo Too many arguments. >&2; exit 1")  # as to `poweroff now`
    outcome = machine.run(f"{training}\nif true; then\n  poweroff now\nfi")
    assert (outcome["state"], outcome["exit-status"]) == ("interrupted", 1)
    assert "systemd refused its own power-off" in outcome["reason"]
    assert "whether the training succeeded is unknown" in outcome["reason"]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("#!/usr/bin/env bash\ntrain\n\n# turn it off\npoweroff now\n", (5, "poweroff now")),
        (
            "#!/bin/sh\ntrain\nsudo -n /sbin/shutdown -h now # bye",
            (3, "sudo -n /sbin/shutdown -h now"),
        ),
        (
            "train || sudo systemctl poweroff >/dev/null 2>&1",
            (1, "sudo systemctl poweroff >/dev/null 2>&1"),
        ),
        ("train\ninit 0", (2, "init 0")),
        ("train\nhalt -p || true\n", (2, "halt -p")),
        ("#!/usr/bin/python3\npoweroff", None),
        ("train\nshutdown -h +5", None),
        ("train\nshutdown -h +$TERMINATION_TIME_LIMIT &", None),
        ("train\nshutdown -r now", None),
        ("poweroff\ntrain", None),
        ("if train; then poweroff; fi", None),
        ("echo poweroff", None),
        ("echo 'and then; poweroff now'", None),
        ("poweroff-later", None),
        ("", None),
    ],
)
def test_a_scripts_own_power_off_is_found_where_it_is_the_end(
    script: str, found: tuple[int, str] | None
) -> None:
    said = last_power_off(script.encode())
    assert (said and (said.line, said.command)) == found


def test_a_machine_told_to_stop_interrupts_the_trainer_gently(machine: Machine) -> None:
    machine.receipt["stop-grace-seconds"] = 20
    machine.script(
        "trap 'sleep 0.3; echo saved > $PARRIS_CHECKPOINT_DIR/c; exit 1' TERM\n"
        "echo ready; sleep 60 & wait"
    )
    process = machine.start()
    eventually(lambda: machine.messages)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert time.monotonic() - begun < 10  # and not the 20 of its grace
    outcome = machine.outcome()
    assert (outcome["state"], outcome["ended-by"]) == ("interrupted", "shutdown")
    assert outcome["reason"] == "the machine was told to power off while the trainer ran"
    assert outcome["exit-status"] == 1
    assert machine.stored("checkpoints/c") == b"saved\n"


def test_a_trainer_that_fails_as_the_machine_stops_costs_no_grace(machine: Machine) -> None:
    machine.receipt["stop-grace-seconds"] = 20
    machine.script("echo ready; until [[ -e now ]]; do sleep 0.05; done; exit 4")
    process = machine.start()
    eventually(lambda: machine.messages)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    (machine.home / "source/now").touch()
    process.wait(20)
    assert time.monotonic() - begun < 10  # and not the 20 of its grace
    outcome = machine.outcome()
    assert (outcome["state"], outcome["exit-status"]) == ("interrupted", 4)


def test_a_machine_told_to_stop_near_its_deadline_timed_out(machine: Machine) -> None:
    machine.receipt |= {"deadline": machine.iso_in(50), "stop-grace-seconds": 1}
    machine.script("echo ready; sleep 60")
    process = machine.start()
    eventually(lambda: machine.messages)
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert machine.outcome()["state"] == "timed-out"
    assert machine.outcome()["ended-by"] == "shutdown"


def test_further_signals_do_not_cut_off_the_upload(machine: Machine) -> None:
    machine.break_aws({"match": UPLOAD, "sleep": 1.5})
    machine.script("echo a > $PARRIS_OUTPUT_DIR/a")
    process = machine.start()
    eventually((machine.home / "output/a").exists)
    time.sleep(0.3)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        os.killpg(process.pid, number)  # the whole group, as a terminal or an init would
        time.sleep(0.1)
    process.wait(20)
    assert machine.outcome()["state"] == "succeeded"
    assert machine.stored("output/a") == b"a\n"
    assert "not everything was stored" not in machine.console
    assert machine.calls[-1] == "shutdown --poweroff now"


def test_results_are_stored_while_the_trainer_runs(machine: Machine) -> None:
    machine.receipt["sync-interval-seconds"] = 0.5
    machine.script(
        "echo one; echo a > $PARRIS_OUTPUT_DIR/a; echo c > $PARRIS_CHECKPOINT_DIR/c; sleep 60"
    )
    process = machine.start()
    eventually(lambda: machine.stored("output/a") and machine.stored("checkpoints/c"))
    assert eventually(lambda: machine.stored("log.txt")) == b"one\n"
    assert machine.stored("outcome.json") is None
    time.sleep(3.5)  # what was written just before it was sent is not surely what was sent
    calls = machine.calls
    time.sleep(1.2)
    assert machine.calls == calls  # what did not change is not sent again
    process.send_signal(signal.SIGTERM)
    process.wait(20)


def test_a_file_that_changes_while_it_is_sent_is_sent_again(machine: Machine) -> None:
    (machine.folder / "s3-clock").write_text("900")  # S3's says it has the newer one
    hook, done = machine.folder / "hook", machine.folder / "done"
    hook.write_text(
        "#!/bin/bash\n"
        f'[[ "$1" == */slow && ! -e {done} ]] || exit 0\n'
        f'echo 2 > "$1"; echo > {done}\n'  # once, and it keeps its size
    )
    hook.chmod(0o755)
    machine.receipt["sync-interval-seconds"] = 0.5
    machine.run(
        f"echo 1 > $PARRIS_CHECKPOINT_DIR/slow\nwhile [[ ! -e {done} ]]; do sleep 0.05; done"
    )
    assert machine.stored("checkpoints/slow") == b"2\n"


def test_an_upload_that_fails_is_tried_again(machine: Machine) -> None:
    machine.record("aws-once")  # the fault goes away by itself
    machine.break_aws({"match": UPLOAD, "status": 1, "said": "Could not connect"})
    machine.script("echo a > $PARRIS_OUTPUT_DIR/a")
    process = machine.start()
    eventually(lambda: "not everything was stored: Could not connect" in machine.console)
    machine.break_aws()
    process.wait(20)
    assert machine.stored("output/a") == b"a\n"
    assert machine.outcome()["warnings"] == []


def test_what_cannot_be_stored_is_named(machine: Machine) -> None:
    machine.break_aws({"match": UPLOAD, "status": 1, "said": "upload failed: AccessDenied"})
    outcome = machine.run("echo a > $PARRIS_OUTPUT_DIR/a; echo b")
    assert outcome["warnings"] == ["not everything was stored: upload failed: AccessDenied"]
    assert outcome["bytes-stored"] == 0


def test_unreadable_files_are_named_and_not_waited_for(machine: Machine) -> None:
    said = "warning: Skipping file /x/dangling. File does not exist."
    machine.break_aws({"match": UPLOAD, "status": 2, "said": said})
    outcome = machine.run("echo a > $PARRIS_OUTPUT_DIR/a")
    assert outcome["state"] == "succeeded"
    assert outcome["warnings"] == [f"not everything was stored: {said}"]


def test_a_lost_s3_leaves_the_outcome_on_the_console(machine: Machine) -> None:
    machine.break_aws({"match": "outcome.json", "status": 1, "said": "Could not connect"})
    machine.script("exit 3")
    process = machine.start()
    eventually(lambda: "parris outcome: " in machine.console)
    assert '"state": "failed"' in machine.console
    assert machine.stored("outcome.json") is None
    process.wait(30)
    assert "parris could not store outcome.json: Could not connect" in machine.console
    assert machine.calls[-1] == "shutdown --poweroff now"


def test_a_machine_without_the_aws_cli_still_goes_off(machine: Machine) -> None:
    (machine.bin / "aws").unlink()
    machine.script("echo a")
    machine.start().wait(30)
    assert "No such file or directory: 'aws'" in machine.console
    assert machine.calls[-1] == "shutdown --poweroff now"
    assert not any(call.startswith("aws") for call in machine.calls)


def test_the_outcome_is_the_last_thing_stored(machine: Machine) -> None:
    machine.break_aws({"match": UPLOAD, "sleep": 0.5})
    machine.run("echo a; echo a > $PARRIS_OUTPUT_DIR/a")
    calls = [call for call in machine.calls if " s3 " in call]
    assert calls[-1] == f"aws s3 cp - {OWN_URI}/outcome.json"
    assert len(calls) == 3  # the sign of life beside it, and all the files in one
