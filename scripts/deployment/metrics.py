"""The last values of what a trainer reports, in one line."""

from __future__ import annotations

from collections.abc import Mapping

from parris.errors import cut


def metrics_line(metrics: Mapping[str, float | str], most: int = 60) -> str:
    """Return "loss 0.12 acc 0.97", cut to `most` characters; "" where there is nothing."""
    said = (f"{name} {_number(value)}" for name, value in metrics.items())
    return cut(" ".join(said), most)


def _number(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
