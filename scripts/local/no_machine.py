"""The init process of an instance whose hardware is somebody else's (fault ``no-machine``).

Nothing boots here. Who is the hardware finds ``metadata-endpoint`` in the instance's directory,
writes ``console.log`` there, presses his machine's power button when ``power-button`` appears, and
writes ``off`` when the machine is. After that, or after the patience that EC2 has, this ends.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

LOOK_SECONDS = 0.2


def main(argv: list[str]) -> int:
    """Stand for the machine in directory argv[0] until it is off."""
    directory = Path(argv[0])
    until = float("inf")
    while time.monotonic() < until and not (directory / "off").exists():
        ready, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
        if not ready:
            continue
        said = sys.stdin.readline().split()
        if not said:  # the cloud is gone
            break
        (directory / "power-button").touch()
        until = min(until, time.monotonic() + float(said[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
