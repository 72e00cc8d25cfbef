"""What `make compare` says of runs: what differs between them, and what came of each."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.cli import console
from scripts.commands import compare
from scripts.deployment.looked_at import look_at, read_environment, read_metrics
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import find_run
from scripts.deployment.source_diff import MAX_BYTES, compare_texts
from tests.plans import NOW
from tests.unit.metrics.test_curves import DATA, mlflow
from tests.unit.test_status import deployment as deployment
from tests.unit.test_status import put, receipt
from tests.unit.test_status import s3 as s3

FIRST, SECOND, THIRD = (f"20261124-1{number}0000-{number:08x}" for number in (0, 1, 2))
LOSSES = [(1, 0.5), (2, 0.25)]
MACHINE = "AROATEST:i-0123456789abcdef0"
PACKAGES = """# what the trainer ran with
# kernel 6.1.0
# nvidia-driver 550.54.15

# python 3.11.7 of venv
numpy==2.0
torch=={torch}
"""


def run(s3: Any, run_id: str, files: dict[str, bytes], **more: Any) -> None:
    """Let there be a run that is over, of which all else is as of any."""
    held: dict[str, Any] = {"state": "succeeded", "reason": "", "ended-by": "trainer"}
    held |= {"cost-usd": 0.5, "trainer-seconds": 12.25, "machine": MACHINE}
    held |= more.pop("outcome", {})
    facts = {"stack-id": "arn:aws:cloudformation:stack", "image": "ami-0123456789abcdef0"}
    put(s3, receipt("mine", run_id, 60, **facts, **more), **held)
    for name, body in files.items():
        inside = "" if name.startswith("source/") else f"machines/{MACHINE}/"
        s3.put_object(Bucket="results", Key=f"runs/mine/{run_id}/{inside}{name}", Body=body)


@pytest.fixture
def two(s3: Any) -> None:
    old = {"source/train.py": b"import x\nlr = 1\n", "source/same.py": b"1", "source/a.bin": b"\0"}
    new = {"source/train.py": b"import x\nlr = 2\n", "source/same.py": b"1", "source/a.bin": b"\1"}
    old["source/gone.py"] = b"print(0)"
    rows = b'{"step": 1, "loss": 0.9}\n{"step": 2, "loss": 0.12345678}\nnot JSON\n'
    old |= {"packages.txt": PACKAGES.format(torch="2.4").encode(), "output/metrics.jsonl": rows}
    new |= {"packages.txt": PACKAGES.format(torch="2.5").encode()}
    git = {"commit": "a" * 40, "dirty": True}
    run(s3, FIRST, old, parameters={"lr": "0.1", "epochs": "20"}, git=git)
    new["output/metrics.json"] = b'{"loss": 0.5, "acc": "n/a"}'
    given = {"parameters": {"lr": "0.2", "epochs": "20", "new": "1"}, "instance-type": "m5.large"}
    run(s3, SECOND, new, outcome={"state": "failed"}, **given)


def said(
    monkeypatch: pytest.MonkeyPatch, deployment: Deployment, *arguments: str, status: int = 0
) -> tuple[str, str]:
    """Return what it prints, and its errors, where nobody looks at a terminal."""
    out, err = io.StringIO(), io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(compare, "read_deployment", lambda: deployment)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        as_json = "--json" in arguments
        assert console.status_of(lambda: compare.main([*arguments]), as_json=as_json) == status
    return out.getvalue(), err.getvalue()


@pytest.mark.usefixtures("two")
def test_what_differs_is_shown_side_by_side_and_what_came_of_each(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = said(monkeypatch, deployment, f"{FIRST},{SECOND[:11]}")
    rows = {tuple(line.split()) for line in out.splitlines()}
    assert ("run", FIRST, SECOND) in rows
    assert ("state", "succeeded", "failed") in rows
    assert ("trained", "12.2", "s", "12.2", "s") in rows
    assert ("cost", "$0.5000", "$0.5000") in rows
    assert "parameters (2 of 3 differ)" in out
    assert {("lr", "0.1", "0.2"), ("new", "-", "1")} <= rows
    assert ("epochs", "20", "20") not in rows
    assert ("machine", "t3.medium", "on-demand", "m5.large", "on-demand") in rows
    assert ("commit", "aaaaaaaaaaaa", "with", "changes", "-") in rows
    assert "ami-0" not in out  # the same
    assert ("torch", "2.4", "2.5") in rows
    assert "numpy" not in out
    assert {("loss", "0.123457", "0.5"), ("acc", "-", "n/a"), ("step", "2", "-")} <= rows
    assert f"make compare RUNS={FIRST},{SECOND} DIFF=1 compares their files" in out


@pytest.mark.usefixtures("two")
def test_a_diff_has_the_text_files_that_differ(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = said(monkeypatch, deployment, f"{FIRST},{SECOND}", "--diff")
    diff = out.partition(f"files of {SECOND}, by those of {FIRST}\n")[2].splitlines()
    assert "a.bin differs; it is no text, or over 256 KiB" in diff
    assert diff[diff.index("--- a/train.py") : diff.index("--- a/train.py") + 2] == [
        "--- a/train.py",
        "+++ b/train.py",
    ]
    assert {"-lr = 1", "+lr = 2", " import x", "-print(0)"} <= set(diff)
    assert "same.py" not in out


@pytest.mark.usefixtures("two")
def test_json_has_everything_and_names_what_differs(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = said(monkeypatch, deployment, f"{FIRST},{SECOND}", "--json", "--diff")
    answer = json.loads(out)
    assert [one["run-id"] for one in answer["runs"]] == [FIRST, SECOND]
    assert answer["runs"][0]["packages"] == {"numpy": "2.0", "torch": "2.4"}
    assert answer["runs"][0]["metrics"] == {"step": 2, "loss": 0.12345678}
    assert answer["runs"][0]["facts"]["nvidia-driver"] == "550.54.15"
    assert answer["differ"]["parameters"] == ["lr", "new"]
    assert answer["differ"]["packages"] == ["torch"]
    assert {"machine", "commit"} <= set(answer["differ"]["facts"])
    assert "+lr = 2" in answer["diff"][SECOND]


def test_a_metric_chooses_the_best_runs_and_the_first_can_be_done_again(
    s3: Any, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"20261124-11{number:04}-{number:08x}" for number in range(6)]
    for number, run_id in enumerate(ids):
        loss = {"loss": (number - 3.2) ** 2}
        run(s3, run_id, {}, parameters={"lr": str(number)}, outcome={"metrics": loss})
    out, _ = said(monkeypatch, deployment, "--best=-loss", "--job", "mine")
    rows = [line.split() for line in out.splitlines()]
    assert ["run", ids[3], ids[4], ids[2], ids[5]] in rows
    assert ["lr", "3", "4", "2", "5"] in rows
    assert ["cost", *["$0.5000"] * 4] in rows
    assert f"make rerun RUN={ids[3]} does the first one again" in out
    answer = json.loads(said(monkeypatch, deployment, "--best", "loss", "--json")[0])
    assert answer["runs"][0]["run-id"] == ids[0]
    _, refused = said(monkeypatch, deployment, FIRST, "--best", "loss", status=1)
    assert "leave one of them out" in refused


def test_what_is_not_there_is_none_known_and_no_failure(
    s3: Any, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in (FIRST, SECOND, THIRD):
        run(s3, run_id, {"output/metrics.jsonl": b""}, parameters={})
    out, _ = said(monkeypatch, deployment, f"{FIRST},{SECOND},{THIRD}", "--diff")
    assert "parameters: none known" in out
    assert "files, machine and limits: the same" in out
    assert "Python packages: none known" in out
    assert "metrics, last values: none known" in out
    assert f"files of {THIRD}, by those of {FIRST}: the same" in out


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ("", "0 runs named; give 2 to 8"),
        (FIRST, "1 run named"),
        (",".join([FIRST] * 9), "9 runs named"),
        (f"{FIRST},{FIRST[:13]}", f"run {FIRST} is named twice"),
        (f"{FIRST},x", "no run's id begins with 'x'"),
    ],
)
def test_two_to_eight_different_runs_are_compared(
    s3: Any, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, runs: str, why: str
) -> None:
    run(s3, FIRST, {})
    _, err = said(monkeypatch, deployment, runs, status=1)
    assert f"error: {why}" in err


def test_nothing_that_a_trainer_wrote_reaches_the_terminal_as_an_order(
    s3: Any, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "\x1b[2J\u202e"
    rows = json.dumps({f"a{evil}": f"b{evil}"}).encode()
    files = {
        "output/metrics.jsonl": rows,
        "packages.txt": f"# python 3{evil} of x{evil}\n# kernel {evil}\na==1{evil}".encode(),
        f"source/{evil}.py": b"x",
        "source/train.py": f"{evil}\rforged\n".encode(),
    }
    run(s3, FIRST, files, parameters={"p": evil}, script=evil, git={"commit": evil, "dirty": 1})
    run(s3, SECOND, {})
    out, _ = said(monkeypatch, deployment, f"{FIRST},{SECOND}", "--diff")
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "-\\x1b[2J\\u202e\\rforged" in out.splitlines()


def test_what_an_outcome_says_of_metrics_comes_first(s3: Any, deployment: Deployment) -> None:
    run(s3, FIRST, {"output/metrics.jsonl": b'{"loss": 1}'})
    found = find_run(deployment, None, FIRST)
    told: Any = {**(found.outcome or {}), "metrics": {"loss": 0.25, "odd": []}}
    assert look_at(deployment, found, NOW).metrics == {"loss": 1}
    assert look_at(deployment, replace(found, outcome=told), NOW).metrics == {"loss": 0.25}


def test_a_run_that_only_tensorboard_or_mlflow_knows_has_its_last_values_too(
    s3: Any, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    events = (DATA / "events.out.tfevents.tensorboardX").read_bytes()
    rows = [
        ("loss/train", value, 1795521600000 + step, "a" * 32, step, 0) for step, value in LOSSES
    ]
    mlflow(tmp_path / "mlflow.db", *rows)
    run(s3, FIRST, {"output/logs/events.out.tfevents.1.host": events})
    run(s3, SECOND, {"output/mlflow.db": (tmp_path / "mlflow.db").read_bytes()})
    out, _ = said(monkeypatch, deployment, f"{FIRST},{SECOND}")
    [line] = [line.split() for line in out.splitlines() if line.startswith("loss/train")]
    assert line == ["loss/train", "0.333333", "0.25"]


def test_the_last_value_of_each_metric_counts() -> None:
    lines = [b'{"loss": 2, "a": [1], "b": null}', b'{"acc": true}', b"[]", b'{"loss": NaN}', b"{"]
    found = read_metrics(lines)
    assert found["acc"] is True
    assert found["loss"] == "nan"  # JSON has no number for it
    assert set(found) == {"acc", "loss"}
    many = [json.dumps({f"m{number}": 1}).encode() for number in range(99)]
    assert len(read_metrics(many)) == 50


def test_a_whole_number_without_end_is_infinite() -> None:
    row = f'{{"loss": 1{"0" * 400}, "gain": -1{"0" * 400}, "long": 1{"0" * 9000}}}'.encode()
    assert read_metrics([row]) == {}  # Python reads no more than 4300 digits
    row = row.replace(b"0" * 9000, b"0")
    assert read_metrics([row]) == {"loss": "inf", "gain": "-inf", "long": 10}


def test_a_package_of_two_interpreters_has_both_versions() -> None:
    text = "# what the trainer ran with\n# machine x86_64\n\n# python 3.9 of a\nx==1\n"
    facts, packages = read_environment(f"{text}# python 3.11 of b\nx==2\n# cut short\n")
    assert facts == {"processor": "x86_64", "python": "3.9, 3.11"}
    assert packages == {"x": "1, 2"}


def test_files_that_are_the_same_text_have_no_diff() -> None:
    assert list(compare_texts("x", "a\nb", "a\nb")) == []
    assert list(compare_texts("x", "", "a")) == ["--- a/x", "+++ b/x", "@@ -0,0 +1 @@", "+a"]
    assert len(list(compare_texts("x", None, "a"))) == 1
    assert MAX_BYTES > 100_000
