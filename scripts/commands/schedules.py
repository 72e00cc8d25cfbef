"""When each schedule fires next: `parris schedules`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.deployment.fire_times import next_times, parse_cron
from scripts.deployment.outputs import read_deployment

COUNT = 5


def main(argv: list[str]) -> int:
    """List every schedule with its next five times, in UTC and in this machine's own time."""
    options = parse("schedules", argv)
    schedules = read_deployment().schedules
    rows = [describe(name, schedules[name], datetime.now(UTC)) for name in sorted(schedules)]
    if options.json:
        console.print_json(rows)
    elif not rows:
        print("there is no schedule; add one to terraform.tfvars (docs/getting-started.md)")
    else:
        print("\n\n".join("\n".join(_lines(row)) for row in rows))
    wrong = [row for row in rows if row["problem"]]
    for row in wrong:
        console.fail(f"schedule {row['name']}: {row['problem']}")
    return 1 if wrong else 0


def describe(name: str, schedule: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return one schedule, its next times in UTC as ISO 8601, and what is wrong with it."""
    expression, times, problem = str(schedule["expression"]), [], ""
    if schedule["enabled"] and expression.startswith("cron"):
        try:
            times = next_times(parse_cron(expression), now, COUNT)
        except ValueError as error:
            problem = str(error)
    return {
        "name": name,
        **{key: schedule[key] for key in ("job", "expression", "enabled", "overlap")},
        "next": [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in times],
        "problem": problem,
    }


def _lines(row: dict[str, Any]) -> list[str]:
    head = f"{row['name']}: job {row['job']}, {row['expression']}, overlap {row['overlap']}"
    if not row["enabled"]:
        return [head, "  disabled"]
    if row["expression"].startswith("rate"):
        # EventBridge counts from the moment the rule was made or changed, which no API tells.
        return [head, "  at this rate, counted from when it was applied"]
    moments = [datetime.fromisoformat(text) for text in row["next"]]
    times = [f"  {_when(moment, moment.astimezone())}" for moment in moments]
    return [head, *(times or ["  never again"])] if not row["problem"] else [head]


def _when(moment: datetime, here: datetime) -> str:
    """Return a time in UTC, and as this machine's clock shows it where that is another."""
    text = f"{moment:%a %Y-%m-%d %H:%M} UTC"
    return f"{text}   {here:%a %Y-%m-%d %H:%M %Z}" if here.utcoffset() else text
