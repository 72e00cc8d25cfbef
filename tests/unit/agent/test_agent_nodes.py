"""A run of several machines: they begin together, and one's end is the end of all."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.cluster import TALK, Cluster
from tests.unit.agent.machine import OWN_NAME, RUN_URI, Machine, eventually

pytestmark = pytest.mark.processes

LONG = "trap 'echo asked; echo kept > $PARRIS_CHECKPOINT_DIR/c; exit 0' TERM; echo ready\n"
LONG += "while :; do sleep 0.1; done"


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def pair(tmp_path: Path, held: contextlib.ExitStack) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, 2, held)
    yield cluster
    for machine in cluster.machines:
        machine.unplug()


def test_nodes_begin_together_and_know_each_others_addresses(pair: Cluster) -> None:
    (pair.machines[0].home / "talk.py").write_text(TALK)
    script = f"exec {sys.executable} {pair.machines[0].home}/talk.py"
    pair.start(script)
    head, worker = pair.wait()
    assert (head["state"], worker["state"]) == ("succeeded", "succeeded"), pair.messages(0)
    assert "ranks 1" in pair.messages(0)
    assert f"nodes {pair.addresses}" in pair.messages(0)
    assert any(f"nodes {pair.addresses}" in line for line in pair.messages(1))
    for machine in pair.machines:
        assert machine.calls[-1] == "shutdown --poweroff now"


def test_what_a_run_makes_is_stored_by_its_head_alone(pair: Cluster) -> None:
    pair.start(
        "for d in OUTPUT CHECKPOINT; do v=PARRIS_${d}_DIR; echo $PARRIS_NODE_RANK > ${!v}/r; done"
    )
    pair.wait()
    head, worker = pair.machines
    assert (head.stored("output/r"), head.stored("checkpoints/r")) == (b"0\n", b"0\n")
    assert (worker.stored("output/r"), worker.stored("checkpoints/r")) == (None, None)
    assert worker.stored("log.txt") is not None
    assert head.outcome()["machines"] == [OWN_NAME, OWN_NAME]  # which all of them have here
    assert "machines" not in worker.outcome()


def test_the_head_that_succeeds_ends_workers_that_go_on(pair: Cluster) -> None:
    for machine in pair.machines:
        machine.receipt["stop-grace-seconds"] = 1
    pair.start("((PARRIS_NODE_RANK == 0)) && exit 0\n" + LONG)
    head, worker = pair.wait()
    assert head["state"] == "succeeded"
    assert (worker["state"], worker["ended-by"]) == ("stopped", "node")


def test_a_worker_that_fails_fails_the_run_in_its_own_words(pair: Cluster) -> None:
    pair.start("((PARRIS_NODE_RANK == 1)) && { echo no such layer; exit 3; }\n" + LONG)
    head, worker = pair.wait(40)
    assert (head["state"], worker["state"]) == ("failed", "failed")
    assert "node 1: trainer-script.sh exited with status 3" in head["reason"]
    assert "no such layer" in head["reason"]
    assert "asked" in pair.messages(0)


@pytest.mark.parametrize("dies", [0, 1])
def test_a_node_that_vanishes_ends_all_within_its_silence(pair: Cluster, dies: int) -> None:
    pair.start(LONG)
    eventually(lambda: "ready" in pair.messages(0) and pair.messages(1))
    began = time.monotonic()
    pair.kill(dies)
    other = 1 - dies
    pair.agents[other].wait(20)
    outcome = pair.machines[other].outcome()
    assert (outcome["state"], outcome["ended-by"]) == ("interrupted", "node"), outcome
    assert ("node 1 (" if dies else "the head (") in outcome["reason"]
    assert time.monotonic() - began < 15


def test_a_trainer_that_fails_because_a_peer_is_gone_was_interrupted(pair: Cluster) -> None:
    # The head's trainer knows before its agent: the worker's is killed, and silent.
    pair.start("echo ready; while [[ ! -e fail ]]; do sleep 0.1; done; exit 1")
    eventually(lambda: "ready" in pair.messages(0) and pair.messages(1))
    (pair.machines[0].home / "source/fail").touch()
    pair.kill(1)
    pair.agents[0].wait(20)
    outcome = pair.machines[0].outcome()
    assert (outcome["state"], outcome["ended-by"]) == ("interrupted", "node"), outcome


def test_a_trainer_that_fails_on_all_nodes_has_failed(pair: Cluster) -> None:
    pair.start("echo broken; exit 4")
    head, worker = pair.wait()
    assert (head["state"], head["exit-status"]) == ("failed", 4)
    assert worker["state"] == "failed"


def test_a_node_that_cannot_reach_the_head_ends_and_the_head_says_who_is_missing(
    pair: Cluster,
) -> None:
    pair.environs[1]["PARRIS_HEAD"] = "127.121.0.1"
    pair.start("echo began")
    head, worker = pair.wait()
    assert (head["state"], worker["state"]) == ("failed", "failed")
    assert "node 1 of 2 did not reach the head" in head["reason"]
    assert "security group" in head["reason"]
    assert "could not be reached" in worker["reason"]
    assert not any("began" in line for line in pair.messages(0) + pair.messages(1))


def test_whoever_does_not_know_the_runs_secret_is_no_node_of_it(pair: Cluster) -> None:
    pair.environs[1]["PARRIS_LOG_STREAM"] = "digits/r1/other"
    for machine, own in zip(pair.machines, pair.environs, strict=True):
        machine.script("echo began")
        pair.agents.append(machine.start(**own))
    head, _ = pair.wait()
    assert head["state"] == "failed"
    assert not any("began" in line for line in pair.messages(0))


def test_a_stop_of_the_run_is_the_heads_to_hear_and_reaches_all(pair: Cluster) -> None:
    pair.start(LONG)
    eventually(lambda: "ready" in pair.messages(0) and pair.messages(1))
    pair.machines[0].receipt["stop"] = {"requested": "2026-01-01T12:00:00Z", "by": "make stop"}
    pair.machines[0].store_receipt()
    head, worker = pair.wait()
    assert (head["state"], head["ended-by"]) == ("stopped", "stop")
    assert pair.machines[0].stored("checkpoints/c") == b"kept\n"
    assert worker["state"] == "stopped"
    assert any("asked" in line for line in pair.messages(1))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_spot_notice_to_any_node_interrupts_the_run(pair: Cluster, rank: int) -> None:
    for machine in pair.machines:
        machine.receipt |= {"market": "spot", "stop-grace-seconds": 2}
    pair.start(LONG)
    eventually(lambda: "ready" in pair.messages(0) and pair.messages(1))
    when = Machine.iso_in(40)
    notice = f'{{"action": "terminate", "time": "{when}"}}'
    documents: dict[str, str] = pair.machines[rank].documents  # type: ignore[attr-defined]
    documents["meta-data/spot/instance-action"] = notice
    head, worker = pair.wait(40)
    assert (head["state"], head["ended-by"]) == ("interrupted", "spot"), head
    assert f"terminate at {when}" in head["reason"]
    assert pair.machines[0].stored("checkpoints/c") == b"kept\n"
    assert worker["state"] in ("stopped", "interrupted")


def test_a_workers_clock_ends_nothing(pair: Cluster, tmp_path: Path) -> None:
    (tmp_path / "clock").mkdir()
    skewed = "import time\nreal = time.time\ntime.time = lambda: real() + 7200\n"
    (tmp_path / "clock/sitecustomize.py").write_text(skewed)
    pair.environs[1]["PYTHONPATH"] = str(tmp_path / "clock")  # two hours: past its deadline
    pair.start("sleep 3; echo done")
    head, worker = pair.wait()
    assert (head["state"], worker["state"]) == ("succeeded", "succeeded")
    armed = [call for call in pair.machines[1].calls if "shutdown --poweroff +" in call]
    assert armed == ["shutdown --poweroff +60"]  # by the head's word: an hour less some seconds


def test_a_later_deadline_is_the_heads_to_hear_and_moves_all_timers(pair: Cluster) -> None:
    pair.start(LONG)
    eventually(lambda: "ready" in pair.messages(0) and pair.messages(1))
    pair.machines[0].receipt["deadline"] = Machine.iso_in(3 * 3600 + 30)
    pair.machines[0].store_receipt()
    for machine in pair.machines:
        eventually(lambda one=machine: "shutdown --poweroff +181" in one.calls)  # type: ignore[misc]
    for agent in pair.agents:
        assert agent.poll() is None


def test_a_worker_that_uploads_slowly_holds_nobody_up(pair: Cluster) -> None:
    pair.machines[1].break_aws({"match": RUN_URI + "/machines", "sleep": 8})
    pair.start("echo done")
    began = time.monotonic()
    pair.agents[0].wait(20)
    assert pair.machines[0].outcome()["state"] == "succeeded"
    assert time.monotonic() - began < 8


def test_a_machine_alone_is_node_0_of_1(machine: Machine) -> None:
    words = "$PARRIS_NODES $PARRIS_NODE_RANK $PARRIS_GPUS_PER_NODE ${MASTER_ADDR:-none}"
    machine.run(f"echo {words} > $PARRIS_OUTPUT_DIR/e")
    assert machine.stored("output/e") == b"1 0 0 none\n"
