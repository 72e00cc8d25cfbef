"""A run that is run again: the machine, the image and the parameters that its receipt names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import LaunchRefused
from ..jobs.commit import as_git
from ..jobs.config import FIELDS, MARKETS
from ..jobs.fields import Field, read_field
from ..jobs.parameters import merged, read_parameters
from .ladder import Ladder, Rung
from .plan import RunPlan

if TYPE_CHECKING:
    from .documents import GitRecord, Receipt

_IMAGE = re.compile("ami-[0-9a-f]{8,17}")


@dataclass(frozen=True, kw_only=True)
class Then:
    """How a run was, as far as its job's files do not say it."""

    run_id: str
    rung: Rung
    """Its machine: the last one, where it had several."""
    image: str
    volume_size_gb: int
    parameters: Mapping[str, str]
    git: GitRecord | None
    """The commit of its files."""
    begins_with: Receipt
    """Whose checkpoints it began with, as `RunPlan` has it."""


def read_then(run_id: str, receipt: Receipt) -> Then:
    """Return how a run was, from its ``run.json``.

    Raises:
        LaunchRefused: if that lacks something of it, or has it in another form.
    """
    parameters, faults = read_parameters(receipt.get("parameters"))
    wrong = ["parameters"] if faults else []
    values: dict[str, Any] = {}
    for key in ("instance-type", "volume-size-gb"):
        if _is_whole(FIELDS[key], receipt.get(key)):
            values[key] = receipt[key]
        else:
            wrong.append(key)
    if receipt.get("market") not in MARKETS:
        wrong.append("market")
    image = receipt.get("image")
    if not isinstance(image, str) or not _IMAGE.fullmatch(image):
        wrong.append("image")
    if wrong:
        version = receipt.get("parris-version", "before 0.2.0")
        raise LaunchRefused(
            f"rerun: the receipt of run {run_id} (run.json, of version {version}) does not say "
            f"which {', '.join(wrong)} it had; make results RUN={run_id} fetches its source/, to "
            "be launched as a job"
        )
    return Then(
        run_id=run_id,
        rung=Rung(
            instance_type=values["instance-type"],
            market=receipt["market"],
            subnet_id=str(receipt.get("subnet-id") or ""),
        ),
        image=str(image),
        volume_size_gb=values["volume-size-gb"],
        parameters=parameters,
        git=as_git(receipt.get("git")),
        begins_with=_begins_with(receipt),
    )


def _begins_with(receipt: Receipt) -> Receipt:
    if not receipt.get("restore"):
        return {}
    return {"resumes": str(receipt.get("resumes")), "restore": str(receipt["restore"])}


def _is_whole(field: Field, value: object) -> bool:
    """Return whether `value` is one that a configuration may have, and no list of several."""
    return isinstance(value, (str, int)) and not read_field(field, value)[1]


def as_then(plan: RunPlan, then: Then) -> RunPlan:
    """Return `plan` with the machine, the image and the parameters of a run before.

    Of the subnets that it may have today, that of then comes first; a type or a market that the
    job would also do with is none of this run's.
    """
    places = sorted(plan.ladder.subnets, key=lambda place: place != then.rung.subnet_id)
    ladder = Ladder(
        instance_types=[then.rung.instance_type], markets=[then.rung.market], subnets=places
    )
    return replace(
        plan,
        ladder=ladder,
        rung=ladder.rungs()[0],
        image=then.image,
        volume_size_gb=then.volume_size_gb,
        parameters=merged(then.parameters, plan.request.parameters),
        git=then.git,
        begins_with=then.begins_with,
        rerun_of=then.run_id,
    )
