"""An instance without a machine of its own: it ends as whoever is its hardware says, or in time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from scripts.local import no_machine


@pytest.fixture
def init(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """What the cloud writes to an init process."""
    reading, writing = os.pipe()
    monkeypatch.setattr(no_machine, "LOOK_SECONDS", 0.01)
    with os.fdopen(reading) as source, os.fdopen(writing, "w", buffering=1) as target:
        monkeypatch.setattr(sys, "stdin", source)
        yield target


@pytest.mark.usefixtures("init")
def test_it_ends_when_its_hardware_is_off(tmp_path: Path) -> None:
    (tmp_path / "off").touch()
    assert no_machine.main([str(tmp_path)]) == 0


def test_a_power_button_is_passed_on_and_waited_for_no_longer_than_asked(
    init: TextIO, tmp_path: Path
) -> None:
    init.write("power-button 0.05\n")
    assert no_machine.main([str(tmp_path)]) == 0
    assert (tmp_path / "power-button").exists()


def test_it_ends_with_the_cloud(init: TextIO, tmp_path: Path) -> None:
    init.close()
    assert no_machine.main([str(tmp_path)]) == 0
    assert not (tmp_path / "power-button").exists()
