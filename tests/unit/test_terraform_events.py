"""What terraform's stream becomes: a summary, how far it is, and its own words where it fails."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.deployment.terraform_events import Story


def told(*said: dict[str, Any] | str) -> Story:
    story = Story()
    for each in said:
        story.hear(each if isinstance(each, str) else json.dumps(each))
    return story


def planned(action: str, kind: str) -> dict[str, Any]:
    resource = {"resource_type": kind, "addr": f"{kind}.x"}
    return {"type": "planned_change", "change": {"action": action, "resource": resource}}


def hook(kind: str, action: str, name: str) -> dict[str, Any]:
    return {"type": kind, "hook": {"action": action, "resource": {"addr": name}}}


def diagnostic(severity: str, summary: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "diagnostic",
        "diagnostic": {"severity": severity, "summary": summary, "detail": "", **more},
    }


def test_a_plan_is_told_by_action_and_kind_with_what_it_costs_idle() -> None:
    roles = [planned("create", "aws_iam_role")] * 2
    story = told(*roles, planned("replace", "aws_lambda_function"), planned("read", "aws_x"))
    said = story.describe()
    assert said[:3] == [
        "terraform will make 2, replace 1 resources:",
        "  make     2 iam role",
        "  replace  1 lambda function",
    ]
    assert "Idle it bills nothing by the hour" in said[3]
    assert "dashboard" not in "".join(said)
    alarmed = told(planned("create", "aws_cloudwatch_metric_alarm")).describe()
    assert "an alarm costs 0.10 US dollars" in " ".join(alarmed)
    assert not any("Idle" in line for line in told(planned("delete", "aws_x")).describe())


def test_a_plan_is_told_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    kinds = ("cloudwatch_event_rule", "iam_role_policy", "lambda_permission", "s3_bucket_policy")
    narrow = told(*(planned("create", f"aws_{kind}") for kind in kinds)).describe()
    assert max(map(len, narrow)) <= 80
    assert len([line for line in narrow if line.startswith("           ")]) == 1


def test_how_far_it_is_counts_what_is_done() -> None:
    summary = {"add": 2, "change": 0, "remove": 1, "operation": "plan"}
    story = told(
        {"type": "refresh_complete"},
    )
    assert story.where() == "terraform reads what is there: 1 resources"
    for line in (
        {"type": "change_summary", "changes": summary},
        hook("apply_start", "create", "aws_iam_role.a"),
        hook("apply_start", "read", "data.aws_x.b"),
        hook("apply_complete", "read", "data.aws_x.b"),
        hook("apply_complete", "create", "aws_iam_role.a"),
        hook("apply_start", "delete", "aws_iam_role.c"),
    ):
        story.hear(json.dumps(line))
    assert story.where() == "terraform: 1 of 3 done"
    assert story.under_way == {"aws_iam_role.c": "delete"}


def test_no_error_of_terraforms_is_lost() -> None:
    story = told(
        diagnostic(
            "error",
            "creating IAM Role",
            detail="EntityAlreadyExists: it exists",
            address="aws_iam_role.launch",
            range={"filename": "main.tf", "start": {"line": 7}},
            snippet={"code": 'resource "aws_iam_role" "launch" {'},
        ),
        "panic: something that is no JSON",
        {"type": "provision_progress", "hook": {"output": "a Traceback of the command's"}},
        {"type": "provision_errored", "hook": {}},
    )
    said = "\n".join(story.complaints)
    for part in (
        "Error: creating IAM Role",
        "EntityAlreadyExists: it exists",
        "with aws_iam_role.launch",
        "on main.tf line 7",
        'resource "aws_iam_role" "launch" {',
        "panic: something that is no JSON",
        "a Traceback of the command's",
    ):
        assert part in said


def test_a_warning_about_our_own_flag_is_left_out_and_others_are_not() -> None:
    story = told(
        diagnostic("warning", "Deprecated flag: -state"),
        diagnostic("warning", "Argument is deprecated"),
    )
    assert story.complaints == ["Warning: Argument is deprecated"]
