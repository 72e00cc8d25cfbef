"""What `make fire TRIGGER=interruption` does to a run's machine, and where it does nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scripts.cli.console import Refused
from scripts.commands import fire
from scripts.deployment import interruption
from scripts.local import interruptions

RUN = cast(Any, SimpleNamespace(run_id="20261201-000000-12345678", job="digits"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(interruption, "LOCAL_HOME", tmp_path)
    (tmp_path / "instances" / "i-1").mkdir(parents=True)
    return tmp_path


def asked(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "instances/i-1/interruption.json").read_text())
    return found


def fire_at(
    monkeypatch: pytest.MonkeyPatch, notice: int | None, *, state: str = "running", **more: str
) -> str:
    machine = {"InstanceId": "i-1", "State": {"Name": state}} | more
    monkeypatch.setattr(interruption, "find_machine", lambda *_: machine)
    return interruption.interrupt(cast(Any, None), RUN, notice)


@pytest.mark.parametrize(
    ("notice", "seconds", "said"),
    [(None, 10, "10 s after its notice"), (30, 30, "30 s after"), (0, 0, "without notice")],
)
def test_a_spot_machine_is_taken_after_its_notice(
    home: Path, monkeypatch: pytest.MonkeyPatch, notice: int | None, seconds: int, said: str
) -> None:
    assert said in fire_at(monkeypatch, notice, InstanceLifecycle="spot")
    assert asked(home) == {"notice": seconds}


@pytest.mark.parametrize("notice", [None, 0])
def test_the_host_of_any_other_machine_fails(
    home: Path, monkeypatch: pytest.MonkeyPatch, notice: int | None
) -> None:
    assert "let the host of machine i-1 fail" in fire_at(monkeypatch, notice)
    assert asked(home) == {"notice": 0}


def test_what_cannot_be_interrupted_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="no spot machine"):
        fire_at(monkeypatch, 10)
    with pytest.raises(Refused, match="no machine that runs: terminated"):
        fire_at(monkeypatch, None, state="terminated")
    with pytest.raises(interruptions.NoSuchMachine, match="no machine i-2"):
        interruptions.ask(home, "i-2", 0)


def test_on_an_account_nothing_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL", "")
    monkeypatch.setattr(fire, "read_deployment", lambda: pytest.fail("it looked for a deployment"))
    with pytest.raises(Refused, match="AWS Fault Injection Service"):
        fire.main(["interruption", "--run", RUN.run_id])
