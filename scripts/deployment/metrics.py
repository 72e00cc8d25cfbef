"""The metrics of a run, as commands show them."""

from __future__ import annotations

from parris.runs.metrics import metrics_line as metrics_line
