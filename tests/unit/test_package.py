"""What is packaged is the code as it stands, without the words about it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.package_lambda import ROOT, ZIPS, contents, without_words, write

MODULES = sorted((ROOT / "lambda/parris").rglob("*.py"))


def without(tree: ast.AST) -> str:
    """Return a tree's dump with its lines, its docstrings empty."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            node.value.value = ""
            node.end_lineno = node.value.end_lineno = node.lineno
            node.end_col_offset = node.value.end_col_offset = node.col_offset + 2
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):  # the last line may be a docstring
            node.end_lineno = node.end_col_offset = 0
    return ast.dump(tree, include_attributes=True)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_only_docstrings_go_and_every_statement_keeps_its_line(path: Path) -> None:
    source = path.read_text()
    packaged = without_words(source)
    assert len(packaged.splitlines()) == len(source.splitlines())
    assert without(ast.parse(packaged)) == without(ast.parse(source))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(packaged)) if isinstance(node, documented)]
    assert not any(ast.get_docstring(node) for node in nodes)


@pytest.mark.parametrize("function", ZIPS)
def test_a_handler_is_imported_from_its_zip_alone(function: str, tmp_path: Path) -> None:
    path = tmp_path / f"{function}.zip"
    write(path, contents(function))
    program = f"from parris.{function}.handler import handle; print(handle.__module__)"
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout == f"parris.{function}.handler\n", said.stderr
