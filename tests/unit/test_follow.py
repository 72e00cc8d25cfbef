"""Whoever follows a run is never left without a word, and Ctrl-C ends the following alone."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.cli import console
from scripts.commands import launch
from scripts.deployment import follow as following
from scripts.deployment.runs import Run


class Log:
    """A log that has nothing at the first two looks, and two lines at the third."""

    def __init__(self, _deployment: Any) -> None:
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
    states = iter(("running", "running", "running", "running", "succeeded"))
    monkeypatch.setattr(following, "find_run", lambda *_: run_in(next(states)))
    assert following.follow(SimpleNamespace(), "mine", "r-1") == 0  # type: ignore[arg-type]
    assert capsys.readouterr().out.splitlines() == [
        "[    0 s] running",
        "waiting for its machine's first words, 0 s",
        "  | epoch 1",
        "  | epoch 2",
        "[    0 s] succeeded",
    ]


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
