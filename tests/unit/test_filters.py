"""What SINCE= and STATE= take, and what they say of what they do not."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from scripts.cli.filters import STATES, since, states


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("10m", timedelta(minutes=10)),
        ("10min", timedelta(minutes=10)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
        ("45 s", timedelta(seconds=45)),
    ],
)
def test_a_length_of_time_is_before_now(text: str, length: timedelta) -> None:
    before = datetime.now(UTC)
    moment = since(text).moment
    assert before - length <= moment <= datetime.now(UTC) - length


def test_a_date_or_time_without_a_zone_is_utc() -> None:
    assert since("2026-11-24").moment == datetime(2026, 11, 24, tzinfo=UTC)
    assert since("2026-11-24T12:00").moment == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert since("2026-11-24T12:00+02:00").moment == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert since("2026-11-24T12:00:00Z").text == "2026-11-24T12:00:00Z"


@pytest.mark.parametrize("text", ["soon", "2 fortnights", "-2h", "2.5h", "999999w", "24.11.2026"])
def test_what_names_no_moment_is_refused_with_what_does(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        since(text)
    assert str(refused.value).startswith(f"{text} is neither a length of time, such as 10m, 2h")


def test_a_moment_that_has_yet_to_come_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="has yet to come: it is 20"):
        since("2999-01-01")


def test_states_are_named_with_commas_between() -> None:
    assert states("failed, Timed-Out,failed") == ("failed", "timed-out")
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        states("failed,runing")
    assert str(refused.value).startswith("runing is not a state (launching, running, ")
    assert str(refused.value).endswith("; did you mean running?")
    with pytest.raises(argparse.ArgumentTypeError, match="no state is named"):
        states(",")
    assert "accepted" not in STATES
