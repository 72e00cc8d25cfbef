"""The folders of the functions' package say what may be in them, and who may use whom."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from pathlib import Path

import pytest

from scripts import package_lambda

ROOT = Path(__file__).resolve().parents[2]
LAMBDA = ROOT / "lambda"
MODULES = {
    ".".join(path.relative_to(LAMBDA).with_suffix("").parts): path
    for path in sorted(LAMBDA.rglob("*.py"))
}
AGENT = sorted((ROOT / "trainer/runtime/agent").glob("*.py"))

PURE = ("jobs", "events", "runs")
ROOMS = (*PURE, "aws", "launch", "reap")
MAY_USE = {
    "jobs": {"jobs"},
    "events": {"jobs", "events"},
    "runs": {"jobs", "events", "runs"},
    "aws": {*PURE, "aws"},
    "launch": {*PURE, "aws", "launch"},
    "reap": {*PURE, "aws", "reap"},
}
"""Rooms by room; what belongs to none of them is told apart below."""


def imports(path: Path, name: str = "") -> set[str]:
    """Return the full names of the modules that are imported at run time, inside functions too.

    Args:
        name: the module's own, for the names that it has relative to itself.
    """
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".")[: -node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            inner = {f"{module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= inner or {module}
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return found


IMPORTS = {name: imports(path, name) for name, path in MODULES.items()}


def room(module: str) -> str:
    """Return the room of one of the package's modules; "" for what lies beside the rooms."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 else ""


def test_every_module_of_the_package_is_in_a_room_or_known_beside_them() -> None:
    names = {name.removesuffix(".__init__") for name in MODULES}
    beside = {name for name in names if not room(name)} - {f"parris.{name}" for name in ROOMS}
    assert beside == {"parris", "parris.contract", "parris.errors", "parris.settings"}
    assert {room(name) for name in names} == {"", *ROOMS}


def test_a_room_uses_only_the_rooms_it_may() -> None:
    for name, imported in IMPORTS.items():
        used = {room(one) for one in imported if one in MODULES} - {""}
        if room(name):
            assert used <= MAY_USE[room(name)], name


def test_the_page_about_the_rooms_says_what_their_imports_say() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    said = {name: set(re.findall(r"`(\w+)`", used)) for name, used in rows}
    assert said == {name: used - {name} for name, used in MAY_USE.items()}


def test_imports_go_one_way() -> None:
    inner = {name: imported & MODULES.keys() for name, imported in IMPORTS.items()}
    assert [
        name for name, used in inner.items() if any(one.endswith(".handler") for one in used)
    ] == []
    assert inner["parris.errors"] == set()
    list(graphlib.TopologicalSorter(inner).static_order())  # raises CycleError


def test_only_the_edges_touch_botocore() -> None:
    touching = {
        name: {one for one in imported if one.split(".")[0].startswith("boto")}
        for name, imported in IMPORTS.items()
    }
    assert touching.pop("parris.aws.clients") == {
        "botocore.config",
        "botocore.loaders",
        "botocore.session",
    }
    # The two use cases make no client: they tell what AWS refused from what we did.
    for name, modules in touching.items():
        assert modules <= {"botocore.exceptions"}, name
        assert not modules or room(name) in ("aws", "launch", "reap"), name


@pytest.mark.parametrize("function", package_lambda.ZIPS)
def test_what_a_function_imports_is_in_its_zip(function: str) -> None:
    there = {
        name.removesuffix(".py").replace("/", ".") for name in package_lambda.contents(function)
    }
    assert f"parris.{function}.handler" in there
    for name in there & MODULES.keys():
        assert IMPORTS[name] & MODULES.keys() <= there, name


@pytest.mark.parametrize("name", MODULES)
def test_what_runs_on_lambda_needs_nothing_installed(name: str) -> None:
    packages = {one.split(".")[0] for one in IMPORTS[name]}
    assert packages <= sys.stdlib_module_names | {"boto3", "botocore", "parris"}


@pytest.mark.parametrize("path", AGENT, ids=lambda path: path.stem)
def test_what_runs_on_a_machine_needs_nothing_installed(path: Path) -> None:
    imported = imports(path, f"agent.{path.stem}")
    packages = {one.split(".")[0] for one in imported}
    assert packages <= sys.stdlib_module_names | {"agent", "parris"}
    shared = {one for one in imported if one.split(".")[0] == "parris"}
    assert shared <= {"parris.contract"}  # which agent.pyz has too


def test_what_the_machine_shares_with_the_functions_needs_the_standard_library_only() -> None:
    assert {one.split(".")[0] for one in IMPORTS["parris.contract"]} <= sys.stdlib_module_names
