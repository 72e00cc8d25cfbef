"""Runs of several machines, with both functions, their rules and their events."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.local import faults
from tests.e2e.conftest import Clone, wait_for
from tests.e2e.test_attempts import (
    Trace,
    assert_nothing_is_left,
    home,
    is_over,
    stack_events,
    sweep,
    take,
)

EPOCHS = 20
SCRIPT = '#!/bin/bash\nexec python3 train.py "${PARRIS_PARAM_EPOCHS}" "${PARRIS_PARAM_TRACE}"\n'
TRAINER = '''
"""All nodes add up a number each epoch, over sockets; the head keeps the sum."""
import json, os, pathlib, socket, sys, time

epochs, trace = int(sys.argv[1]), pathlib.Path(sys.argv[2])
nodes, rank = int(os.environ["PARRIS_NODES"]), int(os.environ["PARRIS_NODE_RANK"])
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
saved = pathlib.Path(os.environ["PARRIS_CHECKPOINT_DIR"], "state.json")
state = json.loads(saved.read_text()) if saved.exists() else {"epoch": 0, "sum": 0}
print("rank", rank, "of", nodes, "begins after", state, flush=True)
peers = []
if rank == 0:
    server = socket.create_server(place)
    for _ in range(nodes - 1):
        connection = server.accept()[0]
        peers.append(connection.makefile("rw"))
else:
    while not peers:
        try:
            peers.append(socket.create_connection(place).makefile("rw"))
        except OSError:
            time.sleep(0.2)

def said(peer):
    line = peer.readline()
    if not line:
        sys.exit("a peer is gone")
    return int(line)

def tell(peer, number):
    print(number, file=peer, flush=True)

while state["epoch"] < epochs:
    epoch = state["epoch"] + 1
    own = (rank + 1) * epoch
    if rank == 0:
        total = own + sum(map(said, peers))
        for peer in peers:
            tell(peer, total)
    else:
        tell(peers[0], own)
        total = said(peers[0])
    state = {"epoch": epoch, "sum": state["sum"] + total}
    if rank == 0:
        saved.with_suffix(".new").write_text(json.dumps(state))
        saved.with_suffix(".new").replace(saved)
        with trace.open("a") as file:
            print(os.environ["PARRIS_ATTEMPT"], epoch, file=file)
    print("epoch", epoch, flush=True)
    time.sleep(1)
output = pathlib.Path(os.environ["PARRIS_OUTPUT_DIR"])
(output / "sum").write_text(str(state["sum"]))
(output / "nodes").write_text(os.environ["PARRIS_NODE_IPS"])
'''


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace")


@pytest.fixture(autouse=True)
def _sound_again(clone: Clone) -> Iterator[None]:
    yield
    faults.write(home(clone), {})


def total(nodes: int, epochs: int = EPOCHS) -> str:
    return str(sum(range(1, nodes + 1)) * sum(range(1, epochs + 1)))


def begin(clone: Clone, job: str, trace: Trace, *, epochs: int = EPOCHS, **config: Any) -> Any:
    """Launch a run of a new job of several nodes; return the launch function's answer."""
    whole = {
        "training-job-name": f"e2e-{job}",
        "sync-interval-seconds": 5,
        "stop-grace-seconds": 2,
        "nodes": 2,
        "parameters": {"epochs": epochs, "trace": str(trace.path)},
        **config,
    }
    files = {"trainer-script.sh": SCRIPT, "train.py": TRAINER}
    clone.put_job(job, {"training-config.json": json.dumps(whole), **files})
    answer = clone.invoke({"job": job})
    assert "errorMessage" not in answer, answer
    return answer


class Watch:
    """The machines of a run while it goes on, by attempt and rank, looked at again and again."""

    def __init__(self, clone: Clone, job: str) -> None:
        self._clone, self._job = clone, job
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.nodes: dict[tuple[str, str], str] = {}
        """Ids by stack and rank."""
        self.stacks: list[str] = []
        self.ended: dict[str, float] = {}
        """When each machine was terminated, time.monotonic()."""

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            for one in self._clone.instances(self._job):
                tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
                stack = tags["parris:stack"]
                if stack not in self.stacks:
                    self.stacks.append(stack)
                self.nodes.setdefault((stack, tags["parris:node"]), one["InstanceId"])
                if is_over(one):
                    self.ended.setdefault(one["InstanceId"], time.monotonic())
            time.sleep(0.2)

    def node(self, attempt: int, rank: int) -> str:
        """Wait for a node of the attempt of that number, from 1; return its id."""

        def found() -> str | None:
            stacks = self.stacks[attempt - 1 : attempt]
            return self.nodes.get((stacks[0], str(rank))) if stacks else None

        return str(wait_for(found, 120))


def logs(clone: Clone, job: str, run_id: str) -> dict[str, str]:
    """Return the logs that machines have stored, by instance id."""
    s3, bucket = clone.client("s3"), clone.outputs["results_bucket"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"runs/{job}/{run_id}/machines/")
    keys = [item["Key"] for item in listed.get("Contents", []) if item["Key"].endswith("log.txt")]
    return {
        key.split("/")[4].rpartition(":")[2]: s3.get_object(Bucket=bucket, Key=key)["Body"]
        .read()
        .decode()
        for key in keys
    }


def stored_sum(clone: Clone, job: str, outcome: dict[str, Any]) -> str:
    """Return what the head has stored of the last attempt."""
    key = f"runs/{job}/{outcome['run-id']}/machines/{outcome['machine']}/output/sum"
    got = clone.client("s3").get_object(Bucket=clone.outputs["results_bucket"], Key=key)
    return str(got["Body"].read().decode())


def test_two_nodes_find_each_other_and_the_heads_end_is_the_runs(
    clone: Clone, trace: Trace
) -> None:
    ec2 = clone.client("ec2")
    with Watch(clone, "pair") as watch:
        answer = begin(clone, "pair", trace, epochs=3, **{"instance-type": "c5.large"})
        wait_for(lambda: len(watch.nodes) == 2, 60)
        groups = [one["SecurityGroups"] for one in clone.instances("pair")]
        group = groups[0][0]["GroupId"]
        assert [[one["GroupId"] for one in each] for each in groups] == [[group], [group]]
        [together] = {one["Placement"]["GroupName"] for one in clone.instances("pair")}
        [found] = ec2.describe_placement_groups(GroupNames=[together])["PlacementGroups"]
        assert found["Strategy"] == "cluster"
        tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
        assert tags["parris:run-id"] == answer["run-id"]
        [rule] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0][
            "IpPermissions"
        ]
        assert rule["IpProtocol"] == "-1"
        assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [group]
        assert rule["IpRanges"] == []
        outcome = clone.outcome("pair", answer["run-id"], 120)
        assert_nothing_is_left(clone, answer)
    assert ec2.describe_placement_groups()["PlacementGroups"] == []
    assert (outcome["state"], outcome["ended-by"]) == ("succeeded", "trainer"), outcome
    assert outcome["instance-id"] == watch.node(1, 0)
    assert clone.read("pair", answer["run-id"], "run.json")
    assert stored_sum(clone, "pair", outcome) == total(2, 3)
    said = logs(clone, "pair", answer["run-id"])
    assert set(said) == {watch.node(1, 0), watch.node(1, 1)}
    for rank in (0, 1):
        assert f"rank {rank} of 2 begins" in said[watch.node(1, rank)]
    shown = clone.make("logs", "LOCAL=1", f"RUN={answer['run-id']}").stdout
    for line in ("[0] rank 0 of 2 begins", "[1] rank 1 of 2 begins", "[0] epoch 3", "[1] epoch 3"):
        assert line in shown
    clone.make("results", "LOCAL=1", f"RUN={answer['run-id']}")
    stored = clone.folder / "results/pair" / answer["run-id"] / "nodes/1"
    assert "rank 1 of 2 begins" in (stored / "log.txt").read_text()
    assert json.loads((stored / "outcome.json").read_text())["state"] == "succeeded"
    assert float(answer["hourly-usd"]) == pytest.approx(2 * (0.085 + 0.0033 + 0.005), rel=0.1)


@pytest.mark.parametrize("dies", [0, 1], ids=["head", "worker"])
def test_a_node_that_dies_ends_the_attempt_and_the_run_goes_on_from_its_checkpoint(
    clone: Clone, trace: Trace, dies: int
) -> None:
    job = f"loses-node-{dies}"
    with Watch(clone, job) as watch:
        answer = begin(clone, job, trace)
        first = [watch.node(1, rank) for rank in (0, 1)]
        trace.wait(1, 8)
        killed = time.monotonic()
        take(clone, first[dies])
        wait_for(lambda: len(watch.ended) >= 2, 60)
        assert max(watch.ended[one] for one in first) - killed < 30
        outcome = clone.outcome(job, answer["run-id"], 240)
        assert_nothing_is_left(clone, answer)
    assert outcome["state"] == "succeeded", outcome
    attempts = outcome["attempts"]
    assert [one["state"] for one in attempts] == ["interrupted", "succeeded"]
    assert 0 <= trace.epochs(1)[-1] - trace.epochs(2)[0] + 1 <= 11
    if dies:  # the head is there to say so
        assert attempts[0]["ended-by"] == "node"
        assert "node 1 (" in attempts[0]["reason"]
    assert stored_sum(clone, job, outcome) == total(2)


def test_all_nodes_may_be_taken_at_once(clone: Clone, trace: Trace) -> None:
    with Watch(clone, "all-taken") as watch:
        answer = begin(clone, "all-taken", trace, epochs=12, market="spot")
        first = [watch.node(1, rank) for rank in (0, 1)]
        trace.wait(1, 3)
        # t3.medium, which EC2 puts into no cluster
        assert {one["Placement"].get("GroupName") for one in clone.instances("all-taken")} == {None}
        for one in first:
            take(clone, one, notice=15)
        outcome = clone.outcome("all-taken", answer["run-id"], 240)
        assert_nothing_is_left(clone, answer)
    assert outcome["state"] == "succeeded", outcome
    assert [one["ended-by"] for one in outcome["attempts"]] == ["spot", "trainer"]
    assert trace.epochs(2)[0] == trace.epochs(1)[-1] + 1  # on notice nothing is lost


def test_capacity_for_two_of_three_is_capacity_for_none(clone: Clone, trace: Trace) -> None:
    wanted: Any = {"nodes": 3, "instance-type": ["c5.large", "m5.large"]}
    rule = {"instance-type": "c5.large", "error": "InsufficientInstanceCapacity", "after": 2}
    faults.write(home(clone), {"capacity": [rule]})
    with Watch(clone, "short-of-one") as watch:
        began = time.monotonic()
        answer = begin(clone, "short-of-one", trace, epochs=2, **wanted)
        first = [watch.node(1, rank) for rank in (0, 1)]
        wait_for(lambda: all(one in watch.ended for one in first), 60)
        assert time.monotonic() - began < 60
        outcome = clone.outcome("short-of-one", answer["run-id"], 240)
        assert_nothing_is_left(clone, answer)
    assert outcome["state"] == "succeeded", outcome
    *refused, last = outcome["attempts"]
    assert {one["refusal"] for one in refused} == {"capacity"}
    assert refused[0]["cost-usd"] > 0
    assert last["instance-type"] == "m5.large"
    assert stack_events(clone, answer["stack-id"], "ROLLBACK_COMPLETE") != []


def test_a_launch_replaces_all_nodes_of_the_run_before(clone: Clone, trace: Trace) -> None:
    """With another number of them too: the stack is updated, and what is one too many goes."""
    options: Any = {"stack-replacement": True, "instance-type": "c5.large"}
    with Watch(clone, "replaced-pair") as watch:
        first = begin(clone, "replaced-pair", trace, epochs=600, nodes=3, **options)
        trace.wait(1, 2)
        former = [watch.node(1, rank) for rank in (0, 1, 2)]
        second = begin(clone, "replaced-pair", trace, epochs=3, **options)
        assert second["stack-id"] == first["stack-id"]
        replaced = clone.outcome("replaced-pair", first["run-id"], 120)
        outcome = clone.outcome("replaced-pair", second["run-id"], 240)
        assert_nothing_is_left(clone, second)
        wait_for(lambda: all(one in watch.ended for one in former), 60)
    assert (replaced["state"], replaced["ended-by"]) == ("interrupted", "replacement"), replaced
    assert outcome["state"] == "succeeded", outcome
    assert stored_sum(clone, "replaced-pair", outcome) == total(2, 3)
    assert clone.client("ec2").describe_placement_groups()["PlacementGroups"] == []


def armed_for(console: Path) -> int:
    """Return in how many seconds a machine is to go off, by its last word."""
    return int(re.findall(r"shutdown scheduled in (\d+) s", console.read_text())[-1])


def test_extend_and_stop_reach_all_nodes(clone: Clone, trace: Trace) -> None:
    limit: Any = {"termination-method": "at-fixed-time", "time-limit": 10}
    with Watch(clone, "stopped-pair") as watch:
        answer = begin(clone, "stopped-pair", trace, epochs=600, **limit)
        trace.wait(1, 2)
        for rank in (0, 1):
            console = home(clone) / "instances" / watch.node(1, rank) / "console.log"
            assert armed_for(console) < 15 * 60
        clone.make("extend", "LOCAL=1", f"RUN={answer['run-id']}", "MINUTES=30")
        for rank in (0, 1):
            console = home(clone) / "instances" / watch.node(1, rank) / "console.log"
            wait_for(lambda console=console: armed_for(console) > 30 * 60, 60)  # type: ignore[misc]
        clone.make("stop", "LOCAL=1", f"RUN={answer['run-id']}")
        outcome = clone.outcome("stopped-pair", answer["run-id"], 90)
        assert_nothing_is_left(clone, answer)
    assert (outcome["state"], outcome["ended-by"]) == ("stopped", "stop"), outcome
    assert len(watch.stacks) == 1
    sweep(clone)
