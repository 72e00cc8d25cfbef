"""The tables' rows: what a principal must be let do, and what it must be refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from tests.proof import needs

Context = Mapping[str, Any]
"""Condition keys of a request, as AWS names them, with a value or a list of them."""

Rows = list[tuple[Any, ...]]
"""How a table is written: `_calls` says what each place of a row holds."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as IAM sees it. Texts hold places: {deployment} {region} {account}, and the ARNs
    {config} and {results} of the two buckets."""

    principal: str
    action: str
    resource: str
    context: Context = field(default_factory=dict)
    source: str
    """What makes the call: a function, a resource type's schema, a page of AWS's."""
    unseen: str = ""
    """Why e2e does not make it; "" for a call that it makes."""

    def at(self, places: Mapping[str, str]) -> Call:
        """Return the call with its places filled in."""
        return replace(
            self,
            resource=fill(self.resource, places),
            context={key: _fill_any(value, places) for key, value in self.context.items()},
        )

    def __str__(self) -> str:
        said = ", ".join(f"{key}={value}" for key, value in self.context.items())
        return f"{self.principal}: {self.action} on {self.resource}{f' ({said})' if said else ''}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """All that is said of one principal."""

    principal: str
    needs: tuple[Call, ...]
    refusals: tuple[Call, ...]


def read_tables() -> dict[str, Table]:
    """Return every table below needs/, by principal."""
    names = sorted(module.name for module in iter_modules(needs.__path__))
    return {table.principal: table for table in map(_read, names)}


def _read(name: str) -> Table:
    module = import_module(f"tests.proof.needs.{name}")
    return Table(
        principal=name,
        needs=tuple(_calls(name, module.NEEDS)),
        refusals=tuple(_calls(name, module.REFUSALS)),
    )


def _calls(principal: str, rows: Rows) -> Iterator[Call]:
    """Yield a table's rows: actions, resources (each a text or a list), source, context, unseen."""
    for actions, resources, source, *more in rows:
        context: Context = more[0] if more else {}
        unseen: str = more[1] if more[1:] else ""
        for action in _listed(actions):
            for resource in _listed(resources):
                yield Call(
                    principal=principal,
                    action=action,
                    resource=resource,
                    context=context,
                    source=source,
                    unseen=unseen,
                )


def _listed(texts: Any) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def fill(text: str, places: Mapping[str, str]) -> str:
    """Return `text` with its places filled in; IAM's own ${variables} stay."""
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _fill_any(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return fill(value, places)
    return [fill(item, places) for item in value]
