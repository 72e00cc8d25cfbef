"""A run's parameters are those that its job has."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from parris.errors import InvalidEvent
from parris.jobs.parameters import unknown_names
from scripts.cli.console import Refused
from scripts.commands import launch
from tests.plans import plan

CONFIG = '{"parameters": {"learning-rate": 0.1, "epochs": 3}}'


def test_a_name_that_the_job_does_not_have_is_refused_with_the_nearest() -> None:
    for name, said in (
        ("epoch", "parameters: epoch is not a parameter of job default; did you mean epochs?"),
        ("EPOCS", "EPOCS is not a parameter of job default; did you mean epochs?"),
        ("seed", "parameters: seed is not a parameter of job default; it has epochs, learning"),
        ("learning_rat", "did you mean learning-rate?"),
        ("data-key", "data-key is not a parameter"),
    ):
        with pytest.raises(InvalidEvent, match=said.replace("?", r"\?")):
            plan(CONFIG, {"event-id": "e", "parameters": {name: 1}})
    with pytest.raises(InvalidEvent, match=r'training-config\.json has no "parameters"'):
        plan("{}", {"event-id": "e", "parameters": {"epochs": 1}})
    with pytest.raises(InvalidEvent, match=r"a is not .*; parameters: b is not"):
        plan(CONFIG, {"event-id": "e", "parameters": {"a": 1, "b": 1}})


def test_every_spelling_that_reaches_the_trainer_alike_is_the_same_name() -> None:
    assert unknown_names(["LEARNING_RATE", "Epochs"], ["learning-rate", "epochs"], "x") == []


def test_what_a_data_trigger_tells_by_itself_needs_no_name() -> None:
    window = {"rule": "window", "data-trigger": "fresh", "window": "w"}
    told = {"data-bucket": "b", "data-key": "k", "data-version": "", "data-objects": 3}
    planned = plan("{}", window | {"parameters": told})
    assert planned.parameters["data-key"] == "k"
    with pytest.raises(InvalidEvent, match="epochs is not a parameter"):
        plan("{}", window | {"parameters": told | {"epochs": 1}})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "training-config.json").write_text(CONFIG)
    monkeypatch.setattr(launch, "job_folders", lambda: {"mine": tmp_path})
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("job", "said"),
    [
        ("mine", "run make upload-config JOB=mine"),
        ("mien", r"no job of that name.*; did you mean mine\?$"),
        ("other", "no job of that name.*; jobs: mine$"),
    ],
)
def test_a_job_that_is_nowhere_is_not_sent_to_upload_config(job: str, said: str) -> None:
    words = f"job '{job}' has no training-config.json in s3://b/; run make upload-config JOB={job}"
    answer = {
        "FunctionError": "Unhandled",
        "Payload": io.BytesIO(json.dumps({"errorMessage": words}).encode()),
    }
    client = SimpleNamespace(invoke=lambda **_asked: answer)
    deployment = SimpleNamespace(launch_function="f", client=lambda _service: client)
    with pytest.raises(Refused, match=said):
        launch.invoke(cast(Any, deployment), {"job": job})


def test_launch_refuses_before_it_asks_anybody(folder: Path) -> None:
    launch.refuse_unknown("mine", {"epochs": "1", "learning_rate": "2"})
    with pytest.raises(Refused, match=r"epoch is not .* job mine; did you mean epochs\?"):
        launch.main(["mine", "-p", "epoch=40"])  # no deployment is there to ask
    with pytest.raises(Refused, match="'9' is not a name"):
        launch.refuse_unknown("mine", {"9": "1"})
    launch.refuse_unknown("elsewhere", {"anything": "1"})  # which only the function knows
    (folder / "training-config.json").write_text("{")
    launch.refuse_unknown("mine", {"anything": "1"})  # and that is for upload-config to say
