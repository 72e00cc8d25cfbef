"""Whoever follows a run is never left without a word, and Ctrl-C ends the following alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts.cli import console
from scripts.commands import launch
from scripts.deployment import follow as following
from scripts.deployment.runs import Run
from trainer.runtime.agent.limits import LONGEST_PAUSE


class Log:
    """A log that has nothing at the first two looks, and two lines at the third."""

    def __init__(self, _deployment: Any, _since: Any = None) -> None:
        self._looks = 0

    def new_lines(self, _run: Run) -> Iterator[str]:
        self._looks += 1
        if self._looks == 3:
            yield from ("epoch 1", "epoch 2")


def run_in(state: str) -> Run:
    return Run(
        job="mine",
        run_id="r-1",
        receipt={},
        outcome=None,
        stack=None,
        state=state,
        reason="",
        ended_by="",
    )


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "time", SimpleNamespace(monotonic=lambda: 0, sleep=lambda _: 0))
    monkeypatch.setattr(following, "LogTail", Log)
    monkeypatch.setattr(console, "PROGRESS_SECONDS", -1.0)


def test_the_time_until_a_machine_says_something_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states = iter(("running", "succeeded"))  # of which one is asked for at each third look
    monkeypatch.setattr(following, "find_run", lambda *_: run_in(next(states)))
    assert following.follow(SimpleNamespace(), "mine", "r-1") == 0  # type: ignore[arg-type]
    assert capsys.readouterr().out.splitlines() == [
        "[    0 s] running",
        "waiting for its machine's first words, 0 s",
        "  | epoch 1",
        "  | epoch 2",
        "[    0 s] succeeded",
    ]


class Streams:
    """CloudWatch Logs with some streams, a few events a page."""

    training_log_group = "parris"

    def __init__(self, **streams: list[tuple[int, str]]) -> None:
        self.streams = streams

    def client(self, _service: str) -> Any:
        return self

    def get_log_events(self, **asked: Any) -> Any:
        stream, begin = asked["logStreamName"], int(asked.get("nextToken", "0"))
        since = asked.get("startTime", 0)
        if stream not in self.streams:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetLogEvents")
        told = [(at, said) for at, said in self.streams[stream] if at >= since]
        page = told[begin : begin + 2]
        events = [{"timestamp": at, "message": f"{said}\n"} for at, said in page]
        return {"events": events, "nextForwardToken": str(begin + len(page))}


def of_stream(name: str, attempt: int = 1) -> Run:
    tags = {"parris:log-stream": name, "parris:attempt": str(attempt)}
    stack = {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
    return replace(run_in("running"), stack=stack)


def test_a_log_grows_and_goes_on_in_the_stream_of_another_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    logs = Streams(one=[(1, "a"), (2, "b"), (3, "c")])
    tail = following.LogTail(logs)  # type: ignore[arg-type]
    assert list(tail.new_lines(run_in("launching"))) == []
    assert list(tail.new_lines(of_stream("one"))) == ["a", "b", "c"]
    assert list(tail.new_lines(of_stream("one"))) == []
    logs.streams["one"].append((4, "d"))
    assert list(tail.new_lines(run_in("relaunching"))) == ["d"]  # its stack is gone by now
    logs.streams["one"].append((5, "last words"))
    between = "parris: what follows is of another machine, attempt 2"
    assert list(tail.new_lines(of_stream("two", 2))) == ["last words", between]
    logs.streams["two"] = [(6, "e")]
    assert list(tail.new_lines(of_stream("two", 2))) == ["e"]
    assert list(tail.new_lines(of_stream("one"))) == [between.replace("2", "1")]  # not all anew


def test_the_log_of_several_nodes_is_one_in_the_order_of_time_with_ranks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    logs = Streams(**{"one": [(1, "a"), (4, "d")], "one-1": [(2, "b")], "one-2": [(3, "c")]})
    tail = following.LogTail(logs)  # type: ignore[arg-type]
    run = replace(of_stream("one"), receipt={"nodes": 3})
    assert list(tail.new_lines(run)) == ["[0] a", "[1] b", "[2] c", "[0] d"]
    logs.streams["one-2"].append((5, "e"))
    assert list(tail.new_lines(run)) == ["[2] e"]
    logs.streams["one-1"].append((6, "last words"))
    between = "parris: what follows is of another machine, attempt 2"
    then = replace(of_stream("two", 2), receipt={"nodes": 3})
    assert list(tail.new_lines(then)) == ["[1] last words", between]


def test_since_leaves_out_what_was_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    logs = Streams(one=[(1_000, "a"), (2_000, "b"), (3_000, "c")])
    since = datetime.fromtimestamp(2, UTC)
    tail = following.LogTail(logs, since)  # type: ignore[arg-type]
    assert list(tail.new_lines(of_stream("one"))) == ["b", "c"]
    logs.streams["one"].append((4_000, "d"))
    assert list(tail.new_lines(of_stream("one"))) == ["d"]


def test_a_line_is_seen_within_five_seconds() -> None:
    """By these figures: a batch is gathered, a call of the aws CLI sends it, somebody looks."""
    call_seconds = 0.9  # "most of a CPU second" (limits.py)
    assert LONGEST_PAUSE + call_seconds + following.LOOK_SECONDS < 5


def test_ctrl_c_leaves_the_run_alone_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "find_run", interrupted)
    monkeypatch.setenv("LOCAL", "")
    deployment: Any = SimpleNamespace()
    assert launch.follow_to_the_end(deployment, "mine", "r-1") == (130, {})
    said = capsys.readouterr()
    assert said.err == "\nthe run goes on; make logs RUN=r-1 WAIT=1 follows it again\n"
