"""What a launch now would cost and meet, without launching: `parris plan`."""

from __future__ import annotations

from datetime import UTC, datetime

from parris.events.request import DEFAULT_JOB
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.cli.words import counted
from scripts.deployment.outputs import read_deployment
from scripts.planning import show
from scripts.planning.job_plan import make_plan


def main(argv: list[str]) -> int:
    """Show what would become of a launch; 0 only if it would go through."""
    options = parse("plan", argv)
    job = options.job or DEFAULT_JOB
    plan = make_plan(read_deployment(), job, dict(options.parameter), datetime.now(UTC))
    if options.json:
        console.print_json(show.answer(plan))
    else:
        show.show(plan)
    if not plan.goes:
        lines = "\n".join(f"  {problem}" for problem in plan.problems)
        what = counted(len(plan.problems), "thing stands", "things stand")
        raise Refused(f"{what} in the way of job {job}\n{lines}")
    return 0
