"""Whatever starts an embedded cloud owns it, or runs within what does: none is left behind."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOOKED_AT = (
    *("scripts/**/*.py", "tests/*.py", "tests/bench/*.py"),
    *("tests/e2e/*.py", "tests/boot/*.py", "tests/proof/*.py"),
)
LIVES_ON = {
    "scripts/commands/local_up.py": "make local-up is a person's, who ends it with make local-down",
}
"""What starts a cloud that is to stay, with the reason."""

WITHIN = {
    "scripts/drill/cloud.py": "scripts/commands/drill.py",
    **{
        f"tests/bench/{name}.py": "tests/bench/__main__.py"
        for name in ("clean", "clone", "ledger", "upload")
    },
    **{
        f"tests/e2e/{name}.py": "tests/e2e/conftest.py"
        for name in (
            *("test_commands", "test_embedded_cloud", "test_interrupted_deploy", "test_upgrade"),
            *("test_local_targets", "test_scale"),
        )
    },
}
"""By what starts a cloud, what it runs within and is owned by."""

OWNERS = {
    "scripts/commands/demo.py",
    "tests/boot/stage.py",
    "tests/e2e/conftest.py",
    "tests/e2e/test_owners.py",
    "tests/proof/deployed.py",
}
"""What starts a cloud and owns it."""


def words(node: ast.AST) -> set[str]:
    """Return the strings in a node, or the words of a program that it holds as text."""
    return {
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def trees(path: Path) -> list[ast.AST]:
    """Return what a file holds as Python: itself, and programs that it keeps as text."""
    whole = ast.parse(path.read_text())
    kept = [text for text in words(whole) if "owners.own()" in text or "cloud.up(" in text]
    found: list[ast.AST] = [whole]
    for text in kept:
        try:
            found.append(ast.parse(text))
        except SyntaxError:
            continue  # words about it
    return found


def calls(path: Path) -> list[ast.Call]:
    nodes = (node for tree in trees(path) for node in ast.walk(tree))
    return [node for node in nodes if isinstance(node, ast.Call)]


def starts_a_cloud(call: ast.Call) -> bool:
    callee = ast.unparse(call.func)
    if callee in ("cloud.up", "embedded.up"):
        return True
    if callee.split(".")[-1] in ("make", "run_make"):
        return "local-up" in words(call)
    handed = [ast.unparse(each) for each in call.args]
    on_cloud = (
        callee == "cloud.main" or "cloud.main" in handed or "scripts.local.cloud" in words(call)
    )
    return on_cloud and "up" in words(call)


def owns(path: Path) -> bool:
    return any(ast.unparse(call.func) == "owners.own" for call in calls(path))


STARTING = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in LOOKED_AT
    for path in ROOT.glob(pattern)
    if any(starts_a_cloud(call) for call in calls(path))
)


def test_all_that_starts_an_embedded_cloud_is_known() -> None:
    assert sorted({*LIVES_ON, *WITHIN, *OWNERS}) == STARTING


@pytest.mark.parametrize("owner", sorted({*OWNERS, *WITHIN.values()}))
def test_what_starts_an_embedded_cloud_owns_it(owner: str) -> None:
    assert owns(ROOT / owner)


@pytest.mark.parametrize("name", sorted(WITHIN))
def test_what_owns_nothing_is_started_by_what_does(name: str) -> None:
    inner, outer = ROOT / name, ROOT / WITHIN[name]
    assert inner.stem in outer.read_text() or outer.name == "conftest.py"
    assert not owns(inner)
