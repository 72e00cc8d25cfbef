"""A machine says how its run goes: metrics, how busy it is, and an idle GPU ends the run."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from parris.runs.outcome import read_outcome
from tests.unit.agent.machine import Machine, eventually
from tests.unit.agent.test_agent_restore import FIRST, keep
from tests.unit.agent.test_agent_restore import second as second

pytestmark = pytest.mark.processes

GPU = "echo '{}, 8000, 16000, 100.5'"
OFTEN = {"SAMPLE_SECONDS, LOOK_SECONDS": "0.4, 0.1"}


def last(machine: Machine) -> dict[str, Any]:
    content = machine.stored("metrics.json")
    return json.loads(content) if content else {}


def test_a_machine_says_how_its_run_goes(machine: Machine) -> None:
    machine.patience |= OFTEN
    machine.record("nvidia-smi", GPU.format(80))
    machine.receipt |= {"sync-interval-seconds": 0.3, "attempt": 2}
    machine.script(
        """for epoch in 1 2 3; do echo "{\\"epoch\\": $epoch, \\"loss\\": NaN}"; done \\
             >$PARRIS_OUTPUT_DIR/metrics.jsonl
           until [[ -e end ]]; do sleep 0.1; done
           printf '{"epoch": 4}' >>$PARRIS_OUTPUT_DIR/metrics.jsonl"""
    )
    process = machine.start()
    eventually(lambda: last(machine).get("metrics") and last(machine)["usage"])
    told = last(machine)
    assert told["metrics"] == {"epoch": 3, "loss": "nan"}
    assert (told["attempt"], told["over"], "history" in told) == (2, False, False)
    assert told["usage"]["gpu0-percent"] == 80
    assert told["usage"]["gpu0-memory-percent"] == 50
    (machine.home / "source/end").touch()
    process.wait(30)
    outcome = machine.outcome()
    assert outcome["metrics"] == {"loss": "nan", "epoch": 4}
    assert outcome["usage"]["gpu0-watts"] == {"mean": 100.5, "peak": 100.5}
    assert outcome["usage"]["cpu-percent"]["peak"] >= outcome["usage"]["cpu-percent"]["mean"]
    assert last(machine)["over"] is True
    samples = [json.loads(line) for line in (machine.stored("machine.jsonl") or b"").splitlines()]
    assert samples
    assert all(one["gpu0-percent"] == 80 and one["time"].startswith("20") for one in samples)
    assert outcome["bytes-stored"] == sum(
        len(machine.stored(name) or b"") for name in ("output/metrics.jsonl", "log.txt")
    )
    body = json.dumps(outcome).encode()
    assert read_outcome(body, "digits", "r1", by_machine=True)[0] == outcome


def test_a_machine_says_how_the_metric_went_that_its_grid_goes_by(machine: Machine) -> None:
    machine.patience |= OFTEN
    machine.receipt |= {"sync-interval-seconds": 0.3, "history": "acc"}
    machine.script(
        """for epoch in 1 2 3; do echo "{\\"epoch\\": $epoch, \\"acc\\": 0.$epoch, \\"b\\": 1}"
           done >$PARRIS_OUTPUT_DIR/metrics.jsonl
           until [[ -e end ]]; do sleep 0.1; done
           echo '{"epoch": 4, "acc": NaN}' >>$PARRIS_OUTPUT_DIR/metrics.jsonl"""
    )
    process = machine.start()
    eventually(lambda: last(machine).get("history"))
    told = [[1, 0.1, 0.1, 0.1], [2, 0.15, 0.1, 0.2], [3, 0.2, 0.1, 0.3]]
    assert last(machine)["history"] == told
    (machine.home / "source/end").touch()
    process.wait(60)
    outcome = machine.outcome()
    assert outcome["history"] == [*told, [4, 0.2, 0.1, 0.3]]
    body = json.dumps(outcome).encode()
    assert read_outcome(body, "digits", "r1", by_machine=True)[0] == outcome


def test_a_short_run_without_gpu_or_metrics_has_its_machine_measured(machine: Machine) -> None:
    outcome = machine.run("echo ready")
    assert outcome["metrics"] == {}
    assert {"memory-percent", "disk-percent"} <= outcome["usage"].keys()
    assert not any(name.startswith("gpu") for name in outcome["usage"])
    assert last(machine)["over"] is True


def test_an_idle_gpu_ends_the_run_gently(machine: Machine) -> None:
    machine.patience |= OFTEN
    machine.record("nvidia-smi", GPU.format(1))
    machine.receipt["idle-gpu-minutes"] = 0.02
    outcome = machine.run("trap 'echo saved; exit 0' TERM; while :; do sleep 0.1; done")
    assert (outcome["state"], outcome["ended-by"]) == ("stopped", "idle")
    assert outcome["reason"].startswith("idle: its GPU was used 1.0 % on average, and never 5 %")
    assert b"saved\n" in (machine.stored("log.txt") or b"")


@pytest.mark.parametrize("gpu", [GPU.format(90), "exit 1", ""])
def test_a_gpu_that_is_busy_or_says_nothing_ends_no_run(machine: Machine, gpu: str) -> None:
    machine.patience |= OFTEN
    if gpu:
        machine.record("nvidia-smi", gpu)
    machine.receipt["idle-gpu-minutes"] = 0.01
    assert machine.run("sleep 2")["state"] == "succeeded"


def test_a_driver_that_hangs_holds_no_run_up(machine: Machine) -> None:
    machine.patience |= OFTEN
    machine.put("nvidia-smi", "#!/bin/bash\nsleep 60\n")
    machine.receipt["idle-gpu-minutes"] = 0.01
    assert machine.run("sleep 1; echo '{\"a\": 1}' >$PARRIS_OUTPUT_DIR/metrics.jsonl", 20)[
        "metrics"
    ] == {"a": 1}


def test_the_next_machine_goes_on_with_the_metrics_of_the_one_before(second: Machine) -> None:
    keep(second, "output/metrics.jsonl", '{"epoch": 7, "best": 0.5}\n', FIRST)
    keep(second, "checkpoints/epoch", "7\n", FIRST)
    script = "echo '{\"epoch\": 8}' >>$PARRIS_OUTPUT_DIR/metrics.jsonl"
    assert second.run(script)["metrics"] == {"best": 0.5, "epoch": 8}


def test_metrics_are_told_of_a_run_whose_supervisor_was_killed(machine: Machine) -> None:
    (machine.home / "output/metrics.jsonl").write_text('{"loss": 0.25}\n')
    machine.put("agent", f"#!/bin/bash\nexec {machine.bin}/python3 {machine.home}/agent.pyz $@\n")
    (machine.home / "agent.pyz").write_bytes(machine.agent())
    (machine.home / "run.json").write_text(json.dumps(machine.receipt))
    machine.store_receipt()
    subprocess.run(
        [machine.bin / "agent", machine.home, "died"], env=machine.environ, check=True, timeout=60
    )
    assert machine.outcome()["metrics"] == {"loss": 0.25}
    assert last(machine)["over"] is True
