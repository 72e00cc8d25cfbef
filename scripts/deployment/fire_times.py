"""When EventBridge fires a cron expression (its user guide, "Setting a schedule pattern")."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {
    name: number
    for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)
}
_LAST_YEAR = 2199


@dataclass(frozen=True, kw_only=True)
class Cron:
    """A parsed expression: what each field allows."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: str
    """Day of month, as written; it and `weekdays` are judged against a date."""
    months: frozenset[int]
    weekdays: str
    years: frozenset[int]


def parse_cron(expression: str) -> Cron:
    """Return what ``cron(Minutes Hours Day-of-month Month Day-of-week Year)`` means.

    Raises:
        ValueError: naming the field that is wrong, with what is allowed.
    """
    found = re.fullmatch(r"cron\((.*)\)", expression)
    fields = found[1].upper().split() if found else []
    if len(fields) != 6:
        raise ValueError(f"{expression} is not cron(…) with six fields")
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        raise ValueError("one of day-of-month and day-of-week must be ?, and the other not")
    cron = Cron(
        minutes=_values("minutes", minutes, 0, 59),
        hours=_values("hours", hours, 0, 23),
        days=days,
        months=_values("month", months, 1, 12, _MONTHS),
        weekdays=weekdays,
        years=_values("year", years, 1970, _LAST_YEAR),
    )
    _is_day(cron, date(2024, 1, 1))  # which parses the two that depend on the date
    return cron


def next_times(cron: Cron, after: datetime, count: int) -> list[datetime]:
    """Return the next `count` times after `after` (aware), in UTC; fewer if there are no more."""
    found: list[datetime] = []
    for moment in _times(cron, after.astimezone(UTC)):
        found.append(moment)
        if len(found) == count:
            break
    return found


def _times(cron: Cron, after: datetime) -> Iterator[datetime]:
    day = after.date()
    while day.year <= max(cron.years):
        if day.year in cron.years and day.month in cron.months and _is_day(cron, day):
            for hour in sorted(cron.hours):
                for minute in sorted(cron.minutes):
                    moment = datetime.combine(day, time(hour, minute), UTC)
                    if moment > after:
                        yield moment
        day += timedelta(days=1)


def _is_day(cron: Cron, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if cron.weekdays == "?":
        if cron.days == "L":
            return day.day == last
        if nearest := re.fullmatch(r"(\d{1,2})W", cron.days):
            return day.day == _nearest_weekday(day, int(nearest[1]), last)
        return day.day in _values("day-of-month", cron.days, 1, 31)
    weekday = day.isoweekday() % 7 + 1  # 1 is Sunday
    if nth := re.fullmatch(r"(\w+)#([1-5])", cron.weekdays):
        wanted = _values("day-of-week", nth[1], 1, 7, _WEEKDAYS)
        return weekday in wanted and (day.day + 6) // 7 == int(nth[2])
    if final := re.fullmatch(r"(\w+)L", cron.weekdays):
        wanted = _values("day-of-week", final[1], 1, 7, _WEEKDAYS)
        return weekday in wanted and day.day > last - 7
    return weekday in _values("day-of-week", cron.weekdays.replace("L", "7"), 1, 7, _WEEKDAYS)


def _nearest_weekday(day: date, wanted: int, last: int) -> int:
    """Return the day of this month that is the working day nearest to the `wanted` one."""
    wanted = min(wanted, last)
    weekday = date(day.year, day.month, wanted).isoweekday()
    if weekday == 6:
        return wanted - 1 if wanted > 1 else wanted + 2
    if weekday == 7:
        return wanted + 1 if wanted < last else wanted - 2
    return wanted


def _values(
    field: str, text: str, low: int, high: int, names: dict[str, int] | None = None
) -> frozenset[int]:
    """Return the numbers that a field allows: lists of ``*``, ``a``, ``a-b``, each ``/step``."""
    values: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        begin, dash, end = span.partition("-")
        try:
            if span == "*":
                first, final = low, high
            else:
                first = _number(begin, names)
                final = _number(end, names) if dash else high if slash else first
            stride = int(step) if slash else 1
        except ValueError:
            first, final, stride = 0, -1, 1
        if not (low <= first <= high and low <= final <= high and stride >= 1):
            allowed = f", or {'-'.join(names)}" if names else ""
            raise ValueError(f"{field}: {part} is not within {low} to {high}{allowed}")
        span_values = (
            range(first, final + 1)
            if first <= final
            else (*range(first, high + 1), *range(low, final + 1))
        )
        values |= set(span_values[::stride])
    return frozenset(values)


def _number(text: str, names: dict[str, int] | None) -> int:
    return (names or {}).get(text) or int(text)
