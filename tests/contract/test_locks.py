"""The locked requirements are those that people wrote down, and pip verifies them."""

from __future__ import annotations

import re
from importlib.metadata import distributions

import pytest
from packaging.requirements import Requirement

from scripts import lock, venv

CONTAINED = [*lock.PARTS, *lock.EXAMPLES]
LOCKED = [lock.WHOLE, *CONTAINED, *lock.APART]
ENTRY = re.compile(
    r"^([^\s\[]+)(?:\[[^]]+])?==(\S+)(?: ; .*?)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+$",
    re.MULTILINE,
)


def entries(name: str) -> set[tuple[str, str]]:
    return set(ENTRY.findall((venv.ROOT / f"{name}.txt").read_text()))


def test_every_requirements_file_is_locked() -> None:
    assert sorted(f"{name}.in" for name in LOCKED) == written("in")
    assert sorted(f"{name}.txt" for name in LOCKED) == written("txt")
    assert {f"{name}.txt" for name in (*lock.PARTS, lock.WHOLE)} == set(venv.ORDER)


def written(suffix: str) -> list[str]:
    folders = ("", "docs/examples/*/")
    found = [
        path for folder in folders for path in venv.ROOT.glob(f"{folder}requirements*.{suffix}")
    ]
    return sorted(str(path.relative_to(venv.ROOT)) for path in found)


@pytest.mark.parametrize("name", LOCKED)
def test_a_lock_is_of_what_is_written_down_now(name: str) -> None:
    text = (venv.ROOT / f"{name}.txt").read_text()
    assert text.startswith(lock.header(name)), "run make lock"
    for source in lock.sources(name):
        for line in source.read_text().splitlines():
            if line and not line.startswith(("#", "-r ")):
                asked = Requirement(line)
                found = {version for one, version in entries(name) if one == plain(asked.name)}
                assert {f"=={version}" for version in found} == {str(asked.specifier)}, line


@pytest.mark.parametrize("name", LOCKED)
def test_a_lock_has_nothing_but_versions_with_hashes(name: str) -> None:
    _, _, body = (venv.ROOT / f"{name}.txt").read_text().partition("\n")
    assert ENTRY.sub("", body).strip() == ""
    assert entries(name)


@pytest.mark.parametrize("name", CONTAINED)
def test_who_has_one_environment_has_one_version(name: str) -> None:
    assert entries(name) < entries(lock.WHOLE)


def test_what_a_package_asks_for_with_extras_is_locked_with_them() -> None:
    """pip 23.2, which Python 3.11 brings, asks for the newest version otherwise (pypa/pip#12345).

    So the day on which another version is released, nothing could be installed.
    """
    asked = {
        (plain(one.name), extra)
        for of in distributions()
        for one in map(Requirement, of.requires or ())
        for extra in one.extras
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }
    text = (venv.ROOT / f"{lock.WHOLE}.txt").read_text()
    locked = {
        (name, extra)
        for name, extras in re.findall(r"^(\S+)\[([^]]+)]==", text, re.MULTILINE)
        for extra in extras.split(", ")
    }
    assert ("coverage", "toml") in asked  # else this test looks at nothing
    assert asked <= locked


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
