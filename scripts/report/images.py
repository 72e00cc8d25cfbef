"""Images of a run's output that fit into the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from scripts.cli.words import counted
from scripts.metrics.stored import Output

MOST_BYTES = 200_000
"""Of one image: it is put into the page as it is, and shown small."""
MOST_OF_RUN = 4
MOST_BYTES_OF_ALL = 6_000_000

_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
"""Not SVG, which is markup."""
_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
"""What such files begin with, whatever they are called."""


def choose(found: Sequence[Output]) -> tuple[list[Output], list[str]]:
    """Return the images to show of a run, and what is said of those that are not shown."""
    images = [one for one in found if one.name.lower().endswith(_SUFFIXES) and one.size]
    fitting = [one for one in images if one.size <= MOST_BYTES]
    large = [one for one in images if one.size > MOST_BYTES]
    said = [f"image {one.name}: {one.size:,} bytes, more than {MOST_BYTES:,}" for one in large]
    if more := len(fitting) - MOST_OF_RUN:
        said += [f"{counted(more, 'more image')} of its output"] if more > 0 else []
    return fitting[:MOST_OF_RUN], said


def within_budget(chosen: Sequence[Sequence[Output]]) -> list[list[Output]]:
    """Return of each run's images those for which the page has room; the first runs come first."""
    left, kept = MOST_BYTES_OF_ALL, []
    for images in chosen:
        some = []
        for image in images:
            if image.size <= left:
                left -= image.size
                some.append(image)
        kept.append(some)
    return kept


def embedded(name: str, body: bytes) -> dict[str, Any] | None:
    """Return an image as the page has it; None if it is none that a browser would show."""
    kind = next((kind for begins, kind in _BEGINNINGS.items() if body.startswith(begins)), None)
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None or len(body) > MOST_BYTES:
        return None
    return {"name": name, "type": kind, "base64": base64.b64encode(body).decode()}
