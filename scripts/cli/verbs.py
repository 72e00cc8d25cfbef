"""Every verb of ./parris with its options, in one table: help, make's variables, completion and
docs/commands.md are made from it. Nothing is imported here that takes time."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.cli import (
    verbs_of_deployments,
    verbs_of_grids,
    verbs_of_jobs,
    verbs_of_past_runs,
    verbs_of_runs,
)
from scripts.cli.verb import Verb

VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        *verbs_of_runs.VERBS,
        *verbs_of_grids.VERBS,
        *verbs_of_jobs.VERBS,
        *verbs_of_past_runs.VERBS,
        *verbs_of_deployments.VERBS,
    )
}
ALIASES = {verb.alias: verb.name for verb in VERBS.values() if verb.alias}

WITHOUT_TARGET = ("completion", "version")
"""Verbs that make has no target for."""
