"""What the agent leaves in S3, whatever the clocks say: the last version of each file, always.

The clocks are played: the machine's, and its file system's (with a tick).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.runtime.agent import store
from trainer.runtime.agent.aws import Answer
from trainer.runtime.agent.store import FOLDERS, Store

URI = "s3://results/runs/digits/r1"
INTERVAL = 5.0


class Machine:
    """A machine's files, its clocks, and an S3 as `aws s3 cp --recursive` knows it."""

    def __init__(self, home: Path, tick: float = 0.004) -> None:
        self.home, self.tick = home, tick
        self.elapsed, self.ahead = 0.5, 1_000_000.0  # within a tick of 1 s or 2 s
        self.times: dict[Path, tuple[float, float]] = {}
        self.s3: dict[str, bytes] = {}
        self.sent: list[str] = []
        self.before_read: Callable[[], None] = lambda: None
        self.while_sent: Callable[[], None] = lambda: None
        self.fails_after: int | None = None
        self.names_failures = False
        for name in FOLDERS:
            (home / name).mkdir(parents=True)
        self.store = cast(Any, Store(cast(Any, self), home, URI))
        self.store._files = self._files

    def now(self) -> float:
        return self.elapsed + self.ahead

    def write(self, content: str, name: str = "output/a", modified: float | None = None) -> None:
        path = self.home / name
        path.write_text(content)
        now = math.floor(self.now() / self.tick) * self.tick
        self.times[path] = (now if modified is None else modified, now)

    def upload(self) -> Any:
        """As every `sync-interval-seconds`."""
        played = SimpleNamespace(time=self.now, monotonic=lambda: self.elapsed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "time", played)
            return self.store._upload(60)

    def stored(self, name: str = "output/a") -> str:
        return self.s3[name].decode()

    def call(self, *words: str, timeout: float, **_: Any) -> Any:
        """Do what `aws s3 cp --recursive` is documented to do with a folder of links."""
        assert timeout > 0
        assert words[:4] == ("s3", "cp", "--only-show-errors", "--recursive")
        assert words[-1] == URI
        self.before_read()
        errors = ""
        for path in sorted(path for path in Path(words[-2]).rglob("*") if path.is_file()):
            name = str(path.relative_to(words[-2]))
            if self.fails_after is not None and len(self.sent) >= self.fails_after:
                if not self.names_failures:
                    return Answer(1, "fatal error: Could not connect")
                errors += f"upload failed: {path} to {URI}/{name} Could not connect\n"
                continue
            content = path.read_bytes()
            self.while_sent()
            self.elapsed += 0.1
            self.sent.append(name)
            self.s3[name] = content
        return Answer(1 if errors else 0, errors.strip(), errors=errors)

    def _files(self) -> dict[Path, Any]:
        # Of the true stat, only the times are not: they are of the played clock.
        found = Store._files(self.store)
        return {
            path: state._replace(modified_ns=int(modified * 1e9), changed_ns=int(changed * 1e9))
            for path, state in found.items()
            for modified, changed in [self.times[path.resolve()]]
        }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def settle(machine: Machine) -> None:
    """Let the trainer end, and the last upload follow."""
    machine.before_read = machine.while_sent = lambda: None
    machine.fails_after = None
    machine.elapsed += 0.05
    machine.upload()


TICKS = (1e-9, 0.01, 1.0, 2.0)


@pytest.mark.parametrize("tick", TICKS)
def test_a_rewrite_while_it_is_sent_is_stored(home: Path, tick: float) -> None:
    machine = Machine(home, tick)
    machine.write("1")
    machine.while_sent = lambda: machine.write("2")
    machine.upload()
    settle(machine)
    assert machine.stored() == "2"


@pytest.mark.parametrize("tick", TICKS)
@pytest.mark.parametrize("pause", [0, 0.3, 10])
def test_a_rewrite_right_after_it_was_sent_is_stored(home: Path, tick: float, pause: float) -> None:
    machine = Machine(home, tick)
    machine.write("1")
    machine.upload()
    machine.elapsed += pause
    machine.write("2")
    settle(machine)
    assert machine.stored() == "2"


@pytest.mark.parametrize("tick", TICKS)
def test_a_file_whose_time_was_set_back_is_stored(home: Path, tick: float) -> None:
    machine = Machine(home, tick)  # cp -p best.pkl output/a
    machine.write("1", modified=machine.now() - 3600)
    machine.elapsed += 60
    machine.upload()
    machine.elapsed += 60
    machine.write("2", modified=machine.now() - 3600)
    settle(machine)
    assert machine.stored() == "2"


def test_a_file_that_grew_before_it_was_read_and_changed_again_is_stored(home: Path) -> None:
    machine = Machine(home)
    machine.write("1")
    machine.elapsed += 10
    machine.before_read = lambda: machine.write("22")
    machine.upload()
    machine.before_read = lambda: None
    machine.write("33")
    settle(machine)
    assert machine.stored() == "33"


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_clock_that_is_set_loses_nothing_and_sends_nothing_for_ever(
    home: Path, step: float
) -> None:
    machine = Machine(home)
    machine.write("1")
    machine.ahead += step
    for _ in range(5):
        machine.upload()
        machine.elapsed += INTERVAL
    assert len(machine.sent) <= 3
    machine.write("2")
    settle(machine)
    assert machine.stored() == "2"


def test_what_is_at_rest_is_sent_once(home: Path) -> None:
    machine = Machine(home)
    for number in range(50):
        machine.write("x", f"output/{number}")
    machine.elapsed += 3
    for _ in range(4):
        machine.upload()
        machine.elapsed += INTERVAL
    assert sorted(machine.sent) == sorted(f"output/{number}" for number in range(50))
    machine.write("y", "output/7")
    machine.elapsed += 3
    machine.upload()
    assert machine.sent[50:] == ["output/7"]


def test_an_upload_that_fails_goes_on_where_it_was(home: Path) -> None:
    machine = Machine(home)
    for number in range(50):
        machine.write("x", f"output/{number}")
    machine.elapsed += 3
    machine.fails_after, machine.names_failures = 40, True
    assert machine.upload().status == 1
    settle(machine)
    assert len(machine.sent) == 50
    assert len(machine.s3) == 50


def test_an_upload_that_ends_without_a_word_of_each_file_is_done_again(home: Path) -> None:
    machine = Machine(home)
    for number in range(5):
        machine.write("x", f"output/{number}")
    machine.elapsed += 3
    machine.fails_after = 3
    assert machine.upload().status == 1
    settle(machine)
    assert len(machine.sent) == 8
    assert len(machine.s3) == 5


@pytest.mark.parametrize(
    ("status", "more", "failed"),
    [
        (1, "", ["output/a"]),
        (1, "fatal error: Unable to locate credentials", ["output/a", "output/b"]),
        (-9, "", ["output/a", "output/b"]),  # killed: nobody knows how far it came
        (2, "warning: Skipping file output/a. File does not exist.", []),
        (0, "", []),
    ],
)
def test_what_s3_may_lack_is_what_the_cli_names_or_everything(
    home: Path, status: int, more: str, failed: list[str]
) -> None:
    store = Store(cast(Any, None), home, URI)
    errors = f"upload failed: output/a to {URI}/output/a An error occurred\n{more}"
    answer = Answer(status, errors.splitlines()[-1], errors=errors)
    paths = [home / "output/a", home / "output/b"]
    assert sorted(store._failed(answer, paths)) == [home / name for name in failed]


def test_links_are_followed_but_not_round_in_circles(home: Path) -> None:
    machine = Machine(home)
    machine.write("1", "output/a")
    (home / "elsewhere").mkdir()
    machine.write("2", "elsewhere/b")
    (home / "output/link").symlink_to(home / "elsewhere")
    (home / "elsewhere/back").symlink_to(home / "output")
    (home / "output/dangling").symlink_to(home / "gone")
    machine.elapsed += 3
    machine.upload()
    assert machine.s3 == {"output/a": b"1", "output/link/b": b"2"}
    said = machine.store.finish(machine.now() + 60)
    assert said == ["not everything was stored: output/dangling is no regular file"]


def test_a_rewrite_whose_upload_failed_is_stored(home: Path) -> None:
    machine = Machine(home)
    machine.write("1")
    machine.elapsed += 10
    machine.upload()
    machine.write("2")
    machine.elapsed += 10
    machine.fails_after = 0
    machine.upload()
    settle(machine)
    assert machine.stored() == "2"


def test_a_file_that_comes_while_others_are_sent_is_stored(home: Path) -> None:
    machine = Machine(home)
    machine.write("0", "output/b")
    machine.while_sent = lambda: machine.write("1")
    machine.upload()
    settle(machine)
    assert machine.s3 == {"output/a": b"1", "output/b": b"0"}


def test_a_file_s_own_time_is_left_as_it_is(home: Path) -> None:
    machine = Machine(home)
    machine.write("1")
    before = (home / "output/a").stat().st_mtime_ns
    machine.upload()
    machine.elapsed += 1
    machine.upload()
    assert (home / "output/a").stat().st_mtime_ns == before


def test_what_was_restored_is_owed_until_it_is_stored_or_gone(home: Path) -> None:
    machine, owed = Machine(home), {home / "output/a", home / "output/b"}
    machine.write("1", "output/a")
    machine.write("1", "output/b")
    machine.write("1", "output/0")
    machine.store._owed = set(owed)
    machine.fails_after, machine.names_failures = 2, True
    machine.elapsed += 3
    machine.upload()
    assert machine.store._owed == {home / "output/b"}
    (home / "output/b").unlink()
    machine.upload()
    assert machine.store._owed == set()


FILE = st.sampled_from(["output/a", "output/b/c"])
WRITE = st.tuples(st.just("write"), FILE, st.sampled_from(["1", "2", "33"]), st.booleans())
STEP = st.one_of(
    WRITE,
    st.tuples(st.just("wait"), st.sampled_from([0.001, 0.5, 3.0, 60.0])),
    st.tuples(st.just("upload"), st.lists(WRITE, max_size=3)),
    st.tuples(st.just("fail"), st.integers(0, 2), st.booleans()),
)


@settings(max_examples=3 * settings().max_examples // 2)
@given(
    steps=st.lists(STEP, max_size=12),
    tick=st.sampled_from([1e-6, 0.01, 1.0, 2.0]),
)
def test_the_last_version_is_always_in_the_store(steps: list[Any], tick: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder).resolve(), tick)
        (machine.home / "output/b").mkdir()

        def write(_: str, name: str, content: str, aged: bool) -> None:
            machine.write(content, name, machine.now() - 3600 if aged else None)

        def write_next(writes: Iterator[Any]) -> None:
            for each in islice(writes, 1):
                write(*each)

        for kind, *words in steps:
            machine.fails_after = None
            if kind == "write":
                write(kind, *words)
            elif kind == "wait":
                machine.elapsed += words[0]
            elif kind == "fail":
                machine.fails_after = len(machine.sent) + words[0]
                machine.names_failures = words[1]
                machine.upload()
            else:
                machine.while_sent = partial(write_next, iter(words[0]))
                machine.upload()
                machine.while_sent = lambda: None
        settle(machine)
        local = {
            str(path.relative_to(machine.home)): path.read_bytes()
            for path in machine.home.rglob("*")
            if path.is_file()
        }
        assert machine.s3 == local
