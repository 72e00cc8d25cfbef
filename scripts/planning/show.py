"""A plan, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from parris.aws.storage import AGENT_KEY
from parris.jobs.points import Grid
from parris.jobs.retry import SPOT
from parris.runs.month import MICROS
from parris.runs.times import iso
from scripts.cli import console
from scripts.cli.columns import Column
from scripts.cli.which_cloud import hint
from scripts.cli.words import counted
from scripts.planning.job_plan import JobPlan
from scripts.planning.rungs import Kind
from scripts.planning.summary import summary_of

_COLUMNS = (
    Column(heading="MACHINE", rank=0),
    Column(heading="MARKET", rank=1),
    Column(heading="$ AN HOUR", rank=2),
    Column(heading="VCPUS", rank=5),
    Column(heading="QUOTA", rank=4),
    Column(heading="ZONES", rank=3, least=20),
)


def show(plan: JobPlan) -> None:
    """Print a plan; its last line is `summary_of`."""
    run = plan.run
    size = sum(plan.files.values())
    where = "bucket" if plan.uploaded else "folder"
    _line("job", f"{run.job}, {counted(len(plan.files), 'file')} of {size} bytes in the {where}")
    _line("image", _image(plan))
    print()
    console.print_table(_COLUMNS, [_cells(kind) for kind in plan.kinds])
    print()
    _line("stack", f"{run.stack_name}, {_stack(plan)}")
    if plan.grid:
        _line("grid", _grid(plan.grid, plan.most_usd))
    held = "?" if plan.room.held is None else plan.room.held
    _line("slots", f"{held} of {plan.room.limit} runs under way")
    _line("month", _month(plan))
    _line("rights", _rights(plan))
    for number, line in enumerate(writes(plan)):
        _line("" if number else "writes", line)
    _line("deadline", f"{iso(run.deadline)}; its stack deletes itself at {iso(run.delete_at)}")
    for note in plan.notes:
        _line("note", hint(note))
    print(summary_of(run, plan.most_usd))


def answer(plan: JobPlan) -> dict[str, Any]:
    """Return a plan as `--json` prints it (docs/commands.md)."""
    run = plan.run
    return {
        "job": run.job,
        "goes": plan.goes,
        "problems": [hint(problem) for problem in plan.problems],
        "notes": [hint(note) for note in plan.notes],
        "summary": summary_of(run, plan.most_usd),
        "uploaded": plan.uploaded,
        "stack-name": run.stack_name,
        "stack-status": plan.room.stack,
        "image": plan.image_id,
        "image-name": plan.image.name if plan.image else None,
        "volume-size-gb": run.volume_size_gb,
        "machines": [_machine(kind) for kind in plan.kinds],
        "instance-type": run.rung.instance_type,
        "market": run.rung.market,
        "hourly-usd": f"{run.price.hourly_usd:.4f}" if run.price else None,
        "most-usd": None if plan.most_usd is None else f"{plan.most_usd:.4f}",
        "grid": plan.grid
        and {
            "trials": plan.grid.count,
            "max-parallel": plan.grid.max_parallel,
            "most-usd": _usd(grid_usd(plan.grid, plan.most_usd)),
            "stop-early": plan.grid.stop_early or None,
        },
        "deadline": iso(run.deadline),
        "delete-at": iso(run.delete_at),
        "slots": {"held": plan.room.held, "limit": plan.room.limit},
        "month": _sums(plan),
        "waiting": plan.room.waiting,
        "denied": None if plan.denials is None else [str(denial) for denial in plan.denials],
        "writes": list(writes(plan)),
    }


def writes(plan: JobPlan) -> Iterator[str]:
    """Yield what a launch would write, a line a place."""
    run = plan.run
    yield f"the run and its slot in the ledger; its id begins with {run.run_id[:8]}"
    names = f"run.json, {AGENT_KEY}, source/ ({counted(len(plan.files), 'file')})"
    yield f"s3://{run.results_bucket}/{run.prefix.split(run.run_id)[0]}<run id>/: {names}"
    nodes = run.config.nodes
    instances = "instance" if nodes == 1 else f"{nodes} instances, each"
    yield (
        f"stack {run.stack_name}: launch template, {instances} with {run.volume_size_gb} GiB, "
        "schedule that deletes it"
    )


def _machine(kind: Kind) -> Mapping[str, Any]:
    standing = kind.standing
    return {
        "instance-type": kind.instance_type,
        "market": kind.market,
        "vcpus": kind.vcpus,
        "gpus": kind.gpus or None,
        "subnets": [rung.subnet_id for rung in kind.rungs if rung.subnet_id],
        "zones": None if kind.zones is None else list(kind.zones),
        "hourly-usd": f"{kind.price.hourly_usd:.4f}" if kind.price else None,
        "most-hourly-usd": _usd(kind.most_hourly_usd),
        "quota": standing
        and {
            "code": standing.quota.code,
            "name": standing.quota.name,
            "vcpus": standing.limit,
            "used": standing.used,
        },
        "refusal": hint(kind.refusal) or None,
    }


def _cells(kind: Kind) -> tuple[str, ...]:
    hourly = f"{kind.price.hourly_usd:.4f}" if kind.price else "unknown"
    if (
        kind.market == SPOT
        and kind.price
        and kind.most_hourly_usd
        not in (
            None,
            kind.price.hourly_usd,
        )
    ):
        hourly += f" (to {_usd(kind.most_hourly_usd)})"
    standing = kind.standing
    quota = f"{standing.used} of {standing.limit} used" if standing else "?"
    machine = f"{kind.instance_type} ({kind.gpus})" if kind.gpus else kind.instance_type
    zones = "?" if kind.zones is None else ", ".join(kind.zones) or "none"
    vcpus = "?" if kind.vcpus is None else str(kind.vcpus)
    return (machine, kind.market, hourly, vcpus, quota, zones)


def grid_usd(grid: Grid, most_usd: Decimal | None) -> Decimal | None:
    """Return what a grid costs at most, if a trial costs `most_usd`; None where nothing says."""
    known = [grid.cost_limit_usd, None if most_usd is None else most_usd * grid.count]
    return min((usd for usd in known if usd is not None), default=None)


def _grid(grid: Grid, most_usd: Decimal | None) -> str:
    usd, limit = grid_usd(grid, most_usd), grid.cost_limit_usd
    most = "" if usd is None else f": ${usd:.4f} at most for all of them"
    # A trial begins only if its own worst case fits.
    short = limit is not None and most_usd is not None and most_usd * grid.count > limit
    cut = ", its cost-limit: it may end before the last one begins" if short else ""
    early = f"; the worse by {grid.metric} are stopped early" if grid.stop_early else ""
    return f"{counted(grid.count, 'trial')}, {grid.max_parallel} at once{most}{cut}{early}"


def _image(plan: JobPlan) -> str:
    named = plan.run.image
    known = [plan.image_id, plan.image.name if plan.image else None]
    said = ", ".join(one for one in known if one and one != named)
    return f"{named} ({said})" if said else named


def _stack(plan: JobPlan) -> str:
    return f"which exists ({plan.room.stack})" if plan.room.stack else "a name that is free"


def _sums(plan: JobPlan) -> dict[str, str] | None:
    if plan.month is None:
        return None
    return {
        "spent-usd": f"{plan.month.spent / MICROS:.4f}",
        "reserved-usd": f"{plan.month.reserved / MICROS:.4f}",
        "budget-usd": f"{plan.budget_usd:.2f}",
    }


def _month(plan: JobPlan) -> str:
    if plan.budget_usd is None:
        return "without a budget (monthly_budget_usd)"
    sums = _sums(plan)
    if sums is None:
        return "not looked at"
    reserves = plan.run.reserved_usd
    wants = "" if reserves is None else f"; this run would reserve ${reserves:.4f}"
    spent, reserved, budget = sums.values()
    return f"${spent} spent, ${reserved} reserved of ${budget}{wants}"


def _rights(plan: JobPlan) -> str:
    if plan.denials is None:
        return "not looked at"
    if plan.denials:
        return f"{counted(len(plan.denials), 'thing')} denied"
    return "the roles may do all that it takes"


def _line(name: str, text: str) -> None:
    print(f"{name:8}  {text}".rstrip())


def _usd(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:.4f}"
