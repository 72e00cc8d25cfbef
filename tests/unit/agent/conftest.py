"""The machine on which the agent's tests run it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    # The oldest Python of an image is tried with PARRIS_TEST_PYTHON=/path/to/python3.9
    machine = Machine(tmp_path / "m", os.environ.get("PARRIS_TEST_PYTHON", sys.executable))
    yield machine
    machine.unplug()
