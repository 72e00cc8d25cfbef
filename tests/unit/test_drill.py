"""A drill of minutes tells how far it is, and what machines that were taken away have lost."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from scripts.cli import console
from scripts.commands import drill
from scripts.drill import interrupted
from scripts.drill.cases import CASES
from tests.unit.test_plain_text import Lines, Terminal

Clouds = set[Future[list[dict[str, Any]]]]


@pytest.fixture
def playing(monkeypatch: pytest.MonkeyPatch) -> list[Future[list[dict[str, Any]]]]:
    """Three clouds: for a while none is done, then one after the other."""
    looks: list[int] = []

    def wait(waiting: Clouds, timeout: float) -> tuple[Clouds, Clouds]:
        assert timeout <= 20  # else nobody would hear of a cloud that takes minutes
        looks.append(len(waiting))
        left = sorted(waiting, key=id)[len(looks) > 1 :]
        return waiting - {*left}, {*left}

    monkeypatch.setattr(drill, "wait", wait)
    monkeypatch.setattr(console, "PROGRESS_SECONDS", -1)
    return [Future() for _ in range(3)]


def test_a_file_gets_a_line_for_each_step(
    playing: list[Future[list[dict[str, Any]]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Lines()
    monkeypatch.setattr(sys, "stdout", said)
    drill._show_progress(playing)
    steps = [line.partition(",")[0] for line in said.getvalue().splitlines()]
    assert steps == [f"{done} of 3 clouds done" for done in range(4)]


def test_a_terminal_gets_one_line_that_goes_when_all_are_done(
    playing: list[Future[list[dict[str, Any]]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Terminal()
    monkeypatch.setattr(sys, "stdout", said)
    drill._show_progress(playing)
    assert "\n" not in said.getvalue()
    assert "\r0 of 3 clouds done, 0 s\x1b[K" in said.getvalue()
    assert said.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(
    ("done", "lost", "missing"),
    [
        ("1 1\n1 2\n1 3\n2 4\n2 5\n", 0, []),
        ("1 1\n1 2\n1 3\n2 2\n2 3\n3 1\n3 2\n3 3\n3 4\n3 5\n", 3, []),  # of 2 and 3 the more
        ("1 1\n1 2\n2 4\n2 5\n", 0, [3]),
        ("", 0, [1, 2, 3, 4, 5]),
    ],
)
def test_what_was_done_twice_is_lost_and_what_nobody_did_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: str, lost: float, missing: list[int]
) -> None:
    monkeypatch.setattr(interrupted, "LOCAL_HOME", tmp_path)
    if done:
        (tmp_path / "drill").mkdir()
        interrupted.trace_of("job").write_text(done)
    assert interrupted.lost_seconds("job") == lost
    assert interrupted.gaps("job", 5) == missing


def test_the_drill_has_a_row_for_each_way_of_losing_a_machine() -> None:
    faults = [case.fault for cases in CASES.values() for case in cases]
    assert max(Counter(faults).values()) == 1
    for tenth in range(1, 10):
        assert f"EC2 takes the machine at {tenth}/10 of the run" in faults
    for words in ("two machines in a row", "during an upload", "during its restore"):
        assert any(words in fault for fault in faults)
    for words in (
        "as its stack is made",
        "and then none on demand",
        "1: shut",
        "2: sch",
        "3: reap",
    ):
        assert any(words in fault for fault in faults)
