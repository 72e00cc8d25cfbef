"""Ctrl-C on a terminal while terraform works on a real (embedded) cloud, through make."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import copy_clone, run_make
from tests.terminal import run_on_terminal

MOMENTS = (1, 15, 35)
"""How many of the 48 resources are done when it is pressed: in each of three rounds while they are
made and while they are deleted, and between those while terraform reads them. The first test has
the tenth moment."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = copy_clone(tmp_path_factory.mktemp("interrupted"))
    run_make(made, "local-up", "LOCAL_PORT=0")
    try:
        yield made
    finally:
        run_make(made, "local-down", check=False)


def make(folder: Path, target: str, when: Callable[[str], int]) -> tuple[int, str]:
    outer = ("PYTHONPATH", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "LOCAL")
    environ = {name: value for name, value in os.environ.items() if name not in outer}
    return run_on_terminal(["make", target, "LOCAL=1", "YES=1"], folder, environ, when, 240)


def reading(said: str) -> bool:
    """Press once, while terraform looks at what is there."""
    return "reads what is there" in said


def once_done(count: int) -> Callable[[str], int]:
    """Press once, when at least `count` are done."""
    return lambda said: any(int(n) >= count for n in re.findall(r"terraform: (\d+) of", said))


def test_ctrl_c_while_it_plans_changes_nothing(folder: Path) -> None:
    status, said = make(folder, "deploy", reading)
    assert status != 0
    assert "terraform stops at what it is doing" in said
    state = folder / ".parris/local/terraform.tfstate"
    assert not state.exists() or '"aws_iam_role"' not in state.read_text()


@pytest.mark.parametrize("count", MOMENTS)
def test_the_next_deploy_and_the_next_destroy_work(folder: Path, count: int) -> None:
    status, said = make(folder, "deploy", once_done(count))
    assert status != 0
    assert "what is cut off while" in said, said
    assert "Traceback" not in said
    status, said = make(folder, "deploy", reading)
    assert status != 0
    assert "terraform stops at what it is doing" in said
    status, said = make(folder, "deploy", lambda _: 0)
    assert status == 0, said
    assert "0 added, 0 changed, 0 destroyed" in said  # it had come to its end

    status, said = make(folder, "destroy", once_done(count))
    assert "terraform stops at what it is doing" in said, said
    status, said = make(folder, "destroy", lambda _: 0)
    assert status == 0, said
    left = run_make(folder, "status", "LOCAL=1", check=False)
    assert "nothing is deployed from here yet" in left.stderr
