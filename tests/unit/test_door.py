"""The front door: ./parris, from anywhere, quickly, with words for what it does not know."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.cli import console
from scripts.cli.arguments import find_verb, parse
from scripts.cli.console import Refused
from scripts.cli.verbs import ALIASES, VERBS

ROOT = Path(__file__).resolve().parents[2]


def parris(
    *arguments: str,
    program: Path = ROOT / "parris",
    cwd: Path = ROOT,
    environ: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    cleared = {key: value for key, value in os.environ.items() if key not in ("LOCAL", "MAKEFLAGS")}
    return subprocess.run(
        [str(program), *arguments],
        cwd=cwd,
        env=cleared | (environ or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what the door needs, under a path with a space and a letter that is not ASCII."""
    folder = tmp_path / "a b" / "模型 x"
    for name in ("scripts", "lambda", "trainer"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("parris", "requirements.txt", "requirements-local.txt", "requirements-dev.txt"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.mark.parametrize("verb", ["", *VERBS, *ALIASES])
def test_help_has_an_example_and_imports_nothing_that_takes_time(verb: str) -> None:
    program = (
        "import sys; from scripts.cli import door\n"
        "try: door.main(sys.argv[1:])\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'boto3', 'botocore', 'rich', 'hcl2', 'asyncio', 'shtab'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, *([verb] if verb else []), "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "lambda:.", "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert max(map(len, shown.splitlines())) <= 80
    if verb:
        example = shown.partition("example:\n  parris ")[2].splitlines()[0].partition("#")[0]
        words = example.split()
        found = find_verb(words[0])
        assert found is not None
        assert found.name == ALIASES.get(verb, verb)
        parse(found.name, words[1:])  # it is one that works


def test_it_is_called_from_anywhere_under_any_path_and_by_a_link(
    clone: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "scripts").mkdir(parents=True)  # which is not ours
    (elsewhere / "scripts" / "__init__.py").touch()
    link = tmp_path / "bin" / "parris"
    link.parent.mkdir()
    link.symlink_to(os.path.relpath(clone / "parris", link.parent))
    for program in (clone / "parris", link):
        done = parris("upload", "--check", program=program, cwd=elsewhere)
        assert done.stdout == "default, ddp, monte-carlo: no problem found\n", done.stderr
        assert done.returncode == 0


def test_a_clone_without_an_environment_gets_one(clone: Path) -> None:
    (clone / ".venv").unlink()
    (clone / "scripts" / "venv.py").write_text(
        "import sys\nprint('asked for', sys.argv[1:])\nsys.exit(1)\n"
    )
    cases: tuple[tuple[tuple[str, ...], dict[str, str], str], ...] = (
        (("status",), {}, "requirements.txt"),
        (("status", "--local"), {}, "requirements-local.txt"),
        (("demo",), {}, "requirements-local.txt"),
        (("status",), {"LOCAL": "1"}, "requirements-local.txt"),
        (("status",), {"LOCAL": "0"}, "requirements.txt"),
    )
    for arguments, environ, asked in cases:
        done = parris(*arguments, program=clone / "parris", environ=environ)
        assert done.returncode == 1
        assert done.stderr == f"asked for ['{asked}']\n"
        assert done.stdout == ""  # which is for JSON


def test_what_an_environment_lacks_is_installed_before_the_verb_runs(clone: Path) -> None:
    for lock in clone.glob("requirements*.txt"):
        lock.write_text(lock.read_text() + "# other than what was installed\n")
    path = clone / "scripts" / "venv.py"
    path.write_text(path.read_text().replace("def find_python", "def found_python", 1))
    done = parris("upload", "--check", program=clone / "parris")
    assert done.returncode == 1
    assert "find_python" in done.stderr  # it was asked, and would have begun


def test_what_is_not_known_is_refused_with_what_was_meant() -> None:
    for arguments, said in (
        (("lunch",), "parris: lunch is not a verb; did you mean launch?\n"),
        (("claen",), "parris: claen is not a verb; did you mean clean?\n"),
        (("launch", "--wiat"), "parris launch: --wiat is not known here; did you mean --wait?\n"),
        (("launch", "a", "b"), "parris launch: b is not known here\n"),
        (("launch", "a", "--job", "b"), "parris launch: --job: not allowed with argument job\n"),
        (("launch", "-p", "x"), "x is not name=value, such as epochs=40\n"),
        (("extend", "--minutes", "0"), "0 is not a whole number of minutes (1 to 10080)\n"),
        (("extend", "--minutes", "٣"), "٣ is not a whole number of minutes (1 to 10080)\n"),
        (("local-up", "--port", "abc"), "abc is not a whole number of a port (0 to 65535)\n"),
        (("fire", "bell"), "trigger: invalid choice: 'bell' (choose from 'button',"),
    ):
        done = parris(*arguments)
        assert done.returncode == 2, arguments
        assert said in done.stderr
        assert done.stdout == ""
    assert parris().returncode == 2
    assert parris("help", "launch").stdout == parris("launch", "--help").stdout


def test_the_statuses_are_those_that_are_documented() -> None:
    def refuse() -> int:
        raise Refused("no")

    def stop() -> int:
        raise KeyboardInterrupt

    found = (lambda: 0, refuse, lambda: console.RUN_FAILED, stop)
    assert [console.status_of(work) for work in found] == [0, 1, 3, 130]
    table = (ROOT / "docs/commands.md").read_text()
    assert re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE) == ["0", "1", "2", "3", "130"]


def test_json_is_all_that_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        print("for people")  # noqa: T201
        console.print_json({"for": "machines"})
        print("more\x1b[2J")  # noqa: T201
        return 0

    assert console.status_of(work, as_json=True) == 0
    said = capsys.readouterr()
    assert said.out == '{\n  "for": "machines"\n}\n'
    assert said.err == "for people\nmore\\x1b[2J\n"
    console.status_of(work)
    assert capsys.readouterr().out.startswith("for people\n{")


def test_no_color_is_honoured_on_a_terminal() -> None:
    program = (
        "from scripts.cli import console\n"
        "from scripts.cli.columns import Column\n"
        "console.print_table([Column(heading='A', rank=0)], [['1']])\n"
        "list(console.progress([1, 2], 2, 'things'))\n"
    )

    def shown(**environ: str) -> bytes:
        ours, theirs = pty.openpty()
        base = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=base | {"PYTHONPATH": "lambda:.", "TERM": "xterm-256color"} | environ,
            stdout=theirs,
            check=True,
        )
        os.close(theirs)
        try:
            return os.read(ours, 100_000)
        finally:
            os.close(ours)

    colour = re.compile(rb"\x1b\[[0-9;]*\b(3[0-8]|4[0-8]|9[0-7])\b[0-9;]*m")
    assert colour.search(shown())
    assert not colour.search(shown(NO_COLOR="1"))
