"""What a launch answers, from a run's receipt (docs/contracts.md, "Events")."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ..contract import State
from ..jobs.retry import ON_DEMAND, SPOT, read_retry
from .budget import cost
from .ladder import read_ladder
from .record import RunRecord

if TYPE_CHECKING:
    from .documents import Answer, Costs, Receipt

THIS_MACHINE = "this-machine"
"""Of what `most-usd` is where the run may come to a machine of another type."""


def answer_of(receipt: Receipt, stack_id: str | None, *, duplicate: bool = False) -> Answer:
    answer: Answer = {
        "run-id": receipt["run-id"],
        "job": receipt["job"],
        "stack-name": receipt.get("stack-name"),
        "stack-id": stack_id,
        "deadline": receipt.get("deadline"),
        "instance-type": receipt.get("instance-type"),
        "market": receipt.get("market"),
        "duplicate": duplicate,
    }
    dollars = costs(receipt)
    answer["hourly-usd"], answer["most-usd"] = dollars["hourly-usd"], dollars["most-usd"]
    if "most-usd-of" in dollars:
        answer["most-usd-of"] = dollars["most-usd-of"]
    if "resumes" in receipt:
        answer["resumes"] = receipt["resumes"]
    if "rerun-of" in receipt:
        answer["rerun-of"] = receipt["rerun-of"]
    return answer


def duplicate_of(record: RunRecord) -> Answer:
    """Return the answer to one more delivery of an event.

    What its first launch has not come to decide is None.
    """
    if record.state == State.GRID:
        return grid_answer(record.job, record.run_id, duplicate=True)
    named: Receipt = {**record.receipt, "run-id": record.run_id, "job": record.job}
    return answer_of(named, record.stack_id, duplicate=True)


def grid_answer(job: str, grid_id: str, *, duplicate: bool) -> Answer:
    """Return what is answered to an event that starts a grid."""
    return {"grid": grid_id, "job": job, "stack-id": None, "duplicate": duplicate}


def costs(receipt: Receipt) -> Costs:
    """Return what an hour of a run costs, and all of it if it goes on to its deadline, in dollars.

    Both are None where no price is known. What `make plan` says is the same, but that it asks for
    the prices of other types too.
    """
    price = receipt.get("price")
    if not price:
        return {"hourly-usd": None, "most-usd": None}
    ladder, retry, budget = read_ladder(receipt), read_retry(receipt), receipt["cost-limit-usd"]
    moves = bool(retry.on)
    other_types = moves and len(ladder.instance_types) > 1
    dearest: str | None = price["hourly-usd"]
    if receipt["market"] == SPOT and (not budget or (moves and ON_DEMAND in ladder.markets)):
        dearest = price.get("on-demand-hourly-usd")  # up to which a price without a limit rises
    most = None
    if dearest:
        begun, over = (datetime.fromisoformat(receipt[key]) for key in ("claimed", "deadline"))
        most = cost({"price": {"hourly-usd": dearest}}, begun, over)
    if budget:
        most = float(budget) if most is None or other_types else min(most, float(budget))
    found: Costs = {
        "hourly-usd": f"{float(price['hourly-usd']):.4f}",
        "most-usd": None if most is None else f"{most:.4f}",
    }
    if most is not None and other_types and not budget:
        found["most-usd-of"] = THIS_MACHINE
    return found
