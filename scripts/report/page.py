"""The report's one page: its styles, scripts and data in a file that asks the network for nothing.

What trainers wrote is in the data only, as JSON in which no ``<`` is left, and the page's script
makes text of it, never markup. The page's own policy is a second fence: scripts and styles by their
hashes, images only from the page, nothing else from anywhere (W3C, "Content Security Policy Level
3"), and no text becomes markup in any way (``require-trusted-types-for``).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parris.errors import cut, plain

FOLDER = Path(__file__).parent
SCRIPTS = (
    *("dom.js", "model.js", "axes.js", "axis-lines.js", "lines.js", "choosing.js", "table.js"),
    *("charts.js", "figures.js", "plot.js", "sums.js", "grid.js", "details.js", "main.js"),
)
"""In the order in which they are put together."""
STYLES = ("base.css", "table.css", "charts.css", "grid.css", "dialog.css", "media.css")
"""The last are the exceptions."""

_MOST_TEXT = 100_000
"""Characters of one text; images are longer."""
_DEEPEST = 20


def build_page(title: str, data: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        title: its heading.
        data: ``about``, one sentence; ``notes``, sentences; ``runs``, as `gather` returns them;
            ``grid``, as `head_of` returns it, if they are the trials of one.
    """
    scripts = {
        "uplot-script": _read("vendor/uPlot.iife.min.js"),
        "script": _own_script(),
    }
    styles = {
        "uplot-style": _read("vendor/uPlot.min.css"),
        "style": "".join(_read(f"browser/{name}") for name in STYLES),
    }
    parts = {
        **scripts,
        **styles,
        "policy": _policy(list(scripts.values()), list(styles.values())),
        "title": html.escape(plain(title)),
        "data": to_json(data),
    }
    # In one pass: what is put in is not looked through again.
    return re.sub(
        r"\{\{([a-z-]+)\}\}", lambda found: parts[found[1]], _read("browser/template.html")
    )


def to_json(data: object) -> str:
    """Return `data` as JSON that may stand in a script element of HTML.

    A ``<`` could begin ``</script`` or ``<!--`` (HTML standard, "Restrictions for contents of
    script elements"); in JSON it only stands in strings.
    """
    text = json.dumps(_clean(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _clean(value: Any, depth: int = 0) -> Any:
    """Return `value` with all text in it plain, and what JSON has no word for as None."""
    if isinstance(value, str):
        return value if _is_image(value) else plain(cut(value, _MOST_TEXT))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if depth >= _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {
            plain(cut(str(name), _MOST_TEXT)): _clean(inner, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(inner, depth + 1) for inner in value]
    return plain(cut(str(value), _MOST_TEXT))


_BASE64 = re.compile(r"[A-Za-z0-9+/]{1000,}={0,2}")


def _is_image(text: str) -> bool:
    return _BASE64.fullmatch(text) is not None


def _policy(scripts: list[str], styles: list[str]) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ]
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _own_script() -> str:
    parts = "\n".join(_read(f"browser/{name}") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
