"""The reference of the module's inputs and outputs, from its HCL: docs/module.md."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
from hcl2 import SerializationOptions

from scripts.cli import console
from scripts.deployment.outputs import ROOT

REFERENCE = ROOT / "docs" / "module.md"
INTRODUCTION = """\
# The module's inputs and outputs

Written by `python -m scripts.reference.module` from the HCL; a test compares. How to call the
module is shown in [examples](examples/README.md).
"""


def read_blocks(kind: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield file, name and content of each `kind` of block at the root, in the files' order."""
    for path in sorted(ROOT.glob("*.tf")):
        for block in _read(path).get(kind, []):
            for name, content in block.items():
                yield path.name, name, content


@cache
def _read(path: Path) -> dict[str, Any]:
    options = SerializationOptions(strip_string_quotes=True, explicit_blocks=False)
    with path.open() as file:
        read: dict[str, Any] = hcl2.load(file, serialization_options=options)
    return read


def render() -> str:
    """Return the whole reference as Markdown."""
    lines = [
        INTRODUCTION,
        "## Inputs",
        "",
        "| name | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for _, name, variable in read_blocks("variable"):
        kind = str(variable["type"]).removeprefix("${").removesuffix("}")
        cells = (f"`{name}`", f"`{_short(kind)}`", f"`{_default(variable['default'])}`")
        lines.append(_row(*cells, variable["description"]))
    lines += ["", "## Outputs", "", "| name | meaning |", "|---|---|"]
    lines += [_row(f"`{name}`", output["description"]) for _, name, output in read_blocks("output")]
    return "\n".join(lines) + "\n"


def _short(kind: str) -> str:
    """Return a type as one word where it is an object's, whose parts the description names."""
    return "map(object)" if kind.startswith("map(object") else kind.replace("|", "\\|")


def _default(value: Any) -> str:
    if isinstance(value, str):
        return (
            value.removeprefix("${").removesuffix("}") if value.startswith("${") else f'"{value}"'
        )
    text = json.dumps(value)
    return text if len(text) <= 40 else "see variables.tf"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.strip() for cell in cells)} |"


def main(argv: list[str]) -> int:
    """Write docs/module.md; with --check only say whether it is as the HCL has it."""
    parser = argparse.ArgumentParser(prog="scripts.reference.module", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args(argv)
    wanted = render()
    if options.check:
        if REFERENCE.exists() and REFERENCE.read_text() == wanted:
            return 0
        print("docs/module.md is not what the HCL says; run python -m scripts.reference.module")
        return 1
    REFERENCE.write_text(wanted)
    print(f"{REFERENCE.relative_to(ROOT)}: {len(wanted.splitlines())} lines")
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    console.run(main)
