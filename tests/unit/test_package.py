"""What is packaged is the code as it stands, without the words about it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.package_lambda import (
    OF_TYPES,
    ROOT,
    ZIPS,
    contents,
    indented_by_one,
    without_comment_lines,
    without_types,
    without_typing,
    without_words,
    write,
)

MODULES = sorted((ROOT / "lambda/parris").rglob("*.py"))


class WithoutTypes(ast.NodeTransformer):
    """Variables and constants without their annotations; a dataclass is made of them."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return node
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [
            one if isinstance(one, ast.AnnAssign) else self.visit(one) for one in node.body
        ]
        return node


def is_word(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def without(tree: ast.Module) -> str:
    """Return a tree's dump with the lines that its parts begin in, and without words and types."""
    tree.body = [
        one
        for one in tree.body
        if not (isinstance(one, ast.If) and ast.unparse(one.test) == "TYPE_CHECKING")
        and not (isinstance(one, ast.ImportFrom) and one.module in OF_TYPES)
    ]
    tree = WithoutTypes().visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            node.body = [one for one in node.body if not is_word(one)]
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        for attribute in {"col_offset", "end_col_offset", "end_lineno"} & {*node._attributes}:
            setattr(node, attribute, 0)
    return ast.dump(tree, include_attributes=True)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_only_words_and_types_go_and_every_statement_keeps_its_line(path: Path) -> None:
    source = path.read_text()
    packaged = indented_by_one(without_words(without_typing(without_types(source))))
    assert len(packaged.splitlines()) == len(source.splitlines())
    assert without(ast.parse(packaged)) == without(ast.parse(source))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = list(ast.walk(ast.parse(packaged)))
    assert not any(ast.get_docstring(node) for node in nodes if isinstance(node, documented))
    assert not any(node.annotation for node in nodes if isinstance(node, ast.arg))
    assert not any(node.returns for node in nodes if isinstance(node, ast.FunctionDef))


def test_a_dataclass_keeps_a_word_for_dataclasses_to_find() -> None:
    source = '@dataclass\nclass One:\n    """What it is."""\n\n    x: int\n'
    assert without_words(source) == '@dataclass\nclass One:\n    " "\n\n    x: int\n'


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


def test_what_only_a_type_checker_imports_is_in_no_zip() -> None:
    for function in ZIPS:
        assert "parris/runs/record.py" in contents(function)
        assert "parris/runs/documents.py" not in contents(function)


def test_a_script_loses_its_comments_and_nothing_else(tmp_path: Path) -> None:
    said = "#!/bin/bash\n# why\necho a # b\n  # why\ncat <<<'# c'\n"
    assert without_comment_lines(said) == "#!/bin/bash\necho a # b\ncat <<<'# c'\n"
    template = (ROOT / "cloudformation/training-stack.yaml").read_text()
    assert without_comment_lines(template).count("# {{tags}}") == template.count("# {{tags}}") == 4
    # What bash understands of the machine's script is the same with and without them.
    script = ROOT / "trainer/runtime/user-data.sh"
    (tmp_path / "short.sh").write_text(without_comment_lines(script.read_text()))
    understood = []
    for path in (script, tmp_path / "short.sh"):
        wrapped = f"all() {{\n{path.read_text()}\n}}\ndeclare -f all"
        shown = subprocess.run(
            ["bash", "-c", wrapped], capture_output=True, text=True, check=True
        ).stdout
        understood.append(shown)
    assert understood[0] == understood[1]
    assert "arm_power_off" in understood[0]


def test_what_stands_in_a_string_keeps_its_spaces_also_in_one_with_values_in_it() -> None:
    within = "    four\n        eight {value}\n    "
    said = f'def f(value):\n    x = """{within}"""\n    return f"""{within}""" + x\n'
    packaged = indented_by_one(said)
    assert packaged.startswith('def f(value):\n x = """')
    for source in (said, packaged):
        made: dict[str, Any] = {}
        exec(compile(source, "x", "exec"), made)  # noqa: S102 - it is the text above
        assert made["f"](1) == within.format(value=1) + within
