"""The live table of `make status WATCH=1`: on a terminal, in a pipe, while AWS is in trouble."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rich.cells import cell_len

from scripts.cli.columns import Column
from scripts.cli.console import Refused
from scripts.cli.live import LiveTable, draw
from scripts.commands import status
from scripts.deployment.runs import Run
from scripts.deployment.watch import below, progress, row
from tests.terminal import run_on_terminal
from tests.unit.test_plain_text import HOSTILE, UNSAFE, Lines

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
COLUMNS = (
    Column(heading="RUN", rank=0),
    Column(heading="COST", rank=1),
    Column(heading="LINE", rank=2, least=6),
)


def run(state: str = "running", **more: Any) -> Run:
    receipt: Any = {
        "claimed": "2026-11-24T12:00:00Z",
        "deadline": "2026-11-24T14:00:00Z",
    }
    receipt |= {"price": {"hourly-usd": "0.1000"}} | more.pop("receipt", {})
    facts: dict[str, Any] = {"outcome": None, "stack": None, "reason": "", "ended_by": ""}
    return Run(job="mine", run_id="r-1", receipt=receipt, state=state, **{**facts, **more})


def test_a_row_tells_how_far_what_it_costs_and_what_was_said_last() -> None:
    metrics = {"loss": 0.12, "epoch": "14/20"}
    assert row(run(metrics=metrics), {"r-1": "epoch 14"}, NOW) == (
        *("r-1", "running", "mine", "[##........] 1 h left", "$0.0500 of $0.2000"),
        *("loss 0.12 epoch 14/20", "epoch 14"),
    )
    limited = run(receipt={"cost-limit-usd": "0.5"})
    assert row(limited, {}, NOW)[4:] == ("$0.0500 of $0.5000", "", "")
    unknown = run("queued", reason="it waits", receipt={"price": None})
    assert row(unknown, {"r-1": "earlier"}, NOW)[3:] == ("waits", "-", "", "it waits")


def test_progress_ends_at_the_deadline_and_a_run_that_is_over_has_none() -> None:
    assert progress(run(), NOW + timedelta(hours=3)) == "[##########] past its deadline"
    assert progress(run(), NOW - timedelta(hours=3)) == "[..........] 4 h left"
    ended = run("failed", outcome={"finished": "2026-11-24T12:20:00Z"})
    assert progress(ended, NOW) == "ended 10 min ago"
    assert progress(run("failed", outcome={}), NOW) == "ended"
    said = below([run(), run("queued", receipt={"price": None}), ended], NOW, 5)
    assert said.startswith("2 under way, $0.0500 so far; 2026-11-24T12:30:00Z, looked at every 5 s")


@pytest.mark.parametrize("room", [3, 12, 20, 24, 40, 100])
def test_a_row_is_one_line_that_fits(room: int) -> None:
    rows = [["20261124-1", "$0.05", "模型 loss 0.1 and more"], ["2", "-", ""]]
    lines = draw(COLUMNS, rows, room)
    assert len(lines) == 3
    assert all(cell_len(line) <= room for line in lines)
    assert ("COST" in lines[0], "LINE" in lines[0]) == (room >= 17, room >= 25)
    if room == 40:
        assert lines[1] == "20261124-1  $0.05  模型 loss 0.1 and mo…"
    if room == 100:
        assert lines[1] == "20261124-1  $0.05  模型 loss 0.1 and more"


def shown(table: LiveTable, rows: Sequence[Sequence[str]], *notes: str) -> None:
    table.show("12:30:00Z", rows, "below", notes)


def test_without_a_terminal_only_what_is_new_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with LiveTable(COLUMNS, ["COST"]) as table:
        shown(table, [["a", "$1", "x"], ["b", "$1", ""]])
        shown(table, [["a", "$2", "x"], ["b", "$2", ""]])  # time passes, nothing happens
        shown(table, [["a", "$3", "y\x1b[2J\nz"], ["b", "$3", ""]], "AWS is away")
        shown(table, [["a", "$3", "y\x1b[2J\nz"], ["b", "$3", ""]], "AWS is away")
    assert capsys.readouterr().out.splitlines() == [
        "TIME  RUN  COST  LINE",
        "12:30:00Z  a  $1  x",
        "12:30:00Z  b  $1  -",
        "12:30:00Z  a  $3  y\\x1b[2J\\nz",
        "12:30:00Z  AWS is away",
    ]


def test_no_run_is_a_heading_once(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveTable(COLUMNS) as table:
        shown(table, [])
        shown(table, [])
    assert capsys.readouterr().out == "TIME  RUN  COST  LINE\n"


SCRIPT = """
import sys
from botocore.exceptions import ClientError
from scripts.cli import console
from scripts.commands import status
from scripts.deployment import watch
from tests.unit.test_plain_text import HOSTILE
from tests.unit.test_watch import run

looks = []

def look(self):
    looks.append(1)
    if len(looks) == 2:
        raise ClientError({"Error": {"Code": "Throttling", "Message": HOSTILE}}, "DescribeStacks")
    self.lines["r-1"] = f"look {len(looks)} {HOSTILE}"
    return [run(metrics={HOSTILE: HOSTILE})], []

watch.Watch.look = look
watch.LOOK_SECONDS = 0.05
status.read_deployment = lambda: None
console.run(status.main)
"""


def environ() -> dict[str, str]:
    more = {"PYTHONPATH": f"{ROOT}/lambda:{ROOT}", "TERM": "xterm", "LOCAL": ""}
    return os.environ | more | {"COLUMNS": "240", "LINES": "20"}


@pytest.mark.processes
def test_on_a_terminal_the_table_is_drawn_in_place_until_ctrl_c() -> None:
    command = [sys.executable, "-c", SCRIPT, "--watch"]
    code, said = run_on_terminal(command, ROOT, environ(), lambda said: int("look 9 " in said))
    assert code == 130
    assert "Traceback" not in said
    assert said.rstrip().endswith("the runs go on; make status WATCH=1 shows them again")
    assert "\x1b[?25l" in said  # no cursor meanwhile
    assert "\x1b[?25h" in said.rpartition("look 9 ")[2]
    assert "AWS refused DescribeStacks: Throttling: a\\x1b]0;title" in said
    assert said.count("\n") < 60  # it stays where it is
    ours = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", said)
    assert not UNSAFE.intersection(ours)
    assert "look 8 a\\x1b]0;title\\x07b" in ours


@pytest.mark.processes
def test_in_a_pipe_there_are_lines_and_no_escapes() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(),
        cwd=ROOT,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "look 4 " in line:
            break
    process.stdout.close()  # as head does
    process.wait(30)
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.returncode == 0
    assert not UNSAFE.intersection("".join(lines))
    assert lines[0].split() == [
        *("TIME", "RUN", "STATE", "JOB", "PROGRESS", "COST"),
        *("METRICS", "LAST", "LINE"),
    ]
    assert "look 1 " in lines[1]
    assert "AWS refused DescribeStacks: Throttling" in lines[2]
    assert "look 3 " in lines[3]


def test_what_does_not_go_with_a_watch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "read_deployment", SimpleNamespace)
    with pytest.raises(Refused, match="leave one of them out"):
        status.main(["--watch", "--json"])
    with pytest.raises(Refused, match="followed by make logs RUN=2026 WAIT=1"):
        status.main(["--watch", "--run", "2026"])


def test_the_first_look_is_refused_as_any_command_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_self: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": HOSTILE}}, "Query")

    monkeypatch.setattr("scripts.deployment.watch.Watch.look", denied)
    monkeypatch.setattr(status, "read_deployment", SimpleNamespace)
    monkeypatch.setattr(sys, "stdout", Lines())
    with pytest.raises(ClientError):
        status.main(["--watch"])
