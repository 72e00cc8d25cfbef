"""When a schedule fires next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.commands.schedules import _when, describe
from scripts.deployment.fire_times import next_times, parse_cron

NOW = datetime(2026, 11, 24, 12, 41, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "first", "second"),
    [  # the examples of the EventBridge user guide, "Setting a schedule pattern", and its wildcards
        ("0 10 * * ? *", "2026-11-25 10:00", "2026-11-26 10:00"),
        ("15 12 * * ? *", "2026-11-25 12:15", "2026-11-26 12:15"),
        ("0 18 ? * MON-FRI *", "2026-11-24 18:00", "2026-11-25 18:00"),
        ("0 8 1 * ? *", "2026-12-01 08:00", "2027-01-01 08:00"),
        ("0/15 * * * ? *", "2026-11-24 12:45", "2026-11-24 13:00"),
        ("0/5 8-17 ? * MON-FRI *", "2026-11-24 12:45", "2026-11-24 12:50"),
        ("0 9 ? * 2#1 *", "2026-12-07 09:00", "2027-01-04 09:00"),
        ("0 10 ? * 6L *", "2026-11-27 10:00", "2026-12-25 10:00"),
        ("0 18 L * ? *", "2026-11-30 18:00", "2026-12-31 18:00"),
        ("0 9 15W * ? *", "2026-12-15 09:00", "2027-01-15 09:00"),
        ("0 9 1W * ? *", "2026-12-01 09:00", "2027-01-01 09:00"),
        ("0 0 29 2 ? *", "2028-02-29 00:00", "2032-02-29 00:00"),
        ("0 3 31 * ? 2026-2027", "2026-12-31 03:00", "2027-01-31 03:00"),
        ("30 6 ? JAN,JUL SAT-SUN *", "2027-01-02 06:30", "2027-01-03 06:30"),
    ],
)
def test_the_next_times_are_those_of_the_guide(fields: str, first: str, second: str) -> None:
    times = next_times(parse_cron(f"cron({fields})"), NOW, 2)
    assert [f"{moment:%Y-%m-%d %H:%M}" for moment in times] == [first, second]


def test_a_year_that_is_over_fires_never_again() -> None:
    assert next_times(parse_cron("cron(0 3 * * ? 2020)"), NOW, 5) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("61 3 * * ? *", "minutes: 61 is not within 0 to 59"),
        ("0 24 * * ? *", "hours: 24"),
        ("0 3 * * * *", "one of day-of-month and day-of-week must be"),
        ("0 3 ? * ? *", "one of day-of-month and day-of-week must be"),
        ("0 3 * *", "six fields"),
        ("0 3 ? FOO MON *", "month: FOO is not within 1 to 12, or JAN-FEB"),
        ("0 3 ? * 8 *", "day-of-week: 8"),
        ("0 3 32 * ? *", "day-of-month: 32"),
        ("0/0 3 * * ? *", "minutes: 0/0"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(fields: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        parse_cron(f"cron({fields})")


@given(
    minute=st.integers(0, 59),
    hours=st.lists(st.integers(0, 23), min_size=1, max_size=3),
    weekday=st.sampled_from(["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]),
    after=st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1)),
)
def test_every_time_matches_and_comes_after_the_one_before(
    minute: int, hours: list[int], weekday: str, after: datetime
) -> None:
    start = after.replace(tzinfo=UTC)
    fields = f"{minute} {','.join(map(str, hours))} ? * {weekday} *"
    times = next_times(parse_cron(f"cron({fields})"), start, 5)
    assert len(times) == 5
    assert [start, *times] == sorted({start, *times})
    for moment in times:
        assert (moment.minute, f"{moment:%a}".upper()) == (minute, weekday)
        assert moment.hour in hours


def schedule(**changes: Any) -> dict[str, Any]:
    usual = {"job": "default", "expression": "cron(0 3 * * ? *)", "enabled": True}
    return usual | {"overlap": "skip"} | changes


def test_a_schedule_lists_five_times_unless_it_is_off_or_has_none_to_tell() -> None:
    assert describe("nightly", schedule(), NOW)["next"][:2] == [
        "2026-11-25T03:00:00Z",
        "2026-11-26T03:00:00Z",
    ]
    assert len(describe("nightly", schedule(), NOW)["next"]) == 5
    assert describe("off", schedule(enabled=False), NOW)["next"] == []
    assert describe("rate", schedule(expression="rate(1 day)"), NOW)["next"] == []
    assert "six fields" in describe("bad", schedule(expression="cron(1)"), NOW)["problem"]


def test_a_time_is_told_once_where_the_clock_is_utc() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=2), "EET"))
    assert _when(NOW, NOW) == "Tue 2026-11-24 12:41 UTC"
    assert _when(NOW, east) == "Tue 2026-11-24 12:41 UTC   Tue 2026-11-24 14:41 EET"
