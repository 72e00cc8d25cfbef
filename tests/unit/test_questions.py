"""What is asked before anything is changed, and what counts as an answer."""

from __future__ import annotations

import io
import sys
from functools import partial

import pytest

from scripts.cli.console import Refused
from scripts.commands import clean_stacks
from scripts.deployment import terraform


class Typed(io.StringIO):
    """A terminal on which this was typed, and Ctrl-D after it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("words", ["", "no\n", "\n", "y\n"])
def test_what_is_not_yes_changes_nothing(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    for ask in (partial(terraform._ask, "apply"), partial(clean_stacks._ask, 2)):
        monkeypatch.setattr(sys, "stdin", Typed(words))
        with pytest.raises(Refused, match=r"^nothing was (changed|deleted)$"):
            ask()


@pytest.mark.parametrize(
    ("action", "typed"),
    [("apply", "make deploy YES=1"), ("destroy", "make destroy YES=1")],
)
def test_without_a_terminal_nothing_is_asked_and_the_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], action: str, typed: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))  # a pipe is nobody's answer
    said = f"nothing was changed: there is no terminal to ask on; YES=1 answers beforehand: {typed}"
    with pytest.raises(Refused, match=f"^{said}$"):
        terraform._ask(action)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("shown", [False, True])
def test_yes_goes_on_and_a_plan_that_was_shown_is_not_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shown: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(" yes \n"))
    terraform._ask("apply", shown=shown)
    assert ("PLAN=1" in capsys.readouterr().out) != shown
