"""The tests, with what they need to stay within the clone."""

import os
from pathlib import Path

# MiniStack keeps a key in the machine's own temporary folder wherever its code is imported.
os.environ.setdefault("STATE_DIR", str(Path(__file__).parents[1] / "build" / "ministack"))
