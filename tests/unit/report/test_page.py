"""The report's page: a file that is whole, small, and has no markup that a trainer wrote."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.report.page import FOLDER, SCRIPTS, STYLES, build_page, to_json
from tests.report_page import Read
from tests.report_world import HOSTILE, data_of, grid, hostile, hostile_grid, sample


def test_the_page_is_one_file_that_names_no_other() -> None:
    page = build_page("Runs of parris", data_of(sample(3)))
    read = Read(page)
    for tag, attributes in read.elements:
        assert tag not in ("iframe", "object", "embed", "base", "img", "video", "audio"), tag
        assert not {name for name in attributes if name.startswith("on") or name == "style"}
        for name in ("src", "href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), attributes
    assert "@import" not in page
    assert "url(" not in page
    assert len(page.encode()) - len(to_json(data_of(sample(3)))) < 150_000


def test_the_policy_lets_the_pages_own_scripts_and_styles_run_and_nothing_else() -> None:
    read = Read(build_page("Runs", data_of(sample(1))))
    said = next(a for tag, a in read.elements if tag == "meta" and "http-equiv" in a)["content"]
    assert said is not None
    rules = dict(rule.split(" ", 1) for rule in said.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    _, *scripts = read.inside["script"]
    for rule, contents in (("script-src", scripts), ("style-src", read.inside["style"])):
        hashes = [hashlib.sha256(content.encode()).digest() for content in contents]
        made = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes]
        assert rules[rule].split() == made
    assert "unsafe" not in said
    names = [tag for tag, _ in read.elements]
    assert names.index("meta") < names.index("style")


def test_nothing_that_a_trainer_wrote_is_markup() -> None:
    calm = Read(build_page("Runs", data_of(sample(1))))
    wild = Read(build_page("Runs", data_of(hostile(), *HOSTILE)))
    assert [tag for tag, _ in wild.elements] == [tag for tag, _ in calm.elements]
    assert len(wild.inside["script"]) == 3
    assert wild.inside["script"][1:] == calm.inside["script"][1:]
    assert "<" not in wild.inside["script"][0]
    assert wild.data["notes"][0] == HOSTILE[0]


def test_nothing_in_a_page_of_a_grid_is_markup_either() -> None:
    calm = Read(build_page("Grid", grid(3)))
    wild = Read(build_page("Grid", hostile_grid()))
    assert [tag for tag, _ in wild.elements] == [tag for tag, _ in calm.elements]
    assert wild.inside["script"][1:] == calm.inside["script"][1:]
    assert "<" not in wild.inside["script"][0]
    assert wild.data["grid"]["best"]["again"] == [{"command": HOSTILE[0], "does": HOSTILE[1]}]


def test_the_title_is_text() -> None:
    read = Read(build_page("</title><script>1</script>{{data}}", data_of([])))
    assert len(read.inside["script"]) == 3
    assert "</title><script>1</script>{{data}}" in read.text


def test_what_a_terminal_or_a_reader_would_obey_is_shown_instead() -> None:
    said = to_json(["\x1b[2J", "\u202egnp", "a\r\nb", "\x00", "\ud800", {"\u2066key": 1}])
    plain = ["\\x1b[2J", "\\u202egnp", "a\nb", "\\x00", "\\ud800", {"\\u2066key": 1}]
    assert json.loads(said) == plain
    said.encode()


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.sampled_from(HOSTILE),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_data_is_strict_json_that_cannot_end_its_element(data: Any) -> None:
    said = to_json(data)
    assert "<" not in said

    def strict(word: str) -> None:
        raise AssertionError(word)

    json.loads(said, parse_constant=strict)
    said.encode()


def test_what_is_too_deep_or_too_long_is_cut() -> None:
    nest: Any = 1
    for _ in range(500):
        nest = [nest]
    assert len(to_json(nest)) < 100
    assert len(to_json("ä" * 300_000)) < 110_000
    assert to_json([math.nan, math.inf]) == "[null,null]"


def test_ten_thousand_runs_become_a_page_in_seconds() -> None:
    rows = sample(10_000, 100)
    began = time.process_time()
    page = build_page("Runs", data_of(rows))
    assert time.process_time() - began < 10
    assert len(page.encode()) < 12_000_000
    assert len(Read(page).data["runs"]) == 10_000


def own_scripts() -> str:
    return "\n".join((FOLDER / "browser" / name).read_text() for name in SCRIPTS)


def test_every_file_of_the_folder_is_in_the_page() -> None:
    known = {path.name for path in (FOLDER / "browser").iterdir()}
    assert known == {"template.html", *SCRIPTS, *STYLES}


@pytest.mark.parametrize(
    "word",
    [
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("),
        *("DOMParser", "fetch(", "XMLHttpRequest", "import(", "localStorage", "srcdoc"),
    ],
)
def test_the_pages_script_makes_no_markup_and_asks_for_nothing(word: str) -> None:
    assert word not in own_scripts()


def test_the_scripts_are_files_of_a_size_to_read() -> None:
    for path in (FOLDER / "browser").iterdir():
        lines = path.read_text().splitlines()
        assert len(lines) <= 250, path.name
        assert max(map(len, lines)) <= 140, path.name


def test_what_others_wrote_is_what_was_fetched() -> None:
    notes = (FOLDER / "vendor/README.md").read_text()
    sums = dict(re.findall(r"([0-9a-f]{64})  (\S+)", notes)[::-1])
    known = {name: digest for digest, name in sums.items()}
    for name in ("uPlot.iife.min.js", "uPlot.min.css"):
        content = (FOLDER / "vendor" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == known[name]
    assert (FOLDER / "vendor/uPlot.LICENSE").read_text().startswith("The MIT License")
