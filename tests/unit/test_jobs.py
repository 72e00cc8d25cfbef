"""What is read from the files of a clone, when they hold something else than they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.cli.console import Refused
from scripts.jobs import jobs


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('schedules = "x"', "schedules: not a map"),
        ('schedules = ["x"]', "schedules: not a map"),
        ('schedules = { night = "x" }', "schedule night: not { expression"),
        ('schedules = { night = { job = "gone" } }', 'job "gone" does not exist; jobs: default'),
        ('data_triggers = { fresh = { job = "gone" } }', 'data trigger fresh: job "gone" does'),
        ('button_actions = { LONG = { job = "gone" } }', 'click LONG: job "gone" does not'),
        ('button_jobs = { G030 = "gone" }', 'button G030: job "gone" does not exist'),
        ("button_jobs = { G030 = {} }", "button G030: not the name of a job"),
    ],
)
def test_a_schedule_of_another_form_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "terraform.tfvars").write_text(text + "\n")
    [(source, variables)] = jobs.read_tfvars(tmp_path).items()
    [said] = jobs.check_triggers(variables, ["default"], source)
    assert said.startswith("terraform.tfvars: ")
    assert problem in said


def test_a_schedule_without_a_job_is_the_default_jobs(tmp_path: Path) -> None:
    (tmp_path / "terraform.tfvars").write_text(
        'schedules = { night = { expression = "rate(1 day)" } }\n'
    )
    [(source, variables)] = jobs.read_tfvars(tmp_path).items()
    assert jobs.check_triggers(variables, ["default"], source) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("terraform.tfvars", "schedules = {\n"),
        ("a.auto.tfvars.json", "[1]"),
        ("a.auto.tfvars.json", "{"),
    ],
)
def test_a_variable_file_that_is_none_is_refused_by_name(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Refused, match=f"{name}: cannot be read as a variable file"):
        jobs.read_tfvars(tmp_path)


def test_a_job_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    folders = {"default": tmp_path, "mine": tmp_path / "jobs/mine"}
    with pytest.raises(Refused, match="there is no folder trainer/jobs/x; jobs: default, mine"):
        jobs.choose(folders, "x")
