"""The example in which Optuna chooses the parameters, as its page says, with a Ctrl-C midway."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import optuna
import pytest

from tests.e2e.conftest import ROOT, Clone, moved_environment
from tests.e2e.roles import become

PROGRAM = "docs/examples/optuna/study.py"
RUNS, PARALLEL = 8, 2
AS_USER = """
export AWS_ACCESS_KEY_ID=$PARRIS_LOCAL_ACCESS_KEY_ID
export AWS_SECRET_ACCESS_KEY=$PARRIS_LOCAL_SECRET_ACCESS_KEY
"""
"""Of what `make local-env` says the user is the only thing that is another one."""


def commands() -> list[str]:
    """Return what the page lets a reader type, but for the packages, which the tests have."""
    page = (ROOT / PROGRAM).with_name("README.md").read_text()
    typed = "".join(re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    return [line for line in typed.splitlines() if "-m venv" not in line and "pip" not in line]


@pytest.fixture(scope="module")
def job(clone: Clone) -> None:
    """The example's job, brought and uploaded as the page says; the cloud is up already."""
    (copying,) = [line for line in commands() if line.startswith("cp ")]
    subprocess.run(["bash", "-c", copying], cwd=clone.folder, check=True)
    clone.make("upload-config", "LOCAL=1", "JOB=peak")
    moved_environment(clone.folder / ".venv-optuna")


def start(clone: Clone) -> subprocess.Popen[str]:
    """Start the search as the page says, as the user that the environment names."""
    lines = commands()
    *leading, search = lines[next(i for i, line in enumerate(lines) if "local-env" in line) :]
    assert f"{PROGRAM} --trials {RUNS} --parallel {PARALLEL}" in search
    outer = ("PYTHONPATH", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    return subprocess.Popen(
        ["bash", "-ec", "\n".join([*leading, AS_USER, f"exec {search}"])],
        cwd=clone.folder,
        env={name: value for name, value in os.environ.items() if name not in outer},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever starts the tests may have Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def most_under_way(lines: list[str]) -> int:
    """Return how many of the trials were launched and not told of at once."""
    going, most = 0, 0
    for line in lines:
        going += " is run " in line
        going -= ": score=" in line
        most = max(most, going)
    return most


@pytest.mark.usefixtures("job")
def test_a_search_that_ctrl_c_ends_goes_on_and_no_trial_is_run_twice(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(clone, monkeypatch, "operator-optuna", clone.outputs["operator_policy"])
    said: list[str] = []
    with start(clone) as first:
        assert first.stdout is not None
        assert first.stderr is not None
        for line in first.stdout:
            said.append(line)
            if sum(": score=" in one for one in said) == 3:
                break
        first.send_signal(signal.SIGINT)
        rest, errors = first.communicate()
    said += rest.splitlines()
    assert first.returncode == 130, errors
    assert "stopped; runs go on, and the same command finds them again" in errors

    with start(clone) as second:
        rest, errors = second.communicate()
    assert second.returncode == 0, errors
    said += rest.splitlines()

    run_ids = clone.run_ids("peak")
    outcomes = {run_id: clone.outcome("peak", run_id) for run_id in run_ids}
    assert len(run_ids) == len(clone.instances("peak")) == RUNS
    assert {one["state"] for one in outcomes.values()} == {"succeeded"}
    scores = {run_id: one["metrics"]["score"] for run_id, one in outcomes.items()}
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{clone.folder}/study.db")
    kept = {
        study.user_attrs[str(one.number)]: one.value
        for one in study.trials
        if one.value is not None
    }
    assert kept == scores
    receipts = [json.loads(clone.read("peak", run_id, "run.json") or "") for run_id in run_ids]
    assert len({json.dumps(receipt["parameters"]) for receipt in receipts}) == RUNS

    best = max(scores, key=lambda run_id: scores[run_id])
    assert f"score={scores[best]}, x=" in said[-2]
    assert said[-1] == f"make rerun RUN={best} runs it again"
    assert most_under_way(said) == PARALLEL
