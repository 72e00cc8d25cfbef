"""What a launch answers, from a run's receipt (docs/contracts.md, "Events")."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .budget import cost
from .record import RunRecord


def answer_of(
    receipt: Mapping[str, Any], stack_id: str | None, *, duplicate: bool = False
) -> dict[str, Any]:
    return {
        "run-id": receipt["run-id"],
        "job": receipt["job"],
        "stack-name": receipt["stack-name"],
        "stack-id": stack_id,
        "deadline": receipt["deadline"],
        "instance-type": receipt.get("instance-type"),
        "market": receipt.get("market"),
        "duplicate": duplicate,
        **{key: receipt[key] for key in ("resumes", "rerun-of") if key in receipt},
        **_costs(receipt),
    }


def duplicate_of(record: RunRecord) -> dict[str, Any]:
    """Return the answer to one more delivery of an event.

    What its first launch has not come to decide is None.
    """
    known = dict.fromkeys(("stack-name", "deadline"))
    named = {"run-id": record.run_id, "job": record.job}
    return answer_of({**known, **record.receipt, **named}, record.stack_id, duplicate=True)


def _costs(receipt: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what an hour of a run costs, and all of it if it goes on to its deadline, in dollars.

    Both are None where no price is known.
    """
    most = None
    if receipt.get("price"):
        begun, over = (datetime.fromisoformat(receipt[key]) for key in ("claimed", "deadline"))
        most = cost(receipt, begun, over)
    if most is None:
        return {"hourly-usd": None, "most-usd": None}
    hourly = float(receipt["price"]["hourly-usd"])
    return {"hourly-usd": f"{hourly:.4f}", "most-usd": f"{most:.4f}"}
