#!/usr/bin/env python3
"""Build the two functions' zips and the agent; the same sources give the same bytes.

`terraform apply` calls this with plain python3, so it needs the standard library only.
"""

from __future__ import annotations

import ast
import io
import os
import sys
import tokenize
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ZIPS = {name: ROOT / "build" / f"{name}.zip" for name in ("launch", "reap")}
AGENT = ROOT / "build" / "agent.pyz"
AGENT_MAIN = "from agent.main import start\n\nstart()\n"
"""What Python runs of it (Python library reference, "zipapp")."""
AGENT_SHARES = ("__init__.py", "contract.py")
"""Of the functions' package, what the agent imports too."""
MACHINE = ("cloudformation/training-stack.yaml", "trainer/runtime/user-data.sh")
OF_TYPES = ("__future__", "typing", "collections.abc")
"""Modules that annotations need, for the most part."""
MAX_BYTES = 92 * 1024
"""A small zip starts fast and can be read in the console.

Grids, which an ordinary launch does not import, are the last 8 KB of it.
Its modules in a zip within would be 48 KB, and 40 ms slower to import than the 65 KB of files.
"""


def contents(function: str) -> dict[str, bytes]:
    """Return a zip's files by name: the package at the top, the machine in its own folders."""
    package = ROOT / "lambda" / "parris"
    files = {
        path.relative_to(package.parent).as_posix(): path for path in modules(package, function)
    }
    if function == "launch":
        files |= {name: ROOT / name for name in MACHINE}
    return {name: _shortened(path).encode() for name, path in files.items()}


def _shortened(path: Path) -> str:
    text = path.read_text()
    if path.suffix == ".py":
        return indented_by_one(without_words(without_typing(without_types(text))))
    return without_comment_lines(text)


def modules(package: Path, function: str) -> list[Path]:
    """Return the modules that a function's handler imports, and those that they do, in order."""
    found: set[Path] = set()
    left = [package / function / "handler.py"]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        left += [up / "__init__.py" for up in path.parents if up.is_relative_to(package)]
        tree = ast.parse(path.read_text())
        for_types = {node for one in ast.walk(tree) if _is_for_types(one) for node in ast.walk(one)}
        for node in set(ast.walk(tree)) - for_types:
            if isinstance(node, ast.ImportFrom) and node.level:
                base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                named = [base.with_suffix(".py"), *(base / f"{one.name}.py" for one in node.names)]
                left += [other for other in named if other.is_file()]
    return sorted(found)


def _is_for_types(node: ast.AST) -> bool:
    """Return whether nothing but a type checker reads a statement."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def without_words(source: str) -> str:
    """Return Python `source` without comments and docstrings, every statement on its line.

    They are a third of a zip, and nobody reads them there; a traceback's line is the repository's.
    """
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
    layout = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    passed = (tokenize.COMMENT, tokenize.NL)
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in passed
    ]
    for index, token in enumerate(tokens):
        begins = index == 0 or tokens[index - 1].type in layout
        if token.type == tokenize.STRING and begins and tokens[index + 1].type == tokenize.NEWLINE:
            (first, column), (last, end) = token.start, token.end
            # A block needs a statement; of one that has another, no word need stay.
            follows = next(one.type for one in tokens[index + 1 :] if one.type != tokenize.NEWLINE)
            within = tokens[index - 1].type == tokenize.INDENT
            # A dataclass without words has its signature put in their place, 0.2 ms each.
            of_class = lines[first - 2].lstrip().startswith("class ")
            stays = within and (of_class or follows == tokenize.DEDENT)
            left = lines[first - 1][:column] + '" "' if stays else ""
            lines[first - 1 : last] = [left + lines[last - 1][end:]] + ["\n"] * (last - first)
    return "".join(lines)


def without_types(source: str) -> str:
    """Return Python `source` without its annotations, every line where it was.

    Nothing reads them in a function that runs; those of a dataclass stay, which is made of them.
    """
    # Lines as ast counts them: str.splitlines knows more ends of a line.
    lines = [f"{line}\n".encode() for line in source.removesuffix("\n").split("\n")]
    cuts: list[tuple[int, int, ast.expr | ast.stmt]] = []
    tree = ast.parse(source)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    kept = {statement for one in classes for statement in one.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation:
            name_ends = node.col_offset + len(node.arg.encode())
            cuts.append((node.lineno, name_ends, node.annotation))
        elif isinstance(node, ast.FunctionDef) and node.returns:
            before = lines[node.returns.lineno - 1][: node.returns.col_offset]
            arrow = len(before[: before.rindex(b"->")].rstrip())
            cuts.append((node.returns.lineno, arrow, node.returns))
        elif isinstance(node, ast.AnnAssign) and node.value and node not in kept:
            name_ends = node.target.end_col_offset or 0
            cuts.append((node.lineno, name_ends, node.annotation))
        elif isinstance(node, ast.If) and _is_for_types(node):
            cuts.append((node.lineno, node.col_offset, node))
    for first, start, node in sorted(cuts, key=lambda cut: cut[:2], reverse=True):
        last = node.end_lineno or first
        beginning, rest = lines[first - 1][:start], lines[last - 1][node.end_col_offset :]
        empty = [b"\n"] * (last - first)
        lines[first - 1 : last] = (
            [beginning + empty[0], *empty[1:], rest] if empty else [beginning + rest]
        )
    return b"".join(lines).decode()


def without_typing(source: str) -> str:
    """Return Python `source` without the imports that nothing but its annotations needed."""
    tree, lines = ast.parse(source), source.split("\n")
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    annotated = any(isinstance(node, ast.AnnAssign) for node in ast.walk(tree))
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom) or node.module not in OF_TYPES:
            continue
        names = [one.name for one in node.names if one.name in used]
        if node.module == "__future__":
            names = ["annotations"] if annotated else []
        whole = f"from {node.module} import {', '.join(names)}" if names else ""
        rest = [""] * ((node.end_lineno or node.lineno) - node.lineno)
        lines[node.lineno - 1 : node.end_lineno] = [whole, *rest]
    return "\n".join(lines)


def indented_by_one(source: str) -> str:
    """Return Python `source` with a space where four were, but for what is within a string."""
    # Since Python 3.12 the text of an f-string has a token of its own.
    kinds = (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
    strings: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in kinds:
            strings.update(range(token.start[0] + 1, token.end[0] + 1))
    lines = source.split("\n")
    for number, line in enumerate(lines, 1):
        width = len(line) - len(line.lstrip(" "))
        if number not in strings:
            lines[number - 1] = " " * (width // 4 + width % 4) + line[width:]
    return "\n".join(lines)


def without_comment_lines(text: str) -> str:
    """Return a script or template without the lines that are comments, its first line apart.

    Those that a launch puts something in the place of stay.
    """
    first, *others = text.splitlines(keepends=True)
    return first + "".join(
        line for line in others if not line.lstrip().startswith("#") or "{{" in line
    )


def agent_contents() -> dict[str, bytes]:
    """Return the files of the machine's supervisor by name: a package, and what starts it."""
    package = ROOT / "trainer" / "runtime" / "agent"
    files = {f"agent/{path.name}": path.read_bytes() for path in sorted(package.glob("*.py"))}
    shared = {
        f"parris/{name}": (ROOT / "lambda/parris" / name).read_bytes() for name in AGENT_SHARES
    }
    return {"__main__.py": AGENT_MAIN.encode(), **files, **shared}


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of `files`, by name; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name, content in files.items():
            # A fixed time and mode, or the bytes would change with every checkout.
            entry = zipfile.ZipInfo(name, date_time=(2018, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            made.writestr(entry, content)
    return buffer.getvalue()


def write(path: Path, files: Mapping[str, bytes]) -> int:
    """Write a zip and return its size in bytes."""
    content = archive(files)
    path.parent.mkdir(exist_ok=True)
    # Whole or not at all: two deployments may be applied from here at once.
    new = path.with_suffix(f".{os.getpid()}")
    new.write_bytes(content)
    new.replace(path)
    return len(content)


def build(function: str) -> int:
    """Write a function's zip and return its size in bytes."""
    return write(ZIPS[function], contents(function))


def main() -> int:
    """Build the zips and the agent, and say what was built; 1 if a zip is too large."""
    sizes = {path: build(function) for function, path in ZIPS.items()}
    write(AGENT, agent_contents())
    for path, size in sizes.items():
        print(f"{path.relative_to(ROOT)}: {size} bytes")
    if max(sizes.values()) > MAX_BYTES:
        print(f"error: over {MAX_BYTES} bytes; what was added to the package?", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
