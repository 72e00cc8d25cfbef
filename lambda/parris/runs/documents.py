"""What Parris writes and answers of a run, as types (docs/contracts.md).

For the type checker alone: no zip has this module. A key may be missing wherever an older version
wrote the document, or `stored_receipt` and `outcome` left out what was not of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

PriceRecord = TypedDict(
    "PriceRecord",
    {
        "hourly-usd": str,
        "instance-hourly-usd": str,
        "volume-hourly-usd": str,
        "public-ipv4-hourly-usd": str,
        "on-demand-hourly-usd": str,
        "source": str,
        "read": str,
    },
    total=False,
)
"""What an hour of a machine costs, in US dollars."""


class GitRecord(TypedDict):
    """The commit that a job's files are of; `dirty` if they were changed since."""

    commit: str
    dirty: bool


RungRecord = TypedDict("RungRecord", {"instance-type": str, "market": str, "subnet-id": str})
NextRecord = TypedDict(
    "NextRecord",
    {"number": int, "not-before": str, "instance-type": str, "market": str, "subnet-id": str},
)
"""The machine that a run gets next, as the ledger holds it."""

LadderRecord = TypedDict(
    "LadderRecord",
    {"instance-types": Sequence[str], "markets": Sequence[str], "subnets": Sequence[str]},
)
RetryRecord = TypedDict(
    "RetryRecord",
    {
        "on": Sequence[str],
        "exit-statuses": Sequence[int],
        "attempts": int,
        "max-wait-minutes": int,
    },
)
EndingRecord = TypedDict("EndingRecord", {"state": str, "reason": str, "ended-by": str})

AttemptRecord = TypedDict(
    "AttemptRecord",
    {
        "number": int,
        "instance-type": str,
        "market": str,
        "subnet-id": str,
        "zone": str,
        "began": str | None,
        "ended": str | None,
        "state": str | None,
        "reason": str | None,
        "ended-by": str | None,
        "hourly-usd": str | None,
        "cost-usd": float | None,
        "instance-id": str | None,
        "machine": str | None,
        "refusal": str | None,
    },
    total=False,
)
"""One machine of a run that has had several."""


class SetupRecord(TypedDict, total=False):
    script: str
    inputs: Sequence[str]
    earlier: str


"""What runs before the trainer, and where what an earlier machine made of it lies."""

Receipt = TypedDict(
    "Receipt",
    {
        "schema": int,
        "run-id": str,
        "job": str,
        "deployment": str,
        "stack-name": str,
        "stack-id": str,
        "state": str,
        "reason": str,
        "claimed": str,
        "deadline": str,
        "run-deadline": str,
        "termination-method": str,
        "time-limit-minutes": int | None,
        "cost-limit-usd": str | None,
        "price": PriceRecord | None,
        "reserved-usd": str,
        "trigger": Mapping[str, str],
        "attempt": int,
        "attempt-began": str,
        "earlier-attempt": str | None,
        "instance-type": str,
        "market": str,
        "subnet-id": str,
        "ladder": LadderRecord,
        "retry": RetryRecord,
        "volume-size-gb": int,
        "nodes": int,
        "image": str | None,
        "keep-stack": str,
        "script": str,
        "parameters": Mapping[str, str],
        "setup": SetupRecord,
        "container": str,
        "secrets": Mapping[str, str],
        "data": Sequence[Mapping[str, str]],
        "sync-interval-seconds": int,
        "stop-grace-seconds": int,
        "idle-gpu-minutes": int | None,
        "log-group": str,
        "log-stream": str,
        "parris-version": str,
        "resumes": str,
        "restore": str,
        "rerun-of": str,
        "git": GitRecord,
        "history": str,
        "stop": Mapping[str, str],
    },
    total=False,
)
"""A run's ``run.json``, its machine's orders."""

Outcome = TypedDict(
    "Outcome",
    {
        "schema": int,
        "run-id": str,
        "job": str,
        "state": str,
        "reason": str,
        "ended-by": str,
        "exit-status": int | None,
        "instance-id": str | None,
        "instance-type": str | None,
        "image": str | None,
        "booted": str | None,
        "started": str | None,
        "finished": str | None,
        "trainer-seconds": float | None,
        "peak-memory-bytes": int | None,
        "cost-usd": float | None,
        "bytes-stored": int | None,
        "warnings": Sequence[str],
        "parris-version": str | None,
        "metrics": Mapping[str, float | str],
        "history": Sequence[Sequence[float | None]],
        "usage": Mapping[str, Mapping[str, float]],
        "last-log-line": str | None,
        "console": str | None,
        "machine": str | None,
        "machines": Sequence[str],
        "log-stream": str | None,
        "zone": str,
        "attempts": Sequence[AttemptRecord],
    },
    total=False,
)
"""How a run ended, its ``outcome.json``."""

Costs = TypedDict(
    "Costs",
    {"hourly-usd": str | None, "most-usd": str | None, "most-usd-of": str},
    total=False,
)
"""What an hour of a run costs, and all of it at most, in US dollars."""

Answer = TypedDict(
    "Answer",
    {
        "run-id": str,
        "grid": str,
        "job": str,
        "stack-name": str | None,
        "stack-id": str | None,
        "deadline": str | None,
        "instance-type": str | None,
        "market": str | None,
        "duplicate": bool,
        "resumes": str,
        "rerun-of": str,
        "hourly-usd": str | None,
        "most-usd": str | None,
        "most-usd-of": str,
        "results": str,
        "ignored": Sequence[str],
        "notes": Sequence[str],
        "held-back": str,
        "reason": str,
        "trials": int,
        "max-parallel": int,
        "cost-limit-usd": str | None,
    },
    total=False,
)
"""What the launch function answers to an event that launches a run, or starts a grid."""
