"""Open the report in a headless Chromium, and use it as a person would: ``make test-report``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from scripts.report.page import build_page
from tests import report_world
from tests.browser import chromium
from tests.debian import Missing
from tests.proof.tools import environment

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".parris" / "browser"
PAGES = ROOT / "build" / "report"
"""The pages that are opened, and pictures of them."""

_MANY = 10_000


def main(argv: list[str] | None = None) -> int:
    """Run the checks: 0 all passed, 1 one failed, 2 usage, or the host lacks something."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser", description=__doc__)
    parser.add_argument("checks", nargs="*", help="which; all by default")
    parser.add_argument(
        "--or-skip", action="store_true", help="succeed, and say so, where there is no Chromium"
    )
    arguments = parser.parse_args(argv)
    try:
        found = chromium.find(TOOLS)
    except Missing as error:
        print(f"skipped: {error}" if arguments.or_skip else f"error: {error}", file=sys.stderr)
        return 0 if arguments.or_skip else 2
    driver = environment("browser") / "bin" / "python"
    write_pages()
    # -P and nothing of ours on its path: what drives the browser has an environment of its own.
    checks = [str(driver), "-P", str(Path(__file__).with_name("checks.py"))]
    own = [f"{name}={value}" for name, value in found.environment.items()]
    return subprocess.run(
        [*checks, str(PAGES), str(found.program), *own, *arguments.checks], check=False
    ).returncode


def write_pages() -> None:
    """Write the pages that the checks open."""
    PAGES.mkdir(parents=True, exist_ok=True)
    pages = {
        "sample": report_world.sample(),
        "many": report_world.sample(_MANY, 100),
        "hostile": report_world.hostile(),
        "one": report_world.sample(1),
        "gap": report_world.with_a_gap(),
        "mixed": [*report_world.sample(), *report_world.grid(10)["runs"]],
        "bare": [{"id": "20261124-193233-ee09f120", "job": "digits", "state": "launch-failed"}],
    }
    grids = {
        "grid": report_world.grid(),
        "grid-low": report_world.grid(40, "loss", "min"),
        "grid-one": report_world.grid(1),
        "grid-many": report_world.grid(1_000),
        "grid-plain": report_world.grid(20, ""),
        "grid-bare": report_world.grid_without_a_value(),
        "grid-hostile": report_world.hostile_grid(),
    }
    for name, data in grids.items():
        (PAGES / f"{name}.html").write_text(build_page("Grid of digits", data), encoding="utf-8")
    for name, rows in pages.items():
        data = report_world.data_of(rows, *(report_world.HOSTILE if name == "hostile" else ()))
        (PAGES / f"{name}.html").write_text(build_page("Runs of parris", data), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
