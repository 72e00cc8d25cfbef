"""Each applied policy with one thing taken away or let go: some row of the tables must mind."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.proof.deployed import Deployed, Document
from tests.proof.evaluate import allows, parse
from tests.proof.table import Call, Table, fill

EVERYTHING: Document = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
"""What stands beside a bucket's policy, which only refuses."""

NOT_GRANTED = "not granted"
"""How a need begins that no policy grants."""

NEIGHBOUR = r"\g<0>-2"
"""The name of another deployment, from this one's: it begins alike."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One policy document, changed in one place."""

    principal: str
    policy: str
    sid: str
    change: str
    document: Document

    @property
    def name(self) -> str:
        return f"{self.principal}/{self.policy}/{self.sid}: {self.change}"


def statements_of(deployed: Deployed, principal: str, changed: Mapping[str, Document]) -> list[Any]:
    """Return all statements that speak on a principal's calls, some documents replaced."""
    documents = {**deployed.policies.get(principal, {}), **changed}
    beside = [EVERYTHING] if principal == "bucket" else []
    return [each for document in (*documents.values(), *beside) for each in parse(document)]


def wrong(statements: list[Any], table: Table, places: Mapping[str, str]) -> Iterator[str]:
    """Yield what the statements do otherwise than the table says."""
    for call in table.needs:
        if not allows(statements, call.at(places)):
            yield f"{NOT_GRANTED}: {call.at(places)}, needed by {call.source}"
    for call in table.refusals:
        if allows(statements, call.at(places)):
            yield f"granted: {call.at(places)}; it must not be: {call.source}"
    for call in neighbours(table, places):
        if allows(statements, call):
            yield f"granted: {call}; it is another deployment's"


def neighbours(table: Table, places: Mapping[str, str]) -> Iterator[Call]:
    """Yield each need as one on what a deployment has whose name begins as this one's.

    That is how policies reach too far: ``schedule/parris*/*`` is the schedules of ``parris-2`` too.
    """
    if table.principal == "bucket":  # its policy speaks of that bucket alone
        return
    theirs = {
        name: _named(places["deployment"]).sub(NEIGHBOUR, value) for name, value in places.items()
    }
    for call in table.needs:
        mine = call.at(places)
        resource = fill(call.resource, theirs)
        if resource != mine.resource:
            yield replace(mine, resource=resource)


def mutants(deployed: Deployed) -> Iterator[Mutant]:
    """Yield every mutant of every policy."""
    for principal, documents in deployed.policies.items():
        for policy, document in documents.items():
            for index, statement in enumerate(_listed(document["Statement"])):
                # A bucket's policy speaks of that bucket alone, whatever it says.
                widen = principal != "bucket"
                name = deployed.places["deployment"]
                for change, altered in _changes(statement, name if widen else None):
                    mutated = copy.deepcopy(document)
                    kept = _listed(mutated["Statement"])
                    kept[index : index + 1] = [altered] if altered else []
                    mutated["Statement"] = kept
                    yield Mutant(
                        principal=principal,
                        policy=policy,
                        sid=statement.get("Sid", str(index)),
                        change=change,
                        document=mutated,
                    )


def is_killed(mutant: Mutant, deployed: Deployed, table: Table) -> bool:
    """Return whether some row of the principal's table minds."""
    changed = statements_of(deployed, mutant.principal, {mutant.policy: mutant.document})
    return next(wrong(changed, table, deployed.places), None) is not None


def _changes(statement: Document, deployment: str | None) -> Iterator[tuple[str, Document | None]]:
    """Yield what to change in a statement, in words, and the statement changed; None: without.

    Args:
        deployment: whose names to widen; None to widen nothing.
    """
    yield "without the statement", None
    for element in ("Action", "NotAction", "Resource"):
        values = _listed(statement.get(element, []))
        for value in values if len(values) > 1 else []:
            left = [each for each in values if each != value]
            yield f"without {element} {value}", {**statement, element: left}
    for value in _listed(statement.get("Resource", [])) if deployment else []:
        if value != "*":
            yield f"{value} widened to *", {**statement, "Resource": "*"}
        wider = _named(deployment).sub(r"\g<0>*", value) if deployment else value
        if wider != value and statement.get("Effect") != "Deny":  # refusing more does no harm
            yield f"{value} widened to {wider}", {**statement, "Resource": wider}
    for operator, block in statement.get("Condition", {}).items():
        for key, values in block.items():
            yield f"without {operator} {key}", _with_condition(statement, operator, key, None)
            several = _listed(values)
            for value in several if len(several) > 1 else []:
                left = [each for each in several if each != value]
                change = _with_condition(statement, operator, key, left)
                yield f"without {operator} {key} {value}", change


def _named(deployment: str) -> re.Pattern[str]:
    """Return what finds the name of a deployment in the names that begin with it."""
    return re.compile(rf"(?<![a-z0-9-]){re.escape(deployment)}(?![a-z0-9])")


def _with_condition(
    statement: Document, operator: str, key: str, values: list[str] | None
) -> Document:
    block = {name: held for name, held in statement["Condition"][operator].items() if name != key}
    if values is not None:
        block[key] = values
    conditions = {**statement["Condition"], operator: block}
    return {**statement, "Condition": {name: held for name, held in conditions.items() if held}}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
