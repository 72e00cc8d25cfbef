"""How a run ended, in three words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended, or stands, for whoever cannot read its ``outcome.json``."""

    state: str
    reason: str
    ended_by: str
