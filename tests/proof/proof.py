"""The proof: every need granted, every grant needed, as one value to print or to assert."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.proof import authorization, handlers, known, mutation
from tests.proof.deployed import Deployed
from tests.proof.table import Table, read_tables

EXCUSED = Path(__file__).with_name("excused.json")
"""What may stay though it cannot be tested, each with its reason."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was found of one deployment's policies."""

    granted: int
    """Needs that are granted."""
    refusals: int
    problems: tuple[str, ...]
    """Each need that is not granted, refusal that is, name that AWS does not know, …"""
    killed: int
    survivors: tuple[str, ...]
    excused: int
    grants: tuple[str, ...]
    """Lines of the first table: grants and needs by principal."""
    mutations: tuple[str, ...]
    """Lines of the second: mutations by policy."""

    @property
    def holds(self) -> bool:
        return not self.problems and not self.survivors

    @property
    def summary(self) -> str:
        return (
            f"proof: {self.granted} needs granted, {self.killed} mutations killed, "
            f"{len(self.survivors)} survived"
        )


def prove(
    deployed: Deployed,
    tables: Mapping[str, Table] | None = None,
    excused: Mapping[str, Mapping[str, str]] | None = None,
) -> Proof:
    """Judge the policies by the tables, as they are and with each mutation."""
    tables = read_tables() if tables is None else tables
    excused = json.loads(EXCUSED.read_text()) if excused is None else excused
    problems = [
        f"{name}: {'a policy without a table' if name in deployed.policies else 'no policy'}"
        for name in sorted(tables.keys() ^ deployed.policies.keys())
    ]
    both = {name: tables[name] for name in tables if name in deployed.policies}
    for name, table in both.items():
        statements = mutation.statements_of(deployed, name, {})
        problems += mutation.wrong(statements, table, deployed.places)
    denied = sum(problem.startswith(mutation.NOT_GRANTED) for problem in problems)
    unknown = [
        *known.problems(both, deployed, authorization.read()),
        *handlers.problems(tables.get("stack")),
    ]
    problems += _but(unknown, excused.get("unknown", {}))
    killed: Counter[str] = Counter()
    alive: list[tuple[str, str]] = []
    for mutant in mutation.mutants(deployed):
        policy = f"{mutant.principal}/{mutant.policy}"
        if mutant.principal in both and mutation.is_killed(
            mutant, deployed, both[mutant.principal]
        ):
            killed[policy] += 1
        else:
            alive.append((policy, mutant.name))
    allowed = excused.get("survivors", {})
    left = _but([name for _, name in alive], allowed)
    problems += [found for found in left if found.startswith("stale excuse")]
    survivors = tuple(name for _, name in alive if name not in allowed)
    return Proof(
        granted=sum(len(table.needs) for table in both.values()) - denied,
        refusals=sum(len(table.refusals) for table in both.values()),
        problems=tuple(problems),
        killed=killed.total(),
        survivors=survivors,
        excused=len(alive) - len(survivors),
        grants=tuple(_grants(deployed, both)),
        mutations=tuple(_mutations(deployed, killed, alive, allowed)),
    )


def _but(found: Iterable[str], excused: Mapping[str, str]) -> list[str]:
    """Return what is found and not excused, and each excuse for what is not there."""
    found = list(found)
    return [
        *(each for each in found if each not in excused),
        *(f"stale excuse: {each}" for each in excused if each not in found),
    ]


def _grants(deployed: Deployed, tables: Mapping[str, Table]) -> Iterable[str]:
    yield f"{'PRINCIPAL':12}{'STATEMENTS':>11}{'ACTIONS':>9}{'NEEDS':>7}{'REFUSALS':>10}"
    for name, table in tables.items():
        statements = [
            statement
            for document in deployed.policies[name].values()
            for statement in document["Statement"]
        ]
        actions = {
            action
            for statement in statements
            for action in (
                [statement["Action"]]
                if isinstance(statement["Action"], str)
                else statement["Action"]
            )
        }
        yield (
            f"{name:12}{len(statements):11}{len(actions):9}{len(table.needs):7}"
            f"{len(table.refusals):10}"
        )


def _mutations(
    deployed: Deployed,
    killed: Mapping[str, int],
    alive: Iterable[tuple[str, str]],
    excused: Mapping[str, str],
) -> Iterable[str]:
    names = [
        f"{principal}/{policy}"
        for principal, documents in deployed.policies.items()
        for policy in documents
    ]
    width = max(map(len, names))
    yield f"{'POLICY':{width}}{'KILLED':>8}{'SURVIVED':>10}{'EXCUSED':>9}"
    for name in names:
        left = [mutant for policy, mutant in alive if policy == name]
        let_be = sum(mutant in excused for mutant in left)
        yield f"{name:{width}}{killed.get(name, 0):8}{len(left) - let_be:10}{let_be:9}"
