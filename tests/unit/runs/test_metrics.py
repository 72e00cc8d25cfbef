"""Metrics that a machine tells, read strictly and shown in a line."""

from __future__ import annotations

from typing import Any

import pytest

from parris.contract import Metric
from parris.runs.metrics import metrics_line, read_usage

WORDS: dict[str, Metric] = {"loss": 0.12, "acc": 0.97, "epoch": 14}


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        ({}, ""),
        (WORDS, "loss 0.12 acc 0.97 epoch 14"),
        ({"epochs": 20, **WORDS}, "loss 0.12 acc 0.97 epoch 14/20"),
        ({"step": 1200, "steps": 5e3, "lr": 0.0001}, "lr 0.0001 step 1200/5000"),
        ({"epochs": 20}, "epochs 20"),
        ({"a": 1 / 3, "b": 12345.678, "c": 1e-9, "d": 3e12}, "a 0.3333 b 12346 c 1e-09 d 3e+12"),
        ({"a": -0.0, "b": "nan", "c": 2.0, "d": 10**9}, "a 0 b nan c 2 d 1e+09"),
        ({"epoch": "14", "epochs": "x"}, "epoch 14/x"),
    ],
)
def test_metrics_are_shown_in_one_line(metrics: dict[str, Metric], line: str) -> None:
    assert metrics_line(metrics) == line


def test_a_line_has_the_room_it_is_given() -> None:
    many: dict[str, Metric] = {f"metric-{number}": number for number in range(50)}
    for most in (1, 10, 20, 60, 200):
        assert len(metrics_line(many | WORDS, most)) <= most
    assert metrics_line(many | WORDS, 30) == "metric-0 0 … epoch 14"
    assert metrics_line({"m" * 64: 1.0}, 20) == "…"


@pytest.mark.parametrize(
    "given",
    [
        *(None, 7, [], {"cpu-percent": 5}, {"cpu-percent": {"mean": 1}}),
        {"cpu-percent": {"mean": float("nan"), "peak": 1}},
        {"cpu-percent": {"mean": True, "peak": 1}},
        {"<script>": {"mean": 1, "peak": 1}},
        {"cpu-percent": {"mean": "1", "peak": 10**400}},
    ],
)
def test_what_is_no_usage_is_left_out(given: Any) -> None:
    assert read_usage(given) == {}


def test_mean_and_peak_are_kept_and_nothing_else() -> None:
    sound = {"cpu-percent": {"mean": 50, "peak": 99.5}}
    assert read_usage({"cpu-percent": {**sound["cpu-percent"], "more": "x" * 10**6}}) == sound
    many = {f"gpu{number}-percent": {"mean": 1, "peak": 1} for number in range(1000)}
    assert len(read_usage(many)) == 64
