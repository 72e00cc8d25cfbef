"""The demo tells of its launch as `make launch` does, and the README shows what it tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.commands import demo, launch, results

ROOT = Path(__file__).resolve().parents[2]
ANSWER = {
    "run-id": "20261126-121012-2144a800",
    "job": "default",
    "stack-name": "parris-digits",
    "deadline": "2026-11-26T12:40:12Z",
    "duplicate": False,
    "instance-type": "c7i.large",
    "market": "on-demand",
    "hourly-usd": "0.0975",
    "most-usd": "0.0488",
    "notes": ["the price is of another day"],
}
SAID = [
    "run 20261126-121012-2144a800 of job default launched",
    "  stack    parris-digits",
    "  plan     c7i.large on-demand: $0.0975 an hour, $0.0488 at most, "
    "ends by 2026-11-26T12:40:12Z",
    "  note     the price is of another day",
]


def test_a_launch_says_when_it_ends_and_what_it_costs(capsys: pytest.CaptureFixture[str]) -> None:
    launch.show(ANSWER)
    assert capsys.readouterr().out.splitlines() == SAID
    unknown = dict.fromkeys(("hourly-usd", "most-usd"))
    launch.show({**ANSWER, **unknown, "duplicate": True, "notes": []})
    assert capsys.readouterr().out.splitlines() == [
        "run 20261126-121012-2144a800 of job default was launched before; nothing new",
        SAID[1],
        "  plan     c7i.large on-demand: price unknown, ends by 2026-11-26T12:40:12Z",
    ]


def test_the_demo_says_of_its_launch_all_that_a_launch_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def step(_name: str) -> Iterator[None]:
        yield

    run = SimpleNamespace(job="default", run_id=ANSWER["run-id"])
    stand_ins: dict[str, Any] = {
        "_step": step,
        "_must": lambda _step, _argv: None,
        "_show": lambda _folder: None,
        "read_deployment": lambda: None,
        "follow": lambda *_: 0,
        "find_run": lambda *_: run,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(demo, name, stand_in)
    monkeypatch.setattr(launch, "invoke", lambda _deployment, _event: ANSWER)
    monkeypatch.setattr(results, "fetch", lambda *_: None)
    assert demo._demo(was_up=True, port=0) == 0
    assert capsys.readouterr().out.splitlines() == SAID


@pytest.mark.parametrize(
    "form",
    [
        r"run \S+ of job default launched",
        r"  stack    parris-digits",
        r"  plan     c7i.large on-demand: \$[\d.]+ an hour, \$[\d.]+ at most, ends by \S+",
    ],
)
def test_the_readme_shows_what_the_demo_says_of_its_launch(form: str) -> None:
    for said in ("\n".join(SAID), (ROOT / "README.md").read_text()):
        assert re.search(f"^{form}$", said, re.MULTILINE)
