"""A run that goes on from another begins with its checkpoints, or does not begin."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.unit.agent.machine import Machine, eventually, metadata

EARLIER = "runs/digits/r0/machines/AROATESTTESTTESTTEST1:i-0fedcba9876543210/"
FIRST = "runs/digits/r1/machines/AROATESTTESTTESTTEST1:i-0fedcba9876543210/"
SCRIPT = (
    'echo "resumed ${PARRIS_RESUMED:-no}"; cat "$PARRIS_CHECKPOINT_DIR/epoch" || true; '
    'echo 4 > "$PARRIS_CHECKPOINT_DIR/epoch"'
)


def keep(machine: Machine, name: str, content: str, folder: str = EARLIER) -> None:
    path = machine.folder / "s3/results" / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.fixture
def resuming(machine: Machine) -> Machine:
    machine.receipt |= {"resumes": "r0", "restore": f"{EARLIER}checkpoints/"}
    machine.patience |= {"RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS": "2, 0.1"}
    return machine


@pytest.fixture
def second(machine: Machine) -> Machine:
    """The second machine of a run."""
    machine.receipt |= {"attempt": 2, "earlier-attempt": FIRST}
    machine.patience |= {"RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS": "2, 0.1"}
    return machine


def log_of(machine: Machine) -> list[str]:
    return (machine.stored("log.txt") or b"").decode().splitlines()


def test_the_trainer_finds_the_checkpoints_of_the_run_that_it_goes_on_from(
    resuming: Machine,
) -> None:
    keep(resuming, "checkpoints/epoch", "3\n")
    keep(resuming, "checkpoints/deep/er", "x")
    keep(resuming, "output/model", "of that run")
    keep(resuming, "log.txt", "of that run\n")
    assert resuming.run(SCRIPT)["state"] == "succeeded"
    said, resumed, epoch = log_of(resuming)
    assert said.startswith("parris: this run goes on from run r0: 2 checkpoint files, 3 bytes, ")
    assert (resumed, epoch) == ("resumed 1", "3")
    assert resuming.messages[0] == said
    assert resuming.stored("checkpoints/epoch") == b"4\n"
    assert resuming.stored("checkpoints/deep/er") == b"x"
    assert resuming.stored("output/model") is None


def test_a_run_may_go_on_from_one_of_a_version_without_machines_folders(resuming: Machine) -> None:
    resuming.receipt["restore"] = "runs/digits/r0/checkpoints/"
    keep(resuming, "epoch", "3\n", "runs/digits/r0/checkpoints/")
    assert resuming.run(SCRIPT)["state"] == "succeeded"
    assert log_of(resuming)[1:] == ["resumed 1", "3"]


def test_a_run_whose_checkpoints_are_gone_trains_nothing(resuming: Machine) -> None:
    outcome = resuming.run("echo resumed ${PARRIS_RESUMED:-no}")
    assert (outcome["state"], outcome["ended-by"]) == ("failed", "agent")
    assert outcome["reason"] == (
        "the checkpoints of run r0 could not be fetched: there are none any more"
    )


def test_a_run_without_another_is_not_resumed(machine: Machine) -> None:
    machine.run("echo attempt $PARRIS_ATTEMPT, resumed ${PARRIS_RESUMED:-no}")
    assert machine.stored("log.txt") == b"attempt 1, resumed no\n"


def test_a_second_machine_has_all_that_the_first_one_stored(second: Machine) -> None:
    keep(second, "checkpoints/epoch", "3\n", FIRST)
    keep(second, "output/deep/model", "m", FIRST)
    keep(second, "log.txt", "epoch 2\nepo", FIRST)
    keep(second, "alive.json", '{"attempt": 1}', FIRST)
    assert second.run(f"echo attempt $PARRIS_ATTEMPT; {SCRIPT}")["state"] == "succeeded"
    *first, said, attempt, resumed, epoch = log_of(second)
    assert first == ["epoch 2", "epo"]  # a line that was cut short stays one
    assert said.startswith(
        "parris: attempt 2 begins: it goes on from attempt 1's 1 checkpoint and 1 output files, "
        "3 bytes, fetched in "
    )
    assert (attempt, resumed, epoch) == ("attempt 2", "resumed 1", "3")
    assert second.messages == [said, attempt, resumed, epoch]
    assert second.stored("output/deep/model") == b"m"
    assert second.stored("checkpoints/epoch") == b"4\n"
    assert not (second.home / "fetched").exists()


def test_a_second_machine_without_a_checkpoint_begins_anew(second: Machine) -> None:
    keep(second, "output/model", "m", FIRST)
    keep(second, "alive.json", "[]", FIRST)
    assert second.run("echo resumed ${PARRIS_RESUMED:-no}")["state"] == "succeeded"
    said, resumed = log_of(second)
    assert said.startswith(
        "parris: attempt 2 begins: the training begins anew, since an earlier attempt left no "
        "checkpoint; 1 output files, 1 bytes, "
    )
    assert resumed == "resumed no"


def test_a_second_machine_says_of_what_it_does_not_know_whether_it_is_whole(
    second: Machine,
) -> None:
    keep(second, "checkpoints/epoch", "3\n", FIRST)
    keep(second, "whole.json", '{"checkpoints/epoch": "of another"}', FIRST)
    said = "An error occurred (AccessDenied) when calling"
    second.break_aws({"match": "list-object-versions", "status": 254, "said": said})
    assert second.run(SCRIPT)["state"] == "succeeded"
    assert f"; whether all were stored whole is unknown: {said}" in log_of(second)[0]
    assert log_of(second)[1:] == ["resumed 1", "3"]


def test_a_second_machine_whose_first_never_began_goes_on_from_the_other_run(
    resuming: Machine,
) -> None:
    resuming.receipt["attempt"] = 2
    keep(resuming, "checkpoints/epoch", "3\n")
    resuming.run(f"echo attempt $PARRIS_ATTEMPT; {SCRIPT}")
    assert log_of(resuming)[1:] == ["attempt 2", "resumed 1", "3"]


def test_a_second_machine_that_cannot_fetch_trains_nothing(second: Machine) -> None:
    second.break_aws({"match": "s3 sync", "status": 1, "said": "fatal error: no network"})
    assert second.run(SCRIPT)["reason"] == (
        "what an earlier attempt stored could not be fetched: fatal error: no network"
    )


@pytest.mark.parametrize("how", ["stop", "signal", "deadline", "spot"])
def test_what_ends_a_run_ends_it_while_it_fetches_and_nothing_half_is_stored(
    second: Machine, how: str
) -> None:
    second.break_aws({"match": "s3 sync", "sleep": 60})
    resuming, half = second, second.home / "fetched/checkpoints/half"
    if how == "deadline":
        resuming.receipt["deadline"] = resuming.iso_in(8)
    resuming.patience["CONTROL_SECONDS"] = "1"
    resuming.script(SCRIPT)
    notice = {}
    if how == "spot":
        resuming.receipt["market"] = "spot"
        resuming.patience["SPOT_SECONDS"] = "2"
        when = {"action": "terminate", "time": resuming.iso_in(120)}
        notice["meta-data/spot/instance-action"] = json.dumps(when)
    with metadata(notice) as service:
        agent = resuming.start(AWS_EC2_METADATA_SERVICE_ENDPOINT=service.endpoint)
        try:
            eventually(lambda: resuming.broken)
            half.parent.mkdir(parents=True)
            half.write_text("half of it")
            if how == "stop":
                resuming.receipt["stop"] = {"requested": "now", "by": "make stop"}
                resuming.store_receipt()
            if how == "signal":
                agent.terminate()
            agent.wait(30)
        finally:
            agent.kill()
    outcome = resuming.outcome()
    states = {"stop": "stopped", "deadline": "timed-out"}
    assert outcome["state"] == states.get(how, "interrupted")
    assert outcome["reason"].endswith(" during the fetch of what an earlier attempt stored")
    assert outcome["started"] is None
    assert not half.exists()
    assert [call for call in resuming.calls if "checkpoints" in call] == []
    assert resuming.stored("checkpoints/half") is None


def test_a_supervisor_that_is_killed_while_it_fetches_stores_nothing_half(second: Machine) -> None:
    second.break_aws({"match": "s3 sync", "sleep": 60})
    second.script(SCRIPT)
    agent = second.start()
    eventually(lambda: second.broken)
    half = second.home / "fetched/checkpoints/half"
    half.parent.mkdir(parents=True)
    half.write_text("half of it")
    agent.kill()
    command = [f"{second.bin}/python3", f"{second.home}/agent.pyz", str(second.home), "died"]
    subprocess.run(command, env=second.environ, check=True, timeout=30)
    assert second.outcome()["state"] == "failed"
    assert second.stored("checkpoints/half") is None


def test_what_fails_once_is_fetched_by_the_next_try(resuming: Machine) -> None:
    resuming.patience["RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS"] = "100, 0.2"
    keep(resuming, "checkpoints/epoch", "3\n")
    resuming.break_aws({"match": "s3 sync", "status": 1, "said": "fatal error: no network"})
    resuming.script(SCRIPT)
    agent = resuming.start()
    try:
        said = "could not fetch all of the checkpoints of run r0: fatal error: no network"
        eventually(lambda: said in resuming.console)
        assert resuming.stored("outcome.json") is None
        resuming.break_aws()  # the network is back
        agent.wait(30)
    finally:
        agent.kill()
    outcome = resuming.outcome()
    assert (outcome["state"], outcome["warnings"]) == ("succeeded", [])
    assert log_of(resuming)[1:] == ["resumed 1", "3"]
    assert resuming.stored("checkpoints/epoch") == b"4\n"


@pytest.mark.parametrize("how", ["failed", "killed"])
def test_a_fetch_that_breaks_off_midway_goes_on_where_it_was(second: Machine, how: str) -> None:
    for name in ("a", "b", "c"):
        keep(second, f"checkpoints/{name}", f"{name} is long\n", FIRST)
    second.break_aws({"at": "b", "how": how})
    outcome = second.run("cd $PARRIS_CHECKPOINT_DIR; echo resumed $PARRIS_RESUMED *")
    assert (outcome["state"], outcome["warnings"]) == ("succeeded", [])
    assert second.console.count("could not fetch all of what an earlier attempt stored") == 1
    assert (second.folder / "fetched").read_text().splitlines() == ["a", "b", "c"]  # each once
    assert log_of(second)[-1] == "resumed 1 a b c"  # and nothing half
    assert second.stored("checkpoints/b") == b"b is long\n"


def test_what_always_fails_trains_nothing(
    resuming: Machine,
) -> None:
    resuming.break_aws({"match": "s3 sync", "status": 1, "said": "fatal error: no network"})
    outcome = resuming.run(SCRIPT)
    assert (outcome["state"], outcome["ended-by"]) == ("failed", "agent")
    assert outcome["reason"] == (
        "the checkpoints of run r0 could not be fetched: fatal error: no network"
    )
    assert outcome["started"] is None
    said = "could not fetch all of the checkpoints of run r0: fatal error"
    assert resuming.console.count(said) == 2
