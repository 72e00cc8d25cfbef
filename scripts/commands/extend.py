"""Give a run more time: `parris extend`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from botocore.exceptions import WaiterError

from parris.aws.stack_events import first_failure
from parris.aws.stacks import stack_parameters
from parris.jobs.retry import SPOT
from parris.launch.render import schedule_time
from parris.runs.attempt import spent_usd
from parris.runs.budget import after_deadline_usd
from parris.runs.documents import Receipt
from parris.runs.times import iso, read_time
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.cli.which_cloud import is_local
from scripts.deployment.outputs import Deployment, read_deployment
from scripts.deployment.runs import change_receipt
from scripts.deployment.several import pick_run_to_change

_SETTLED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


def main(argv: list[str]) -> int:
    """Move a run's deadline in every layer that ends it: stack, reap function, machine."""
    options = parse("extend", argv)
    deployment = read_deployment()
    run = pick_run_to_change(deployment, options.job or None, options.run or None, "make extend")
    if run.is_over or run.stack is None:
        raise Refused(f"run {run.run_id} of job {run.job} is not under way: {run.state}")
    if run.stack["StackStatus"] not in _SETTLED:
        status = run.stack["StackStatus"]
        raise Refused(f"stack {run.stack['StackName']} is {status}; try again when it has settled")
    # The stack's own word: the receipt could be behind if an earlier extension was cut short.
    old = datetime.fromisoformat(stack_parameters(run.stack)["Deadline"])
    new = old + timedelta(minutes=options.minutes)
    grace = timedelta(minutes=deployment.grace_minutes)
    spent = Decimal(str(spent_usd(run.attempts)))
    latest, why = latest_deadline(run.receipt, spent, deployment.max_run_hours, grace)
    if new > latest:
        left = int((latest - old).total_seconds() // 60)
        most = f"MINUTES={left} at most" if left > 0 else "it cannot be given more time"
        raise Refused(f"run {run.run_id} must be over at {iso(latest)}: {why}; {most}")
    # From the outside in: at no moment would a layer end what an inner one still allows.
    _move_stack(deployment, run.stack, new)
    print(
        f"stack {run.stack['StackName']}: deletes itself {deployment.grace_minutes} min after "
        f"{iso(new)}"
    )
    change_receipt(deployment, run, lambda receipt: _moved(receipt, new))
    print(
        f"run {run.run_id}: deadline {iso(old)} is now {iso(new)}; its machine hears of it "
        "within 15 s"
    )
    if options.json:
        console.print_json(
            {
                "job": run.job,
                "run-id": run.run_id,
                "stack-name": run.stack["StackName"],
                "deadline": iso(new),
            }
        )
    return 0


def latest_deadline(
    receipt: Receipt, spent: Decimal, max_run_hours: int, grace: timedelta
) -> tuple[datetime, str]:
    """Return how far a run's deadline may be moved, and what says so.

    Args:
        spent: US dollars, by the machines that it had before the one that it has.
        grace: how long after it the run's stack deletes itself.
    """
    claimed = _claimed(receipt)
    caps = [(claimed + timedelta(hours=max_run_hours), f"max_run_hours is {max_run_hours}")]
    budget, price = receipt.get("cost-limit-usd"), receipt.get("price")
    if price is None:
        return min(caps)
    began = read_time(receipt.get("attempt-began")) or claimed
    hourly = Decimal(price["hourly-usd"])
    if budget:
        why = f"its cost-limit is {budget} US dollars"
        caps.append((_paid_until(began, Decimal(budget) - spent, hourly), why))
    elif receipt.get("market") == SPOT:  # whose price may rise so far
        hourly = Decimal(price.get("on-demand-hourly-usd", price["hourly-usd"]))
    if reserved := receipt.get("reserved-usd"):
        rest = Decimal(reserved) - spent - after_deadline_usd(hourly, grace)
        # The deadline that it has is paid for in any case.
        paid = _paid_until(began, rest, hourly)
        paid = max(paid, read_time(receipt.get("deadline")) or paid)
        caps.append((paid, _reserved(reserved)))
    return min(caps)


def _paid_until(began: datetime, usd: Decimal, hourly_usd: Decimal) -> datetime:
    """Return until when a machine may go on for so many US dollars."""
    return began + timedelta(minutes=int(max(usd, Decimal(0)) * 60 / hourly_usd))


def _reserved(usd: str) -> str:
    return f"{usd} US dollars of its month's budget are reserved for it"


def _claimed(receipt: Receipt) -> datetime:
    claimed = read_time(receipt.get("claimed"))
    if claimed is None:
        raise Refused("the run's run.json does not say when it was launched; it cannot be extended")
    return claimed


def _moved(receipt: Receipt, deadline: datetime) -> Receipt:
    changed: Receipt = {**receipt, "deadline": iso(deadline)}
    of_run = read_time(receipt.get("run-deadline"))
    if of_run is not None:
        changed["run-deadline"] = iso(max(of_run, deadline))
    if changed.get("time-limit-minutes") is not None:
        claimed = _claimed(receipt)
        changed["time-limit-minutes"] = int((deadline - claimed).total_seconds() // 60)
    return changed


def _move_stack(deployment: Deployment, stack: Mapping[str, Any], deadline: datetime) -> None:
    """Change the two parameters that hold the deadline, on which only the schedule depends.

    The stack's tags stay as they are: CloudFormation would pass new ones on to the instance.
    """
    moved = {
        "Deadline": iso(deadline),
        "DeleteAt": schedule_time(deadline + timedelta(minutes=deployment.grace_minutes)),
    }
    parameters = [
        {"ParameterKey": key, "ParameterValue": moved[key]}
        if key in moved
        else {"ParameterKey": key, "UsePreviousValue": True}
        for key in stack_parameters(stack)
    ]
    cloudformation = deployment.client("cloudformation")
    cloudformation.update_stack(
        StackName=stack["StackId"], UsePreviousTemplate=True, Parameters=parameters
    )
    waiter = cloudformation.get_waiter("stack_update_complete")
    delay = 1 if is_local() else 5
    try:
        waiter.wait(StackName=stack["StackId"], WaiterConfig={"Delay": delay, "MaxAttempts": 60})
    except WaiterError as error:
        said = first_failure(cloudformation, stack["StackId"]) or str(error)
        raise Refused(
            f"stack {stack['StackName']} could not be changed ({said}); the deadline is as it was"
        ) from error
