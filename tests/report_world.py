"""Runs as a report has them, for its tests: thirty, or ten thousand, or hostile ones."""

from __future__ import annotations

import base64
import math
import random
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from scripts.deployment.runs import Run
from scripts.metrics.jsonl import add_rows
from scripts.metrics.points import Curves
from scripts.report.curves import Curve, curves_from
from scripts.report.images import embedded
from scripts.report.rows import row_of

NOW = datetime(2026, 11, 28, 18, 0, tzinfo=UTC)

ENDS = (
    *[("succeeded", "trainer", "the trainer exited with 0")] * 8,
    ("failed", "trainer", "the trainer exited with 1: ValueError: loss is not a number"),
    ("timed-out", "agent", "the deadline came while the trainer ran"),
    ("interrupted", "spot", "EC2 took the machine away"),
    ("stopped", "stop", "make stop asked for it"),
)

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "</script><script>window.pwned = 2</script>",
    "<!--<script>",
    "]]><svg onload='window.pwned = 3'>",
    "<img src=x onerror='window.pwned = 4'>",
    '"><img src="https://example.invalid/beacon">',
    "javascript:window.pwned=5",
    "\x1b]0;title\x07\x1b[2J\x1b[31mred",
    "evil\u202egnp.exe \u2066\u200f",
    "{{data}} {{script}} ${window.pwned=6}",
    "__proto__",
    "constructor",
    "toString",
    "\u2028\u2029\x00\ud800",
    "=cmd|' /C calc'!A0",
    "&lt;b&gt; &amp; &#x3c;script&#x3e;",
    "x" * 5_000,
)
"""What a trainer may call a metric, a parameter or a file, and write into a log."""


def run_of(number: int, job: str, rng: random.Random) -> Run:
    """Return a made-up run, `number` of them before the newest one."""
    claimed = NOW - timedelta(hours=9 * number + rng.random())
    state, by, why = ENDS[5 * number % len(ENDS)]
    going = number == 0
    took = rng.uniform(300, 5400)
    ended = claimed + timedelta(seconds=took)
    run_id = f"{claimed:%Y%m%d-%H%M%S}-{rng.getrandbits(32):08x}"
    kind, market, usd = rng.choice(
        [
            ("g5.xlarge", "spot", 0.42),
            ("g5.xlarge", "on-demand", 1.01),
            ("c6i.2xlarge", "spot", 0.13),
        ]
    )
    receipt: Any = {
        "run-id": run_id,
        "job": job,
        "claimed": claimed.isoformat(timespec="seconds"),
        "deadline": (claimed + timedelta(hours=2)).isoformat(timespec="seconds"),
        "instance-type": kind,
        "market": market,
        "trigger": {"kind": rng.choice(["direct", "schedule", "data"])},
        "parameters": {
            "learning-rate": str(rng.choice([0.0003, 0.001, 0.003, 0.01])),
            "batch-size": str(rng.choice([32, 64, 128])),
            "layers": str(rng.choice([2, 3, 4])),
            "epochs": "40",
            "data": "s3://team-data/2026-11/",
        },
        "price": {"hourly-usd": f"{usd:.4f}", "source": "the AWS Price List"},
        "stack-id": f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{job}/{run_id}",
    }
    outcome: Any = {
        "run-id": run_id,
        "job": job,
        "state": state,
        "reason": why,
        "ended-by": by,
        "started": (claimed + timedelta(seconds=70)).isoformat(timespec="seconds"),
        "finished": ended.isoformat(timespec="seconds"),
        "cost-usd": round(took / 3600 * usd, 4),
        "instance-type": kind,
        "warnings": [],
    }
    return Run(
        job=job,
        run_id=run_id,
        receipt=receipt,
        outcome=None if going else outcome,
        stack=None,
        state="running" if going else state,
        reason="" if going else why,
        ended_by="" if going else by,
    )


def sample(count: int = 30, detailed: int = 30) -> list[dict[str, Any]]:
    """Return the rows of so many runs, the first of them with curves, logs and an image."""
    rng = random.Random(7)  # noqa: S311 - made-up runs
    rows = []
    for number in range(count):
        run = run_of(number, "digits" if number % 4 else "segmentation", rng)
        row = row_of(run, NOW)
        if number < detailed:
            row |= _details(run, rng)
            row["metrics"] = {curve["name"]: curve["values"][-1] for curve in row["curves"]}
        rows.append(row)
    return rows


def _details(run: Run, rng: random.Random) -> dict[str, Any]:
    rate = float(run.receipt["parameters"]["learning-rate"])
    epochs = 23 if run.outcome is None else 40 if run.state == "succeeded" else rng.randrange(6, 30)
    began = datetime.fromisoformat(run.receipt["claimed"]).timestamp() + 70
    best = 0.985 - 0.05 * abs(math.log10(rate) + 2.6) - 0.01 * rng.random()
    pace = (2 + 150 * rate) * rng.uniform(0.6, 1.4)  # how fast it learns
    lines = [
        {
            "epoch": epoch,
            "time": began + 60 * epoch,
            "loss": 1.9 * math.exp(-epoch * pace / 24) + 1.3 * (1 - best) + rng.gauss(0, 0.02),
            "accuracy": best * (1 - math.exp(-epoch * pace / 16)) + rng.gauss(0, 0.005),
            "validation-loss": 1.8 * math.exp(-epoch * pace / 28)
            + 2 * (1 - best)
            + rng.gauss(0, 0.04),
            "learning-rate": rate * 0.5 * (1 + math.cos(math.pi * epoch / 40)),
        }
        for epoch in range(1, epochs + 1)
    ]
    machine = [
        {
            "time": began + 60 * minute,
            "cpu-percent": 60 + 25 * rng.random(),
            "memory-bytes": 3e9 + 1e8 * minute,
            "gpu-0-percent": 88 + 8 * rng.random(),
        }
        for minute in range(epochs)
    ]
    log = "".join(
        f"epoch {line['epoch']:2d}: loss {line['loss']:.4f}, accuracy {line['accuracy']:.4f}\n"
        for line in lines
    )
    return {
        "curves": [curve.record() for curve in curves_of(lines)],
        "machineCurves": [curve.record() for curve in curves_of(machine)],
        "log": log,
        "receipt": run.receipt,
        "outcome": run.outcome,
        "warnings": ["12 log lines were not streamed"] if rng.random() < 0.2 else [],
        "next": [f"make logs RUN={run.run_id}", f"make results RUN={run.run_id}"],
        "images": [embedded("confusion.png", picture(rng))],
        "lacking": [],
    }


def with_a_gap() -> list[dict[str, Any]]:
    """Return two runs whose loss was no number for the middle third of them; no step is of both."""
    rows = []
    for row, begins in zip(sample(2), (0, 1), strict=True):
        lines = [
            {"step": step, "loss": math.nan if 100 <= step < 200 else 2 - step / 300}
            for step in range(begins, 300, 2)
        ]
        rows.append(row | {"curves": [curve.record() for curve in curves_of(lines)]})
    return rows


def curves_of(rows: Iterable[Mapping[str, Any]]) -> list[Curve]:
    """Return the curves of the lines of a metrics.jsonl."""
    read = Curves()
    add_rows(rows, read)
    return curves_from(read)


def picture(rng: random.Random, side: int = 96) -> bytes:
    """Return a small PNG: a made-up confusion matrix of ten classes."""
    cells = [[200 if a == b else rng.randrange(20, 70) for a in range(10)] for b in range(10)]
    rows = b"".join(
        b"\0" + bytes(255 - cells[y * 10 // side][x * 10 // side] for x in range(side))
        for y in range(side)
    )

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def hostile() -> list[dict[str, Any]]:
    """Return rows in which everything that a trainer may write is an attack."""
    rows = []
    for number, text in enumerate(HOSTILE):
        row = sample(1)[0] | {"id": f"20261124-{number:06}-00000000"}
        lines = [{"step": step, text: step * 0.5, "loss": 1.0 / (step + 1)} for step in range(5)]
        row |= {
            "why": text,
            "parameters": {text: text, "lr": text},
            "metrics": {text: 0.5, "loss": 0.25},
            "curves": [curve.record() for curve in curves_of(lines)],
            "log": "\n".join(HOSTILE),
            "warnings": [text],
            "lacking": [text],
            "receipt": {text: [text, {text: text}]},
            "outcome": {"reason": text, text: text},
            "images": [{"name": text, "type": "image/png", "base64": _pixel()}],
        }
        rows.append(row)
    return rows


def _pixel() -> str:
    rng = random.Random(1)  # noqa: S311 - a made-up picture
    return base64.b64encode(picture(rng, 10)).decode()


GRID_ID = "20261128-150000-5eed0000"


def grid(count: int = 40, metric: str = "accuracy", goal: str = "max") -> dict[str, Any]:
    """Return the data of a page of a grid: most of its trials succeeded, the best of them first.

    Of each ten one failed, one told no number, and one is under way.
    """
    rng = random.Random(11)  # noqa: S311 - made-up trials
    trials = [_trial(number, metric, rng) for number in range(1, count + 1)]
    scored = [row for row in trials if row["state"] == "succeeded" and row["metrics"].get(metric)]
    scored.sort(key=lambda row: row["metrics"][metric], reverse=goal == "max")
    others = [row for row in trials if row not in scored]
    ended = Counter(row["state"] for row in trials if row["state"] != "running")
    best = scored[0] if metric and scored else None
    head = {
        "id": GRID_ID,
        "job": "digits",
        "metric": metric or None,
        "goal": goal if metric else None,
        "trials": count + 3,
        "ended": dict(ended),
        "underWay": count - ended.total() + 1,
        "waiting": 1,
        "notBegun": 2,
        "usd": sum(row["usd"] for row in trials),
        "reserved": 0.02,
        "limit": 25.0,
        "open": True,
        "seconds": 10_800,
        "parameters": list(trials[0]["parameters"])[:5],
        "best": best
        and {
            "id": best["id"],
            "trial": best["trial"],
            "value": best["metrics"][metric],
            "parameters": {**best["parameters"], "epochs": "3"},
            "again": [
                {"command": f"make rerun RUN={best['id']}", "does": "runs the best one again"},
                {
                    "command": f"make rerun RUN={best['id']} PARAMETERS='epochs=40'",
                    "does": "does so with the job's own epochs=40; all trials had epochs=3",
                },
            ],
        },
    }
    about = f"Grid {GRID_ID} of job digits, begun 2026-11-28T15:00:00Z, of deployment parris."
    return {"about": about, "notes": [], "grid": head, "runs": [*scored, *others]}


def grid_without_a_value() -> dict[str, Any]:
    """Return the data of a page of a grid none of whose trials has told a number so far."""
    data = grid(10)
    data["runs"] = [row for row in data["runs"] if row["trial"] in (7, 8, 9)]
    data["grid"]["best"] = None
    return data


def hostile_grid() -> dict[str, Any]:
    """Return the data of a page of a grid whose names, values and commands are attacks."""
    data = grid(30)
    texts = [one for one in HOSTILE if len(one) <= 300]
    for row, text in zip(data["runs"], texts, strict=False):
        row["parameters"] |= {"optimizer": text, text: text}
        row["metrics"] |= {text: 0.5}
    data["grid"]["parameters"] += texts
    data["grid"]["best"] |= {
        "parameters": dict(zip(texts, texts, strict=True)),
        "again": [{"command": texts[0], "does": texts[1]}],
    }
    return data


def _trial(number: int, metric: str, rng: random.Random) -> dict[str, Any]:
    """Return the row of a trial, whose accuracy follows from its parameters."""
    run = run_of(1, "digits", rng)
    rate = 10 ** rng.uniform(-4, -1)
    given = {
        "learning-rate": f"{rate:.3g}",
        "batch-size": str(rng.choice([32, 64, 128])),
        "optimizer": rng.choice(["adam", "sgd", "lion"]),
        "augment": rng.choice(["true", "false"]),
        "dropout": f"{rng.uniform(0, 0.5):.2f}",
    }
    state = {7: "failed", 9: "running"}.get(number % 10, "succeeded")
    score = 0.97 - 0.06 * (math.log10(rate) + 2.4) ** 2 - 0.2 * (float(given["dropout"]) - 0.2) ** 2
    score -= 0.04 * (given["optimizer"] == "sgd") - 0.02 * (given["augment"] == "true")
    reached: dict[str, float | None] = {metric: None} if number % 10 == 8 else {}
    if number % 10 < 7:
        reached = {metric: score, "loss": 1 - score}
    row = row_of(run, NOW) | {
        "id": f"{GRID_ID[:-8]}{int(GRID_ID[-8:], 16) + number:08x}",
        "job": "digits",
        "state": state,
        "trigger": "grid",
        "grid": GRID_ID,
        "trial": number,
        "parameters": given | {"epochs": "3"},
        "metrics": reached,
        "why": "the trainer exited with 1" if state == "failed" else "",
        "usd": round(rng.uniform(0.01, 0.3), 4),
        "seconds": rng.randrange(200, 900),
    }
    row["metrics"].pop("", None)  # of a grid without one
    if number <= 12 and number % 10 < 7:
        row |= _details(run, rng)
    return row


def data_of(rows: list[dict[str, Any]], *notes: str) -> dict[str, Any]:
    about = f"{len(rows)} runs of deployment parris in eu-west-1, as of 2026-11-28T18:00:00Z."
    return {"about": f"{about} All times are UTC.", "notes": list(notes), "runs": rows}
