"""The pages: what they show runs, what they link is there, what they list is complete."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parris.jobs.config import FIELDS, OPTIONS
from scripts.cli.verbs import ALIASES, VERBS
from scripts.jobs.jobs import check_job
from scripts.reference.module import read_blocks
from tests.contract.test_languages_agree import names, targets

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKING = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
NOT_WRAPPED = ("docs/commands.md", "docs/module.md", "CHANGELOG.md")  # two are generated
WIDTH = 110
SETTINGS = ("variables.tf", "variables_storage.tf")  # the others have pages of their own

Said = tuple[str, str]
"""A verb and a variable of make that is given to it; "" for the verb itself."""

RUN_ELSEWHERE = {
    "demo": "continuous integration runs it (.ci/run)",
    "test": "it runs these tests",
    "test-boot": "continuous integration runs it (.ci/run)",
    "check-image": "a drill of make test-boot runs its script",
    "completion": "tests/unit/test_completion.py runs it in shells",
}
"""What pages tell a reader to type and no test of e2e types, with the reason."""


def label(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the page's fenced blocks: language and text, without the indent of a list."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [
        (language, re.sub(f"(?m)^{indent}", "", content)) for indent, language, content in found
    ]


def first_block(page: Path, language: str) -> str:
    return next(content for found, content in blocks(page) if found == language)


def prose(page: Path) -> str:
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of what a reader is to type: lines of bash blocks, and behind a ``$``."""
    for language, content in blocks(page):
        for line in content.splitlines():
            typed = line if language == "bash" else line.removeprefix("$ ")
            if language == "bash" or typed != line:
                words = re.sub(r"\s# .*", "", typed).split()
                if words and words[0] in {"make", "./parris", "parris"}:
                    yield words


def verb_of(word: str) -> str:
    return ALIASES.get(word, word)


def told() -> set[Said]:
    """Return what the pages tell a reader to type."""
    found: set[Said] = set()
    for page in PAGES:
        for _, verb, *more in commands(page):
            name = verb_of(verb)
            found.add((name, ""))
            given = [re.match(r"[A-Z_]+(?==)", word) for word in more]
            found |= {(name, variable[0]) for variable in given if variable}
    return found - {(verb, "LOCAL") for verb in VERBS}


def literals(node: ast.AST) -> list[str]:
    """Return the strings in a node in their order, of f-strings their parts."""
    return [
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]


def run() -> set[Said]:
    """Return what the tests of e2e type.

    A variable that a test keeps in a tuple counts for all verbs that the test calls with it.
    """
    found: set[Said] = set()
    for path in (ROOT / "tests/e2e").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                callee = ast.unparse(call.func).rpartition(".")[2]
                said = literals(call)
                if callee == "run" and said[:1] in (["make"], ["./parris"]):
                    said = said[1:]
                elif callee not in {"make", "run_make", "parris"}:
                    continue
                if not said:
                    continue
                kept = any(isinstance(argument, ast.Starred) for argument in call.args)
                given = literals(function) if kept else said
                verb = verb_of(said[0])
                found.add((verb, ""))
                found |= {(verb, word.split("=")[0]) for word in given if "=" in word}
    return found


def test_every_command_of_every_page_is_run_by_a_test() -> None:
    lacking = {said for said in told() - run() if said[0] not in RUN_ELSEWHERE}
    assert lacking == set()
    assert len(told()) > 25


def test_every_program_that_a_page_starts_is_started_by_a_test() -> None:
    typed = "".join(content for page in PAGES for language, content in blocks(page) if language)
    programs = set(re.findall(r"(?<= )docs/\S+\.py\b", typed))
    tests = "".join(path.read_text() for path in (ROOT / "tests/e2e").glob("*.py"))
    assert programs
    assert {program for program in programs if program not in tests} == set()


def test_what_is_said_to_run_elsewhere_is_told_and_not_run_by_e2e() -> None:
    shown = {verb for verb, _ in told()} | {"completion"}
    assert set(RUN_ELSEWHERE) <= shown
    assert not set(RUN_ELSEWHERE) & {verb for verb, _ in run()}


@pytest.mark.parametrize("page", LINKING, ids=label)
def test_every_target_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`make ([a-z]+(?:-[a-z]+)*)", page.read_text()))
    named |= {words[1] for words in commands(page) if words[0] == "make"}
    assert named <= set(targets())


@pytest.mark.parametrize("page", LINKING, ids=label)
def test_every_verb_that_a_page_calls_exists(page: Path) -> None:
    named = set(re.findall(r"(?:`(?:\./)?|^ {4}\./)parris ([a-z][a-z-]*)", page.read_text(), re.M))
    assert named - {"help"} <= {*VERBS, *ALIASES}


def test_every_verb_that_the_reference_of_the_verbs_speaks_of_exists() -> None:
    first = f"\n## {next(iter(VERBS))}\n"
    spoken, dashes, _ = (ROOT / "docs/commands.md").read_text().partition(first)
    assert dashes
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", spoken)) - {"parris", "compinit"}
    assert named
    assert named <= {*VERBS, *ALIASES}


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("configuration key", [*FIELDS, *OPTIONS]),
        ("Terraform variable", [name for file in SETTINGS for name in names(file, "variable")]),
        ("output", [name for _, name, _ in read_blocks("output")]),
        ("target", targets()),
    ],
)
def test_each_setting_output_and_target_is_in_one_row_of_one_page(
    header: str, wanted: list[str]
) -> None:
    table = rf"^\| {header} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)"
    rows = [
        row
        for page in PAGES
        for table_rows in re.findall(table, page.read_text(), re.MULTILINE)
        for row in table_rows.splitlines()
    ]
    listed = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(listed) == sorted(wanted)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = sum(1 for one in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", one))
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def links(page: Path) -> list[str]:
    """Return the page's links that lead nowhere but into the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", LINKING, ids=label)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.is_relative_to(ROOT), link
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), link


def test_every_page_is_in_the_list_of_pages_and_the_list_in_the_readme() -> None:
    lists = [ROOT / "docs/README.md", ROOT / "docs/decisions/README.md"]
    listed = {(page.parent / link).resolve() for page in lists for link in links(page)}
    assert {*PAGES} - {ROOT / "README.md", ROOT / "docs/README.md"} <= listed
    assert "docs/README.md" in links(ROOT / "README.md")


@pytest.mark.parametrize(
    "page", [page for page in LINKING if label(page) not in NOT_WRAPPED], ids=label
)
def test_prose_fits_a_wide_terminal(page: Path) -> None:
    lines = [line for line in prose(page).splitlines() if not line.lstrip().startswith("|")]
    assert [line for line in lines if len(line) > WIDTH and not line.startswith("    ")] == []


def test_a_file_that_a_page_hands_over_is_made_there_or_lies_in_the_clone() -> None:
    handed = [
        (content.partition(line)[0], name)
        for page in PAGES
        for language, content in blocks(page)
        for line in content.splitlines()
        if language == "bash"
        for name in re.findall(r"\bFILE=(\S+)", line)
    ]
    assert handed
    for before, name in handed:
        assert f">{name}\n" in before or (ROOT / name).is_file(), name


def test_the_guide_begins_with_its_trainer() -> None:
    [first, *_] = re.findall(
        r"^## .*", (ROOT / "docs/getting-started.md").read_text(), re.MULTILINE
    )
    assert first == "## 1. A complete trainer"


def test_no_list_of_the_changelog_is_torn() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^(?:- |  ).*\n\n- .*", changes, re.MULTILINE) == []
    assert re.findall(r"^.+\n#.*", changes, re.MULTILINE) == []


def test_the_readme_is_short_and_shows_a_picture_that_is_small() -> None:
    readme = ROOT / "README.md"
    assert len(readme.read_text().splitlines()) <= 120
    [picture] = [link for link in links(readme) if link.endswith(".png")]
    content = (ROOT / picture).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 40_000


def train(folder: Path, command: list[str], **parameters: str) -> str:
    """Run a trainer as a machine does, without one; return what it said."""
    output, checkpoints = folder / "output", folder / "checkpoints"
    output.mkdir()
    checkpoints.mkdir()
    packages = [place for place in sys.path if place.endswith("site-packages")]
    told = {"PARRIS_OUTPUT_DIR": str(output), "PARRIS_CHECKPOINT_DIR": str(checkpoints)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | told | parameters | {"PYTHONPATH": os.pathsep.join(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.processes
def test_the_five_lines_of_the_readme_train_the_sample(tmp_path: Path) -> None:
    script = first_block(ROOT / "README.md", "bash")
    assert len(script.splitlines()) == 5
    for name in ("train.py", "requirements.txt"):
        shutil.copy(ROOT / "trainer" / name, tmp_path)
    said = train(tmp_path, ["bash", "-c", script], PARRIS_PARAM_EPOCHS="1")
    assert "epoch  1: loss 1.5982, validation 0.7731" in said
    assert (tmp_path / "output/learning-curve.png").stat().st_size > 1000
    assert "epoch  1: loss 1.5982, validation 0.7731" in (ROOT / "README.md").read_text()


def test_the_trainer_of_the_guide_is_a_sound_job_and_prints_what_the_guide_says(
    tmp_path: Path,
) -> None:
    guide = ROOT / "docs/getting-started.md"
    job = tmp_path / "line"
    job.mkdir()
    config = first_block(guide, "json")
    (job / "training-config.json").write_text(config)
    (job / "train.py").write_text(first_block(guide, "python"))
    assert check_job("line", job)[1] == []
    steps = json.loads(config)["parameters"]["steps"]
    said = train(job, [sys.executable, "train.py"], PARRIS_PARAM_STEPS=str(steps))
    assert ("", said) in blocks(guide)
    model = json.loads((job / "output/model.json").read_text())
    assert model == pytest.approx({"slope": 3, "bias": 1}, abs=0.01)


def test_every_test_that_the_page_of_failures_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs/failures.md").read_text())
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(named) > 30
    assert sorted({*named} - there) == []
