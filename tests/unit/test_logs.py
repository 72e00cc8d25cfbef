"""`parris logs` of a run that is over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from scripts.cli.console import Refused
from scripts.commands import logs


@pytest.mark.parametrize(
    ("state", "arguments", "status"),
    [
        ("succeeded", ["--wait"], 0),
        ("failed", ["--wait"], 3),
        ("failed", ["--wait", "--json"], 3),
        ("failed", [], 0),
    ],
)
def test_who_waits_for_a_run_that_is_over_gets_its_result_too(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: str,
    arguments: list[str],
    status: int,
) -> None:
    run = SimpleNamespace(job="job", run_id="r", state=state, is_over=True)
    monkeypatch.setattr(logs, "read_deployment", lambda: None)
    monkeypatch.setattr(logs, "pick_run", lambda *_: run)
    monkeypatch.setattr(logs, "read_log", lambda *_: iter(["epoch 1\n"]))
    assert logs.main(arguments) == status
    assert "epoch 1" in capsys.readouterr().out


def test_who_waits_for_a_run_that_has_no_log_gets_its_result_and_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = SimpleNamespace(job="job", run_id="r", state="launch-failed", is_over=True)

    def none(*_: object) -> Iterator[str]:
        yield from ()
        raise Refused("run r has no log yet; it is launch-failed")

    monkeypatch.setattr(logs, "read_deployment", lambda: None)
    monkeypatch.setattr(logs, "pick_run", lambda *_: run)
    monkeypatch.setattr(logs, "read_log", none)
    assert logs.main(["--wait", "--json"]) == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["log"] == ""
    assert "has no log yet" in said.err
    with pytest.raises(Refused):
        logs.main([])
