"""What the embedded cloud recorded, against the tables; and the linters' findings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.local import authorization, authorizations
from scripts.local.authorizations import SAMPLES, Record
from tests.proof import linters, recorded
from tests.proof.table import Table, read_tables


def line(
    action: str, decision: str = "Allow", who: str = "role/parris-reap-us-east-1"
) -> dict[str, str]:
    return {"principal": who, "action": action, "resource": "r", "decision": decision}


def test_a_call_is_recorded_once_and_many_alike_are_sampled(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    record = Record(path)
    for number in range(3 * SAMPLES):
        record.add("role/a", "s3:GetObject", f"o{number // 2}", "Allow")
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert len(lines) == SAMPLES
    for number in range(3 * SAMPLES):
        record.add("role/a", "s3:GetObject", f"o{number}", "Deny")
    assert len(path.read_text().splitlines()) == 4 * SAMPLES
    assert lines[0] == line("s3:GetObject", who="role/a") | {"resource": "o0"}


def test_what_a_service_asks_iam_for_itself_is_recorded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorizations, "_record", Record(tmp_path / "calls.jsonl"))
    stack = "arn:aws:sts::000000000000:assumed-role/parris-stack-us-east-1/AWSCloudFormation"
    with pytest.raises(authorization.Denied):
        authorization.demand(stack, "ec2:RunInstances", "r", {})
    (said,) = [json.loads(text) for text in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert said == line("ec2:RunInstances", "Deny", who="role/parris-stack-us-east-1")


def test_a_call_that_no_table_has_is_strange() -> None:
    said = list(recorded.strange([line("ec2:RebootInstances"), line("sns:Publish")]))
    assert said == ["reap called ec2:RebootInstances on r, no table says so"]


def test_a_call_that_needs_no_permission_is_nobodys_to_list() -> None:
    assert list(recorded.strange([line("sts:GetCallerIdentity")])) == []


def test_a_denial_that_was_meant_is_not_strange_whatever_was_tried() -> None:
    tried = {
        "principal": "role/parris-instance-us-east-1",
        "action": "s3:DeleteObject",
        "resource": "arn:aws:s3:::b/runs/fence/r/machines/m/output/x",
    }
    assert list(recorded.strange([{**tried, "decision": "Deny"}])) == []
    assert list(recorded.strange([{**tried, "decision": "Allow"}])) != []


def test_a_denial_that_nobody_meant_is_strange() -> None:
    said = list(recorded.strange([line("sns:Publish", "Deny")]))
    assert said == ["reap was denied sns:Publish on r"]


def test_whoever_is_none_of_the_principals_may_do_as_he_likes() -> None:
    assert list(recorded.strange([line("s3:X", "Deny", who="user/somebody")])) == []
    assert list(recorded.strange([line("s3:X", "Deny", who="user/operator")])) != []


def test_a_need_that_nobody_shows_wants_a_reason() -> None:
    table = read_tables()["caller"]
    said = list(recorded.unmade([], {"caller": table}))
    assert len(said) == sum(not call.unseen for call in table.needs)
    shown = [line(call.action, who="role/parris-caller-us-east-1") for call in table.needs]
    assert list(recorded.unmade(shown, {"caller": table})) == []


def test_no_table_is_empty_or_names_a_call_twice() -> None:
    def twice(table: Table) -> bool:
        rows = [repr((call.action, call.resource, call.context)) for call in table.needs]
        return len(rows) != len(set(rows))

    assert [name for name, table in read_tables().items() if not table.needs or twice(table)] == []


def test_a_finding_wants_a_reason_and_a_reason_a_finding() -> None:
    reasons = {"checkov": {"CKV_1": {"reason": "so", "found-in": ["a", "b"]}}}
    found = {("checkov", "CKV_1", "a"), ("checkov", "CKV_2", "a")}
    said = list(linters.judge(found, reasons))
    assert [text.partition(":")[0] for text in said] == ["checkov CKV_2", "stale excuse"]


def test_every_reason_is_given() -> None:
    findings = json.loads(linters.FINDINGS.read_text())
    assert all(entry["reason"] for checks in findings.values() for entry in checks.values())
