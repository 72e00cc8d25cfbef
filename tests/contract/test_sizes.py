"""No file of the product is longer than a reader takes in at one sitting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST = 300
"""Lines of a file. Who needs more has two things in it."""


def product() -> Iterator[Path]:
    yield from ROOT.glob("*.tf")
    for folder in ("lambda", "scripts", "trainer"):
        for kind in ("*.py", "*.sh"):
            yield from (ROOT / folder).rglob(kind)


def test_no_file_of_the_product_has_more_than_300_lines() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in product()}
    assert len(lines) > 200
    assert {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > MOST} == {}
