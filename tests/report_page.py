"""A page that `make report` wrote, read again."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from scripts.commands import report


class Read(HTMLParser):
    """The elements of a page, and what is in its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.text = ""
        self._in = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in self.inside:
            self._in = tag
            self.inside[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._in:
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in:
            self.inside[self._in][-1] += data
        else:
            self.text += data

    @property
    def data(self) -> Any:
        return json.loads(self.inside["script"][0])


def written(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Return the data of the page that is written with these arguments."""
    path = tmp_path / "report.html"
    assert report.main(["--output", str(path), *arguments]) == 0
    data: dict[str, Any] = Read(path.read_text()).data
    return data
