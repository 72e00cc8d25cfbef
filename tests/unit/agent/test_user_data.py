"""First boot, as a process on a machine whose aws CLI and power switch are recorded."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.machine import (
    OWN_NAME,
    RUN_URI,
    Machine,
    eventually,
    metadata,
)
from trainer.runtime.agent import limits

pytestmark = pytest.mark.processes

USER_DATA = Path(__file__).resolve().parents[3] / "trainer/runtime/user-data.sh"


def start(machine: Machine, wait: str = "15", **environ: str) -> subprocess.Popen[bytes]:
    """Boot the machine: the run's objects are in S3, its values in the script's second line.

    Args:
        wait: seconds between two looks of the process that replaces a refused timer.
    """
    prefix = machine.folder / "s3" / RUN_URI.removeprefix("s3://")
    source = machine.home / "source"
    (prefix / "source").mkdir(parents=True)
    for path in source.iterdir():
        path.rename(prefix / "source" / path.name)
    machine.store_receipt()
    (prefix / "agent.pyz").write_bytes(machine.agent())
    for name in ("source", "output", "checkpoints"):
        (machine.home / name).rmdir()
    machine.home.rmdir()
    content = USER_DATA.read_text()
    assert content.count("read -r -t 15 ") == 1
    first, rest = content.replace("read -r -t 15 ", f"read -r -t {wait} ").split("\n", 1)
    exports = {name: value for name, value in machine.environ.items() if _is_rendered(name)}
    exports |= {name: value for name, value in environ.items() if name == "PARRIS_ROLE"}
    lines = [f"export {name}={value}" for name, value in exports.items()]
    script = machine.folder / "user-data"
    script.write_text("\n".join([first, *lines, rest]))
    others = {name: value for name, value in machine.environ.items() if name not in exports}
    del others["PARRIS_MACHINE_URI"]  # the machine has to find it
    with (machine.folder / "console").open("ab") as console:
        return subprocess.Popen(
            [machine.bin / "bash", script],
            env={**others, **environ},
            stdout=console,
            stderr=console,
            start_new_session=True,
        )


def _is_rendered(name: str) -> bool:
    ours = ("PARRIS_JOB", "PARRIS_RUN_ID", "PARRIS_RUN_URI", "PARRIS_LIMIT_MINUTES")
    return name in (*ours, "PARRIS_LOG_STREAM", "AWS_DEFAULT_REGION")


def boot(machine: Machine, seconds: float = 30) -> dict[str, Any]:
    """Boot the machine, and return the outcome once the power is off."""
    start(machine).wait(seconds)
    eventually(lambda: "shutdown --poweroff now" in machine.calls, seconds)
    return machine.outcome()


@pytest.fixture
def impatient(machine: Machine) -> Machine:
    """A machine that does not really wait between attempts."""
    machine.put("sleep", "#!/bin/bash\n")
    return machine


def test_a_boot_trains_and_powers_off(machine: Machine) -> None:
    machine.script('echo "$PARRIS_PARAM_X in $AWS_DEFAULT_REGION"; echo a > $PARRIS_OUTPUT_DIR/a')
    machine.receipt["parameters"] = {"x": "y z"}
    outcome = boot(machine)
    assert outcome["state"] == "succeeded", machine.console
    assert outcome["booted"] <= outcome["started"]
    assert machine.stored("log.txt") == b"y z in eu-central-1\n"
    assert machine.stored("output/a") == b"a\n"
    assert machine.calls.count("shutdown --poweroff now") == 1


def test_the_money_limit_is_the_first_effect(machine: Machine) -> None:
    # aws writes its call down as it ends, so the folder tells whether anything began before.
    late = machine.folder / "late"
    slow = f"[[ $2 == now ]] || {{ sleep 0.5; [[ ! -e {machine.home} ]] || touch {late}; }}"
    machine.record("shutdown", slow)
    boot(machine)
    assert machine.calls[0] == "shutdown --poweroff +60"
    assert not late.exists()


def test_the_agent_gets_a_unit_that_outlives_cloud_init(machine: Machine) -> None:
    start(machine, AWS_ENDPOINT_URL="http://127.0.0.1:4566").wait(20)
    call = next(call for call in machine.calls if call.startswith("systemd-run"))
    for option in (
        "--unit=parris-agent",
        "--property=KillMode=mixed",
        "--property=TimeoutStopSec=300",
        "--property=After=network.target",
        "--property=OOMPolicy=continue",
        "--property=FailureAction=poweroff",
        "--setenv=AWS_ENDPOINT_URL=http://127.0.0.1:4566",
        "--setenv=AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9",
        f"--setenv=PATH={machine.bin}",
        f"--setenv=HOME={machine.folder}",
        f"--setenv=PARRIS_HOME={machine.home}",
    ):
        assert option in call.split()
    script = f"{machine.home}/user-data.sh"
    assert f"--property=ExecStopPost=/bin/bash {script} died" in call
    assert call.endswith(f"-- bash {script} train")
    assert "--setenv=TMPDIR" not in call  # what is not set is not passed on as empty
    eventually(lambda: "shutdown --poweroff now" in machine.calls)


def test_the_patience_of_the_unit_covers_that_of_the_agent() -> None:
    assert "TimeoutStopSec=300" in USER_DATA.read_text()
    longest = limits.LAST_MOMENT_SECONDS + limits.SHUTDOWN_GRACE_SECONDS
    longest += limits.DRAIN_SECONDS + limits.END_SECONDS
    assert longest + limits.STREAM_SECONDS + limits.OUTCOME_SECONDS < 300 - 30


def test_without_systemd_the_agent_takes_over_the_process(machine: Machine) -> None:
    (machine.bin / "systemd-run").unlink()
    machine.script("sleep 60")
    process = start(machine)
    eventually(lambda: _trains(machine))
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert machine.outcome()["state"] == "interrupted"
    assert machine.outcome()["ended-by"] == "shutdown"  # the agent's own word


@pytest.fixture
def timerless(machine: Machine) -> Machine:
    """A machine whose shutdown(8) takes no timer, so that a process waits in its place."""
    machine.record("shutdown", '[[ "$2" == now ]]')
    machine.patience["CONTROL_SECONDS"] = "0.2"
    return machine


def test_a_refused_timer_is_replaced_by_a_waiting_process(timerless: Machine) -> None:
    timerless.script("sleep 1.2")
    begun = _uptime()
    process = start(timerless, wait="0.1")
    limit = eventually(lambda: _power_off_at(timerless))
    assert begun + 3600 - 1 <= limit <= _uptime() + 3600
    process.wait(20)
    eventually(lambda: "shutdown --poweroff now" in timerless.calls)
    assert "poweroff --force" not in timerless.calls  # it was not time yet
    (timerless.home / "power-off-at").unlink()  # without the file the last time it had counts
    time.sleep(0.3)
    assert "poweroff --force" not in timerless.calls
    (timerless.home / "power-off-at").write_text(f"{_uptime()}\n")
    eventually(lambda: "poweroff --force" in timerless.calls)


def test_the_waiting_process_follows_the_deadline(timerless: Machine) -> None:
    timerless.script("echo ready; sleep 60")
    start(timerless, wait="0.1").wait(20)
    eventually(lambda: timerless.messages)
    timerless.receipt["deadline"] = timerless.iso_in(2 * 3600)
    timerless.store_receipt()
    eventually(lambda: "warning: the deadline" in timerless.console)
    assert abs(_power_off_at(timerless) - _uptime() - 2 * 3600) < 60 + 5
    timerless.receipt["stop"] = {}
    timerless.store_receipt()
    eventually(lambda: timerless.stored("outcome.json"))
    assert timerless.outcome()["state"] == "stopped"
    (timerless.home / "power-off-at").write_text("0\n")


def test_a_working_timer_needs_no_waiting_process(machine: Machine) -> None:
    boot(machine)
    assert not (machine.home / "power-off-at").exists()


def test_a_machine_without_the_aws_cli_says_so_and_goes_off(machine: Machine) -> None:
    (machine.bin / "aws").unlink()
    start(machine).wait(20)
    eventually(lambda: "shutdown --poweroff now" in machine.calls)
    assert "parris: the image has no aws CLI" in machine.console
    assert _outcome_on_console(machine)["reason"].startswith("the image has no aws CLI")


def test_a_machine_without_python_says_so_and_goes_off(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    outcome = boot(machine)
    assert (outcome["state"], outcome["ended-by"]) == ("failed", "user-data")
    assert outcome["reason"] == "the image has no python3; choose one that has 3.9 or newer"
    assert outcome["run-id"] == "r1"
    assert outcome["exit-status"] is None
    assert outcome["booted"].endswith("Z")
    assert outcome["cost-usd"] is None


def test_an_old_python_is_refused(machine: Machine) -> None:
    machine.put("python3", "#!/bin/bash\nexit 1\n")
    assert "older than 3.9" in boot(machine)["reason"]


@pytest.mark.parametrize("name", ["run.json", "agent.pyz", "source/"])
def test_a_fetch_that_fails_is_tried_six_times_and_reported(impatient: Machine, name: str) -> None:
    impatient.break_aws({"match": f"cp {RUN_URI}/{name}", "status": 1, "said": "AccessDenied"})
    outcome = boot(impatient)
    assert outcome["state"] == "failed"
    assert outcome["reason"].startswith(f"cannot fetch the run from {RUN_URI}")
    failed = f"of 6 to fetch {RUN_URI}/{name} failed"
    assert impatient.console.count(failed) == 6
    assert outcome["reason"].endswith("the instance profile must allow it")


def test_a_machine_that_learns_no_name_says_so_on_its_console(impatient: Machine) -> None:
    impatient.break_aws({"match": "get-caller-identity", "status": 255, "said": "unreachable"})
    start(impatient).wait(30)
    eventually(lambda: "shutdown --poweroff now" in impatient.calls)
    assert impatient.console.count("of 6 to ask AWS for the machine's own name failed") == 6
    assert _outcome_on_console(impatient)["reason"].startswith("AWS STS does not say who")
    assert impatient.calls[-1] == "shutdown --poweroff now"
    assert impatient.stored("outcome.json") is None


ROLE = "meta-data/iam/security-credentials/"
ROLE_ID, _, INSTANCE = OWN_NAME.partition(":")


@pytest.mark.parametrize("end", ["", "exit 3"])
def test_a_machine_of_the_known_role_needs_no_sts(machine: Machine, end: str) -> None:
    machine.break_aws({"match": "get-caller-identity", "status": 255, "said": "unreachable"})
    machine.script(end)
    with metadata({ROLE: "parris-instance", "meta-data/instance-id": INSTANCE}) as service:
        endpoint = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint}
        start(machine, PARRIS_ROLE=f"parris-instance:{ROLE_ID}", **endpoint).wait(30)
        eventually(lambda: machine.stored("outcome.json"))
    assert machine.outcome()["state"] == ("failed" if end else "succeeded"), machine.console
    assert not any("get-caller-identity" in call for call in machine.calls)


def test_a_machine_that_fails_early_needs_no_sts_to_say_so(machine: Machine) -> None:
    machine.break_aws({"match": "get-caller-identity", "status": 255, "said": "unreachable"})
    machine.record("systemd-run", "exit 1")
    with metadata({ROLE: "parris-instance", "meta-data/instance-id": INSTANCE}) as service:
        endpoint = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint}
        start(machine, PARRIS_ROLE=f"parris-instance:{ROLE_ID}", **endpoint).wait(30)
    assert machine.outcome()["reason"] == "systemd did not start the supervisor"


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ({ROLE: "another", "meta-data/instance-id": INSTANCE}, "the machine has role another, not"),
        ({"meta-data/instance-id": INSTANCE}, "instance metadata: HTTP Error 404"),
    ],
)
def test_a_machine_of_another_role_asks_sts(
    machine: Machine, documents: dict[str, str], said: str
) -> None:
    machine.script("echo trained")
    with metadata(documents) as service:
        endpoint = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint}
        start(machine, PARRIS_ROLE="parris-instance:AROAOTHER", **endpoint).wait(30)
        eventually(lambda: machine.stored("outcome.json"))
    assert machine.outcome()["state"] == "succeeded", machine.console
    assert sum("get-caller-identity" in call for call in machine.calls) == 1
    assert f"parris: {said}" in machine.console


def test_credentials_that_come_late_are_waited_for(machine: Machine) -> None:
    machine.break_aws({"match": "run.json", "status": 255, "said": "Unable to locate credentials"})
    machine.script("echo trained")
    process = start(machine)
    eventually(lambda: "attempt 1 of 6" in machine.console)
    machine.break_aws()
    process.wait(20)
    eventually(lambda: machine.stored("outcome.json"))
    assert machine.outcome()["state"] == "succeeded"


def test_a_systemd_that_refuses_ends_the_run(machine: Machine) -> None:
    machine.record("systemd-run", "exit 1")
    assert boot(machine)["reason"] == "systemd did not start the supervisor"


def test_a_lost_s3_leaves_the_reason_on_the_console(impatient: Machine) -> None:
    impatient.break_aws({"match": "s3", "status": 1, "said": "Could not connect to the endpoint"})
    start(impatient).wait(20)
    eventually(lambda: "shutdown --poweroff now" in impatient.calls)
    outcome = _outcome_on_console(impatient)
    assert outcome["state"] == "failed"
    assert "nobody answers there: the subnet needs" in outcome["reason"]
    assert impatient.calls[-1] == "shutdown --poweroff now"


def test_a_machine_told_to_stop_before_training_says_so(machine: Machine) -> None:
    (machine.bin / "systemd-run").unlink()  # else systemd would tell its unit
    machine.break_aws({"match": "agent.pyz", "sleep": 2})
    process = start(machine)
    eventually(lambda: any("run.json" in call for call in machine.calls))
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    outcome = machine.outcome()
    assert outcome["state"] == "interrupted"
    assert outcome["reason"] == "the machine was told to stop before training began"


def test_a_unit_for_later_boots_is_enabled_and_not_started(machine: Machine) -> None:
    machine.record("systemctl")
    machine.script("echo trained")
    assert boot(machine)["state"] == "succeeded"
    unit = machine.home / "parris-restarted.service"
    asked = [call for call in machine.calls if call.startswith("systemctl")]
    assert asked[0] == f"systemctl --quiet enable {unit}"
    assert set(asked[1:]) <= {"systemctl is-system-running"}
    lines = unit.read_text().splitlines()
    for line in (
        f"ExecStart=/bin/bash {machine.home}/user-data.sh restarted",
        "FailureAction=poweroff-force",
        "JobTimeoutAction=poweroff-force",
        "WantedBy=multi-user.target",
    ):
        assert line in lines


@pytest.fixture
def trained(machine: Machine) -> Machine:
    """A machine whose trainer was cut off in its work, and which is as the cut left it."""
    machine.record("systemctl")
    machine.script("echo ready; echo kept > $PARRIS_OUTPUT_DIR/a; sleep 60")
    start(machine)
    eventually((machine.home / "output/a").exists)
    eventually(lambda: (machine.home / "log.txt").read_text() == "ready\n")
    machine.unplug()
    return machine


def call_again(machine: Machine, how: str, **environ: str) -> None:
    """Run the machine's copy of user data as its units do."""
    command = [str(machine.bin / "bash"), str(machine.home / "user-data.sh"), how]
    others = {name: value for name, value in machine.environ.items() if not _is_rendered(name)}
    del others["PARRIS_MACHINE_URI"], others["PARRIS_BOOTED"]
    with (machine.folder / "console").open("ab") as console:
        subprocess.run(
            command,
            env={**others, **environ},
            stdout=console,
            stderr=console,
            timeout=30,
            check=False,
        )


def test_a_machine_that_restarted_stores_what_there_is_and_goes_off(trained: Machine) -> None:
    first_boot = trained.home / "first-boot"
    _, _, machine = first_boot.read_text().partition(" ")
    first_boot.write_text(f"another {machine}")
    call_again(trained, "restarted")
    outcome = trained.outcome()
    assert (outcome["state"], outcome["ended-by"]) == ("interrupted", "shutdown")
    assert outcome["reason"].startswith("the machine was restarted")
    assert outcome["booted"] == (trained.home / "booted").read_text().strip()
    assert outcome["cost-usd"] > 0
    assert trained.stored("output/a") == b"kept\n"
    assert trained.stored("log.txt") == b"ready\n"
    assert trained.calls[-1] == "poweroff --force"


@pytest.mark.parametrize("written", ["{boot} {machine}", "another another-machine"])
def test_no_other_boot_is_a_restart(trained: Machine, written: str) -> None:
    """Not the first itself, should its target be started again; nor that of a copy's image."""
    boot_id, _, machine = (trained.home / "first-boot").read_text().partition(" ")
    (trained.home / "first-boot").write_text(written.format(boot=boot_id, machine=machine))
    calls = trained.calls
    call_again(trained, "restarted")
    assert trained.calls == calls


def test_a_restart_without_a_word_of_the_first_boot_goes_off_too(trained: Machine) -> None:
    (trained.home / "first-boot").write_text("")
    call_again(trained, "restarted")
    assert trained.calls[-1] == "poweroff --force"


def test_a_supervisor_that_is_killed_leaves_an_outcome(trained: Machine) -> None:
    killed = {"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}
    call_again(trained, "died", **killed)
    assert "parris: the supervisor ended with KILL (signal)" in trained.console
    outcome = trained.outcome()
    assert (outcome["state"], outcome["ended-by"]) == ("failed", "agent")
    assert outcome["reason"] == "the supervisor was killed, and the trainer with it (KILL)"
    assert trained.stored("output/a") == b"kept\n"


def test_an_outcome_that_is_stored_stands(machine: Machine) -> None:
    machine.script("echo trained")
    outcome, calls = boot(machine), machine.calls
    call_again(machine, "died", SERVICE_RESULT="signal", EXIT_STATUS="KILL")
    call_again(machine, "died", SERVICE_RESULT="success")
    assert machine.outcome() == outcome
    assert [call for call in machine.calls if call.startswith("aws")] == [
        call for call in calls if call.startswith("aws")
    ]


def test_a_disk_that_takes_nothing_still_lets_the_machine_say_so_and_go_off(
    machine: Machine,
) -> None:
    mkdir = (machine.bin / "mkdir").resolve()
    refuse = f'[[ "$*" == *{machine.home}* ]] || exec {mkdir} "$@"'
    machine.put("mkdir", f"#!/bin/bash\n{refuse}\nexit 1\n")
    start(machine).wait(20)
    assert "is the disk full?" in machine.outcome()["reason"]
    assert machine.calls[-1] == "shutdown --poweroff now"


def test_there_is_room_for_the_runs_values() -> None:
    assert len(USER_DATA.read_bytes()) < 16_384 - 1_024


def _uptime() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def _power_off_at(machine: Machine) -> int:
    path = machine.home / "power-off-at"
    return int(path.read_text() or 0) if path.exists() else 0


def _trains(machine: Machine) -> bool:
    time.sleep(0.1)
    return (machine.home / "log.txt").exists()


def _outcome_on_console(machine: Machine) -> dict[str, Any]:
    lines = machine.console.splitlines()
    (text,) = [line for line in lines if line.startswith("parris outcome: ")]
    outcome: dict[str, Any] = json.loads(text.removeprefix("parris outcome: "))
    return outcome
