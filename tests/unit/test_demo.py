"""The demo tells of its launch as `make launch` does, and the README shows what it tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.cli.console import Refused
from scripts.commands import demo, launch
from trainer.runtime.agent.limits import SPOT_SECONDS

ROOT = Path(__file__).resolve().parents[2]
ANSWER: Any = {
    "run-id": "20261126-121012-2144a800",
    "job": "demo",
    "stack-name": "demo",
    "deadline": "2026-11-26T12:40:12Z",
    "duplicate": False,
    "instance-type": "c7i.large",
    "market": "on-demand",
    "hourly-usd": "0.0975",
    "most-usd": "0.0488",
    "notes": ["the price is of another day"],
}
SAID = [
    "run 20261126-121012-2144a800 of job demo launched",
    "  stack    demo",
    "  plan     c7i.large on-demand: $0.0975 an hour, $0.0488 at most, "
    "ends by 2026-11-26T12:40:12Z",
    "  note     the price is of another day",
]


def test_a_launch_says_when_it_ends_and_what_it_costs(capsys: pytest.CaptureFixture[str]) -> None:
    launch.show(ANSWER)
    assert capsys.readouterr().out.splitlines() == SAID
    unknown: Any = dict.fromkeys(("hourly-usd", "most-usd"))
    launch.show(ANSWER | unknown | {"duplicate": True, "notes": []})
    assert capsys.readouterr().out.splitlines() == [
        "run 20261126-121012-2144a800 of job demo was launched before; nothing new",
        SAID[1],
        "  plan     c7i.large on-demand: price unknown, ends by 2026-11-26T12:40:12Z",
    ]


def test_the_demo_says_of_its_launch_all_that_a_launch_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def step(_name: str) -> Iterator[None]:
        yield

    run = SimpleNamespace(job="demo", run_id=ANSWER["run-id"])
    stand_ins: dict[str, Any] = {
        "_step": step,
        "_must": lambda _step, _argv: None,
        "_show": lambda _folder: None,
        "read_deployment": lambda: None,
        "_upload": lambda _deployment: True,
        "attempts_of": lambda _run: ["1: taken", "2: succeeded"],
        "follow": lambda *_: 0,
        "find_run": lambda *_: run,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(demo, name, stand_in)
    monkeypatch.setattr(launch, "invoke", lambda _deployment, _event: ANSWER)
    monkeypatch.setattr(demo, "fetch", lambda *_: None)
    assert demo._demo(was_up=True, port=0) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [*SAID, "attempt 1: taken", "attempt 2: succeeded"]
    monkeypatch.setattr(demo, "attempts_of", lambda _run: [])  # what it is to show was not there
    with pytest.raises(Refused, match="was over before EC2 took its machine"):
        demo._demo(was_up=True, port=0)


def test_ec2_takes_the_machine_away_once_as_it_has_learnt_something(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: list[Any] = []

    def interrupt(*given: Any) -> str:
        taken.append(given)
        return "took it"

    monkeypatch.setattr(demo, "interrupt", interrupt)
    interruption = demo._Interruption("deployment")  # type: ignore[arg-type]
    run: Any = SimpleNamespace()
    for line in ("digits: 1221 to train", "epoch  1: loss 1.5982", "epoch  2: loss 0.8320"):
        interruption.hear(run, line)
    assert taken == [("deployment", run, demo._NOTICE_SECONDS)]
    assert "took it" in capsys.readouterr().out


def test_the_sample_of_the_demo_takes_longer_than_ec2s_notice_takes_to_be_seen() -> None:
    train = (ROOT / "trainer/train.py").read_bytes()
    assert demo.slowed(train).count(b"time.sleep(0.4)") == 1
    epochs = json.loads((ROOT / "trainer/training-config.json").read_text())["parameters"]["epochs"]
    assert epochs * demo._PAUSE_SECONDS > SPOT_SECONDS
    assert demo.slowed(b"of somebody's own") == b"of somebody's own"


@pytest.mark.parametrize(
    "form",
    [
        r"run \S+ of job demo launched",
        r"  stack    demo",
        r"  plan     c7i.large \S+: \$[\d.]+ an hour, \$[\d.]+ at most, ends by \S+",
    ],
)
def test_the_readme_shows_what_the_demo_says_of_its_launch(form: str) -> None:
    for said in ("\n".join(SAID), (ROOT / "README.md").read_text()):
        assert re.search(f"^{form}$", said, re.MULTILINE)
