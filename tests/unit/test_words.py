"""Numbers and times as a sentence has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from scripts.cli.words import ago, counted

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_one_is_not_many() -> None:
    assert counted(1, "stack stands", "stacks stand") == "1 stack stands"
    assert [counted(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s ago"), (59.9, "59 s ago"), (60, "1 min ago"), (7199, "1 h ago"), (90000, "1 d ago")],
)
def test_an_age_is_told_by_its_largest_unit(seconds: float, said: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == said
