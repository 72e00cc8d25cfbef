"""What e2e made every principal call, compared with what the tables say it calls."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from scripts.local.authorizations import FILE
from tests.proof.deployed import ROOT
from tests.proof.table import Table, read_tables

FOLDER = ROOT / "build" / "authorizations"
"""Where each e2e session leaves its cloud's record; .ci/test empties it before."""

DENIALS = Path(__file__).with_name("denials.json")
"""Denials that are meant, by a pattern of ``principal action resource``, and why each is."""

FREE = {"sts:GetCallerIdentity"}
"""What needs no permission (STS API reference, "GetCallerIdentity")."""

Line = Mapping[str, str]


def read(home: Path) -> list[Line]:
    """Return the record of the cloud in `home`."""
    path = home / FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def keep(lines: Iterable[Line], name: str) -> None:
    """Leave a session's record for `main`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def principal_of(line: Line, deployment: str, region: str) -> str:
    """Return whose call it was by the tables' names; "" for one who is none of them."""
    kind, _, name = line["principal"].partition("/")
    if kind == "user" and name.startswith("operator"):
        return "operator"
    if kind != "role" or not name.startswith(f"{deployment}-"):
        return ""
    return name.removeprefix(f"{deployment}-").removesuffix(f"-{region}")


def strange(
    lines: Iterable[Line],
    tables: Mapping[str, Table] | None = None,
    deployment: str = "parris",
    region: str = "us-east-1",
) -> Iterator[str]:
    """Yield each call that was made and no table knows, and each that was denied."""
    tables = read_tables() if tables is None else tables
    denials = json.loads(DENIALS.read_text())
    for line in lines:
        principal = principal_of(line, deployment, region)
        if principal not in tables or line["action"] in FREE:
            continue
        excused = line["decision"] == "Deny" and _excuse(line, principal, denials) is not None
        if excused:
            continue
        known = {call.action for call in tables[principal].needs}
        if line["action"] not in known:
            yield f"{principal} called {line['action']} on {line['resource']}, no table says so"
        if line["decision"] == "Deny":
            yield f"{principal} was denied {line['action']} on {line['resource']}"


def unmade(lines: Iterable[Line], tables: Mapping[str, Table] | None = None) -> Iterator[str]:
    """Yield each need that e2e never showed, and whose row does not say why."""
    made = {(principal_of(line, "parris", "us-east-1"), line["action"]) for line in lines}
    for table in (read_tables() if tables is None else tables).values():
        for call in table.needs:
            if not call.unseen and (table.principal, call.action) not in made:
                yield f"nobody made it, and its row does not say why: {call}"


def stale(lines: Iterable[Line]) -> Iterator[str]:
    """Yield each denial that is meant and that nobody met."""
    denials = json.loads(DENIALS.read_text())
    met = {
        _excuse(line, principal_of(line, "parris", "us-east-1"), denials)
        for line in lines
        if line["decision"] == "Deny"
    }
    for pattern in denials:
        if pattern not in met:
            yield f"nobody was denied {pattern}; take it out of {DENIALS.name}"


def _excuse(line: Line, principal: str, denials: Iterable[str]) -> str | None:
    said = f"{principal} {line['action']} {line['resource']}"
    return next((pattern for pattern in denials if fnmatchcase(said, pattern)), None)


def main() -> int:
    """Judge what a whole e2e run has left: 0 if tables and calls agree."""
    files = sorted(FOLDER.glob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    found = [*strange(lines), *unmade(lines), *stale(lines)]
    for problem in found:
        print(f"problem: {problem}")
    print(f"recorded: {len(lines)} calls of {len(files)} clouds, {len(found)} problems")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
