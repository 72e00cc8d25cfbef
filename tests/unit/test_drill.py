"""A drill of minutes tells how far it is."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from typing import Any

import pytest

from scripts.cli import console
from scripts.commands import drill
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
