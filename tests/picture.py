"""A picture for docs/images of what a command shows on a terminal.

For example ``python -m tests.picture status.svg 12 make status WATCH=1 LOCAL=1``: after 12 seconds
Ctrl-C is typed. Of what is drawn again in its place the last picture is kept.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from tests.terminal import run_on_terminal

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
COLUMNS = 150

_DRAWN_AGAIN = re.compile(r"(?:\r|\x1b\[1A|\x1b\[2K)*\x1b\[1A\x1b\[2K")
_NOT_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-LN-Za-ln-z]|\r|\^C")
_FONTS = re.compile(r"@font-face \{\{.*?\}\}", re.DOTALL)
"""From a host of somebody's, which a picture in a README is not to ask for."""


def main(argv: list[str]) -> int:
    """Write the picture."""
    name, seconds, *command = argv
    began = time.monotonic()
    environ = os.environ | {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    before: list[str] = []

    def presses(said: str) -> int:
        if not before and time.monotonic() - began > float(seconds):
            before.append(said)
        return len(before)

    _, said = run_on_terminal(command, Path.cwd(), environ, presses, float(seconds) + 30)
    shown = _NOT_COLOURS.sub("", _DRAWN_AGAIN.split((before or [said])[0])[-1]).rstrip()
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(shown))
        svg = console.export_svg(
            title=" ".join(command), code_format=_FONTS.sub("", CONSOLE_SVG_FORMAT)
        )
    (FOLDER / name).write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
