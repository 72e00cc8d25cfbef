"""What a run is asked while it is under way: by its receipt in S3, and by EC2's spot notice."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import pytest

from tests.unit.agent.machine import OWN_URI, RUN_URI, Machine, eventually, metadata
from tests.unit.agent.test_agent_stop import STUBBORN
from trainer.runtime.agent.limits import grace_within, notice_times
from trainer.runtime.agent.words import parse_iso

pytestmark = pytest.mark.processes

READ = f"aws s3 cp {RUN_URI}/run.json -"
STOP = {"requested": "2026-01-01T12:00:00Z", "by": "make stop"}
UNTIL_END = "echo ready; until [[ -e end ]]; do sleep 0.1; done"
NOTICE = "meta-data/spot/instance-action"


@pytest.fixture
def watched(machine: Machine) -> Machine:
    """A machine that reads its receipt several times a second."""
    machine.patience |= {"CONTROL_SECONDS": "0.2", "SPOT_SECONDS": "0.2"}
    return machine


def begin(machine: Machine, script: str, **environ: str) -> subprocess.Popen[bytes]:
    """Start a run, and return once its trainer has printed something."""
    machine.script(script)
    process = machine.start(**environ)
    eventually(lambda: machine.messages)
    return process


def change(machine: Machine, **keys: Any) -> None:
    """Change the receipt in S3, and wait until it has been read."""
    machine.receipt |= {key.replace("_", "-"): value for key, value in keys.items()}
    machine.store_receipt()
    await_reads(machine)


def await_reads(machine: Machine) -> None:
    """Wait for a read of the receipt that began after now."""
    before = machine.calls.count(READ)
    eventually(lambda: machine.calls.count(READ) >= before + 2)
    time.sleep(0.1)


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(20)


def test_a_stop_in_the_receipt_ends_the_run_gently(watched: Machine) -> None:
    watched.receipt["stop-grace-seconds"] = 20
    process = begin(
        watched,
        "trap 'sleep 0.3; echo saved > $PARRIS_CHECKPOINT_DIR/c; exit 3' TERM\n"
        "echo ready; sleep 60 & wait",
    )
    watched.receipt["stop"] = STOP
    watched.store_receipt()
    process.wait(30)
    outcome = watched.outcome()
    assert (outcome["state"], outcome["ended-by"]) == ("stopped", "stop")
    assert outcome["reason"] == "stopped by make stop"
    assert outcome["exit-status"] == 3
    assert watched.stored("checkpoints/c") == b"saved\n"
    assert watched.calls[-1] == "shutdown --poweroff now"


def test_a_trainer_that_ends_well_when_asked_to_stop_was_stopped(watched: Machine) -> None:
    process = begin(watched, "trap 'exit 0' TERM; echo ready; sleep 60 & wait")
    watched.receipt["stop"] = STOP
    watched.store_receipt()
    process.wait(30)
    assert watched.outcome()["state"] == "stopped"
    assert watched.outcome()["exit-status"] == 0


def test_a_trainer_that_ignores_the_stop_is_killed_after_its_grace(watched: Machine) -> None:
    watched.receipt["stop-grace-seconds"] = 1
    process = begin(watched, f"echo ready\n{STUBBORN}")
    watched.receipt["stop"] = STOP
    watched.store_receipt()
    begun = time.monotonic()
    process.wait(30)
    assert time.monotonic() - begun > 1
    assert watched.outcome()["state"] == "stopped"
    assert watched.outcome()["exit-status"] == -signal.SIGKILL
    late = (watched.home / "output/late").read_text()
    time.sleep(0.3)
    assert (watched.home / "output/late").read_text() == late


@pytest.mark.parametrize("stop", [{}, {"by": 7}, {"by": None, "requested": "now"}])
def test_a_stop_that_does_not_say_by_whom_is_obeyed(watched: Machine, stop: object) -> None:
    watched.receipt["stop"] = stop  # it came before the machine was up
    assert watched.run("sleep 60", seconds=30)["reason"] == "stopped on request"


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("its best acc is 0.1\x1b[31m", "its best acc is 0.1[31m"),
        ("x" * 10_000, "x" * 500),
        (7, "its grid does not say why"),
    ],
)
def test_a_grid_that_stops_its_run_early_says_why(watched: Machine, why: object, said: str) -> None:
    watched.receipt["stop"] = {"by": "stop-early", "reason": why}
    outcome = watched.run("sleep 60", seconds=30)
    assert (outcome["state"], outcome["ended-by"]) == ("stopped", "early")
    assert outcome["reason"] == f"stopped early: {said}"


def test_a_stop_that_comes_after_the_trainers_end_changes_nothing(watched: Machine) -> None:
    watched.break_aws({"match": "/output", "sleep": 1.5})
    process = begin(watched, "echo a > $PARRIS_OUTPUT_DIR/a; echo ready")
    watched.receipt |= {"stop": STOP, "deadline": watched.iso_in(7200)}
    watched.store_receipt()
    process.wait(30)
    assert watched.outcome()["state"] == "succeeded"
    assert [call for call in watched.calls if call.startswith("shutdown")] == [
        "shutdown --poweroff now"  # a timer armed now could take the place of this
    ]


def test_a_later_deadline_keeps_the_run_going(watched: Machine) -> None:
    watched.receipt |= {"deadline": watched.iso_in(7), "stop-grace-seconds": 1}
    old, new = watched.receipt["deadline"], watched.iso_in(600)
    process = begin(watched, "echo ready; sleep 60")
    change(watched, deadline=new)
    assert "shutdown --poweroff +10" in watched.calls
    assert f"parris warning: the deadline {old} was changed to {new}" in watched.console
    time.sleep(7)
    assert process.poll() is None
    assert watched.stored("outcome.json") is None
    end(process)
    assert watched.outcome()["state"] == "interrupted"  # and not near its deadline
    assert watched.calls.count("shutdown --poweroff +10") == 1  # once, however often it is read


def test_an_earlier_deadline_ends_the_run_earlier(watched: Machine) -> None:
    process = begin(watched, "echo ready; sleep 60")
    change(watched, deadline=watched.iso_in(4))
    assert "shutdown --poweroff +1" in watched.calls  # shutdown(8) counts in minutes
    process.wait(30)
    outcome = watched.outcome()
    assert (outcome["state"], outcome["ended-by"]) == ("timed-out", "agent")
    assert outcome["reason"].endswith(f"near its deadline, {watched.receipt['deadline']}")


def test_a_later_deadline_waits_for_its_timer(watched: Machine) -> None:
    watched.record("shutdown", '[[ "$2" == now || -e ${BASH_SOURCE%/*}/../works ]]')
    process = begin(watched, "echo ready; sleep 60")
    change(watched, deadline=watched.iso_in(7200))
    assert "but the machine's timer could not be" in watched.console
    (watched.folder / "works").touch()
    eventually(lambda: "the machine's timer now ends in 120 min" in watched.console)
    end(process)


def test_an_earlier_deadline_holds_without_its_timer(watched: Machine) -> None:
    watched.record("shutdown", '[[ "$2" == now ]]')
    process = begin(watched, "echo ready; sleep 60")
    change(watched, deadline=watched.iso_in(4))
    process.wait(30)
    assert watched.outcome()["state"] == "timed-out"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        "null",
        '{"stop": {"by": "make st',
        '{"stop": true, "deadline": "soon", "price": {"hourly-usd": "much"}}',
        '{"deadline": 7, "price": {"hourly-usd": "NaN"}}',
        '{"deadline": null, "stop": null, "price": null, "keep-stack": true, "x": {}}',
        "\ufffd",
    ],
)
def test_a_receipt_that_says_nothing_sound_changes_nothing(watched: Machine, content: str) -> None:
    process = begin(watched, UNTIL_END)
    watched.store_receipt(content)
    await_reads(watched)
    (watched.home / "source/end").touch()
    process.wait(30)
    outcome = watched.outcome()
    assert (outcome["state"], outcome["warnings"]) == ("succeeded", [])
    assert outcome["cost-usd"] > 0  # the price it had holds
    assert "parris warning" not in watched.console
    assert not any(call.startswith("shutdown --poweroff +") for call in watched.calls)


def test_a_read_that_fails_half_way_is_not_obeyed(watched: Machine) -> None:
    process = begin(watched, UNTIL_END)
    # All of the document has come, but the call says that it is not sound.
    said = json.dumps(watched.receipt | {"stop": STOP})
    watched.break_aws({"match": "run.json -", "status": 1, "said": said})
    time.sleep(1)
    watched.break_aws()
    await_reads(watched)
    assert process.poll() is None
    (watched.home / "source/end").touch()
    process.wait(30)
    assert watched.outcome()["state"] == "succeeded"


def test_the_outcome_says_what_the_machine_cost(machine: Machine) -> None:
    machine.receipt["price"] = {"hourly-usd": "3.6", "as-of": "today"}
    assert machine.run("echo a", PARRIS_BOOTED=machine.iso_in(-1000))["cost-usd"] == pytest.approx(
        1.0, abs=0.01
    )
    assert READ not in machine.calls  # nothing was left to ask


def test_at_least_a_minute_is_billed(machine: Machine) -> None:
    machine.receipt["price"] = {"hourly-usd": "0.123"}
    assert (
        machine.run("echo a", PARRIS_BOOTED=machine.iso_in(-2))["cost-usd"] == 0.0021
    )  # 0.00205, to 4 decimals


def test_without_a_price_the_cost_is_unknown(machine: Machine) -> None:
    del machine.receipt["price"]
    assert machine.run("echo a", PARRIS_BOOTED=machine.iso_in(-2))["cost-usd"] is None
    assert machine.calls.count(READ) == 1


def test_the_newest_price_counts(watched: Machine) -> None:
    process = begin(watched, "echo ready; sleep 60", PARRIS_BOOTED=watched.iso_in(-2))
    change(watched, price={"hourly-usd": 60})
    end(process)
    assert watched.outcome()["cost-usd"] == pytest.approx(1.0)


def test_a_price_that_came_late_is_read_beside_the_last_upload(machine: Machine) -> None:
    del machine.receipt["price"]
    machine.break_aws({"match": "s3 cp /", "sleep": 0.6}, {"match": "run.json -", "sleep": 0.5})
    process = begin(machine, UNTIL_END, PARRIS_BOOTED=machine.iso_in(-2))
    machine.receipt["price"] = {"hourly-usd": "60"}
    machine.store_receipt()
    (machine.home / "source/end").touch()
    process.wait(30)
    assert machine.outcome()["cost-usd"] == 1.0
    ended = {call: when for when, call in machine.journal}
    upload = next(when for call, when in ended.items() if call.startswith("aws s3 cp /"))
    assert abs(upload - ended[READ]) < 0.4  # one after the other they would be 0.5 s apart


def test_a_price_that_does_not_come_is_hardly_waited_for(machine: Machine) -> None:
    del machine.receipt["price"]
    machine.break_aws({"match": "run.json -", "sleep": 20})
    begun = time.monotonic()
    assert machine.run("echo a")["cost-usd"] is None
    assert time.monotonic() - begun < 10  # half of what the read would take


def spot_notice(seconds: float) -> dict[str, str]:
    return {NOTICE: json.dumps({"action": "terminate", "time": Machine.iso_in(seconds)})}


def test_a_spot_notice_interrupts_the_run_gently(watched: Machine) -> None:
    watched.receipt["market"] = "spot"
    with metadata({}) as service:
        process = begin(
            watched,
            "trap 'echo saved > $PARRIS_CHECKPOINT_DIR/c; exit 0' TERM\n"
            "echo ready; sleep 60 & wait",
            AWS_EC2_METADATA_SERVICE_ENDPOINT=service.endpoint,
        )
        eventually(lambda: service.asked.count(NOTICE) > 2)
        assert process.poll() is None  # a 404 is no notice
        service.documents |= {NOTICE: "{"}
        time.sleep(0.5)
        assert process.poll() is None  # nor is half of one
        service.documents |= spot_notice(120)
        when = json.loads(service.documents[NOTICE])["time"]
        process.wait(30)
    outcome = watched.outcome()
    assert (outcome["state"], outcome["ended-by"]) == ("interrupted", "spot")
    assert outcome["reason"] == f"EC2's notice for this spot machine: terminate at {when}"
    assert watched.stored("checkpoints/c") == b"saved\n"
    assert watched.calls[-1] == "shutdown --poweroff now"


def test_a_spot_machine_is_done_before_ec2_takes_it(watched: Machine) -> None:
    watched.receipt |= {"market": "spot", "stop-grace-seconds": 600}
    with metadata(spot_notice(10)) as service:
        begun = time.monotonic()
        watched.run(STUBBORN, AWS_EC2_METADATA_SERVICE_ENDPOINT=service.endpoint)
    assert time.monotonic() - begun < 10
    assert watched.outcome()["state"] == "interrupted"
    assert watched.stored("output/early") == b"early\n"


def test_a_spot_notice_stores_what_there_is_before_the_trainer_is_told(watched: Machine) -> None:
    watched.receipt["market"] = "spot"
    stored = watched.folder / "s3" / OWN_URI.removeprefix("s3://")
    with metadata({}) as service:
        process = begin(
            watched,
            f"trap '[[ -e {stored}/checkpoints/c ]]; echo $? > $PARRIS_CHECKPOINT_DIR/d\n"
            "exit' TERM; echo saved > $PARRIS_CHECKPOINT_DIR/c; echo ready; sleep 60 & wait",
            AWS_EC2_METADATA_SERVICE_ENDPOINT=service.endpoint,
        )
        service.documents |= spot_notice(120)
        process.wait(30)
    assert watched.stored("checkpoints/d") == b"0\n"


def test_a_notice_s_upload_that_hangs_takes_neither_the_grace_nor_the_last_upload(
    watched: Machine,
) -> None:
    watched.receipt |= {"market": "spot", "stop-grace-seconds": 3}
    watched.patience["RESERVE_SECONDS"] = "8"
    with metadata({}) as service:
        process = begin(
            watched,
            "trap 'printf \"%(%s)T\" > $PARRIS_CHECKPOINT_DIR/told; sleep 1; exit' TERM\n"
            "echo ready; sleep 60 & wait",
            AWS_EC2_METADATA_SERVICE_ENDPOINT=service.endpoint,
        )
        notice = spot_notice(16)
        when = parse_iso(json.loads(notice[NOTICE])["time"])
        # The last upload begins when the first is given up, some five seconds before the end.
        watched.break_aws({"match": "s3 cp /", "sleep": 60, "before": when - 7})
        service.documents |= notice
        process.wait(30)
    assert "could not store everything this time: was given up" in watched.console
    assert watched.outcome()["ended-by"] == "spot"
    told = float(watched.stored("checkpoints/told") or b"")
    assert when - 12.5 < told < when - 8  # the upload had its time, and left the grace
    assert watched.journal[-1][0] < when


def test_an_on_demand_machine_asks_for_no_spot_notice(watched: Machine) -> None:
    with metadata(spot_notice(120)) as service:
        outcome = watched.run("sleep 1", AWS_EC2_METADATA_SERVICE_ENDPOINT=service.endpoint)
        assert "meta-data/instance-id" in service.asked
        assert NOTICE not in service.asked
    assert outcome["state"] == "succeeded"


@pytest.mark.parametrize(
    ("left", "grace", "given"), [(3600, 30, 30), (115, 600, 85), (20, 30, 13.3), (-5, 30, -3.3)]
)
def test_the_upload_has_its_share_of_a_short_notice(
    left: float, grace: float, given: float
) -> None:
    assert grace_within(left, grace) == pytest.approx(given, abs=0.1)


@pytest.mark.parametrize(
    ("left", "grace", "wait", "give_up"),
    [(120, 30, 60, 90), (120, 90, 0, 90), (120, 600, 0, 90), (20, 5, 0, 13.3), (-5, 30, 0, 0)],
)
def test_a_notice_s_first_upload_leaves_the_grace_and_the_last_upload_their_time(
    left: float, grace: float, wait: float, give_up: float
) -> None:
    assert notice_times(left, grace) == pytest.approx((wait, give_up), abs=0.1)
