"""How many calls were made of which service, by roles: as the embedded cloud counts them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from scripts.local import call_counts


async def answer(*request: Any) -> Any:
    return request


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> call_counts.Counts:
    monkeypatch.setattr(call_counts, "role_of", lambda headers: headers["role"])
    monkeypatch.setattr(call_counts, "EVERY_SECONDS", 0)
    return call_counts.Counts(tmp_path / call_counts.FILE)


def test_calls_of_roles_are_counted_and_answered(
    counts: call_counts.Counts, tmp_path: Path
) -> None:
    assert call_counts.read(tmp_path) == {}
    handlers = {service: counts.around(service, answer) for service in ("s3", "dynamodb")}
    for role, service in (("reap", "s3"), ("reap", "dynamodb"), ("", "s3"), ("reap", "s3")):
        request: Any = ("GET", "/", {"role": role}, b"", {})
        assert asyncio.run(handlers[service](*request)) == request
    assert call_counts.read(tmp_path) == {"reap s3": 2, "reap dynamodb": 1}
    assert [path.name for path in tmp_path.iterdir()] == [call_counts.FILE]


def test_the_file_is_written_once_in_a_while(
    counts: call_counts.Counts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_counts, "EVERY_SECONDS", 3600)
    counts.add("reap", "s3")
    counts.add("reap", "s3")
    assert call_counts.read(tmp_path) == {"reap s3": 1}
    monkeypatch.setattr(call_counts, "EVERY_SECONDS", 0)
    counts.add("", "sts")
    assert call_counts.read(tmp_path) == {"reap s3": 2}
