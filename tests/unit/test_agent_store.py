"""What the agent leaves in S3, whatever the clocks say: the last version of each file, always.

The clocks are played: the machine's, its file system's (with a tick), and S3's.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

AGENT = Path(__file__).resolve().parents[2] / "trainer/runtime/agent.py"
URI = "s3://results/runs/digits/r1"
INTERVAL = 5.0


def load_agent() -> ModuleType:
    spec = importlib.util.spec_from_file_location("agent_under_test", AGENT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its annotations are looked up there
    spec.loader.exec_module(module)
    return module


agent = load_agent()


class Machine:
    """A machine's files, its clocks, and an S3 as `aws s3 sync` and `aws s3 cp` know it."""

    def __init__(self, home: Path, tick: float = 0.004, skew: float = 0) -> None:
        self.home, self.tick, self.skew = home, tick, skew
        self.elapsed, self.ahead = 0.5, 1_000_000.0  # within a tick of 1 s or 2 s
        self.times: dict[Path, tuple[float, float]] = {}
        self.s3: dict[str, tuple[bytes, float]] = {}
        self.sent: list[str] = []
        self.before_read: Callable[[], None] = lambda: None
        self.while_sent: Callable[[], None] = lambda: None
        self.fails_after: int | None = None
        for name in agent.FOLDERS:
            (home / name).mkdir(parents=True)
        self.store = agent.Store(self, home, URI)
        self.store._files = self._files

    def now(self) -> float:
        return self.elapsed + self.ahead

    def write(self, content: str, name: str = "output/a", modified: float | None = None) -> None:
        path = self.home / name
        path.write_text(content)
        now = math.floor(self.now() / self.tick) * self.tick
        self.times[path] = (now if modified is None else modified, now)

    def upload(self, name: str = "output") -> Any:
        """As every `sync-interval-seconds`."""
        played = SimpleNamespace(time=self.now, monotonic=lambda: self.elapsed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(agent, "time", played)
            return self.store._upload(name, 60)

    def stored(self, name: str = "output/a") -> str:
        return self.s3[name][0].decode()

    def call(self, *words: str, timeout: float = 30) -> Any:
        """Do what `aws s3 sync` and `aws s3 cp --recursive` are documented to do."""
        assert timeout > 0
        self.before_read()
        verb, source, target = words[1], Path(words[-2]), words[-1].removeprefix(URI + "/")
        files = [path for path in source.rglob("*") if path.is_file()]
        for path in files or [source]:
            name = f"{target}/{path.relative_to(source)}" if path != source else target
            content, known = path.read_bytes(), self.s3.get(name)
            modified = self.times[path.resolve()][0]
            if verb == "sync" and known and len(known[0]) == len(content) and known[1] >= modified:
                continue
            if self.fails_after is not None and len(self.sent) >= self.fails_after:
                return agent.Answer(1, "upload failed: Could not connect")
            self.while_sent()
            self.elapsed += 0.1
            self.sent.append(name)
            self.s3[name] = content, math.floor(self.now() + self.skew)
        return agent.Answer(0, "")

    def _files(self, name: str) -> dict[Path, Any]:
        # Of the true stat, only the times are not: they are of the played clock.
        found = agent.Store._files(self.store, name)
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


CLOCKS = [
    pytest.param({"tick": tick, "skew": skew}, id=f"tick {tick} s, S3 {skew:+} s")
    for tick in (1e-9, 0.01, 1.0, 2.0)
    for skew in (-900.0, -2.0, 0.0, 2.0, 900.0)
]


@pytest.mark.parametrize("clocks", CLOCKS)
def test_a_rewrite_while_it_is_sent_is_stored(home: Path, clocks: dict[str, float]) -> None:
    machine = Machine(home, **clocks)
    machine.write("1")
    machine.while_sent = lambda: machine.write("2")
    machine.upload()
    settle(machine)
    assert machine.stored() == "2"


@pytest.mark.parametrize("clocks", CLOCKS)
@pytest.mark.parametrize("pause", [0, 0.3, 10])
def test_a_rewrite_right_after_it_was_sent_is_stored(
    home: Path, clocks: dict[str, float], pause: float
) -> None:
    machine = Machine(home, **clocks)
    machine.write("1")
    machine.upload()
    machine.elapsed += pause
    machine.write("2")
    settle(machine)
    assert machine.stored() == "2"


@pytest.mark.parametrize("clocks", CLOCKS)
def test_a_file_whose_time_was_set_back_is_stored(home: Path, clocks: dict[str, float]) -> None:
    machine = Machine(home, **clocks)  # cp -p best.pkl output/a
    machine.write("1", modified=machine.now() - 3600)
    machine.elapsed += 60
    machine.upload()
    machine.elapsed += 60
    machine.write("2", modified=machine.now() - 3600)
    settle(machine)
    assert machine.stored() == "2"


def test_a_file_that_grew_before_it_was_read_and_changed_again_is_stored(home: Path) -> None:
    machine = Machine(home, skew=900)
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
    assert len(machine.sent) <= 3  # of a time to come, sync sends it once more by itself
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
    machine.fails_after = 40
    assert machine.upload().status == 1
    settle(machine)
    assert len(machine.sent) == 50
    assert len(machine.s3) == 50


def test_a_rewrite_whose_upload_failed_is_stored(home: Path) -> None:
    machine = Machine(home, skew=900)
    machine.write("1")
    machine.elapsed += 10
    machine.upload()
    machine.write("2")
    machine.elapsed += 10
    machine.fails_after = 0
    machine.upload()
    settle(machine)
    assert machine.stored() == "2"


@pytest.mark.parametrize("clocks", CLOCKS)
@pytest.mark.parametrize("aged", [0, 3600])
def test_a_file_that_comes_and_is_rewritten_while_others_are_sent_is_stored(
    home: Path, clocks: dict[str, float], aged: float
) -> None:
    machine = Machine(home, **clocks)
    machine.write("0", "output/b")

    def come() -> None:
        if "output/a" in machine.sent:
            return
        there = (home / "output/a").exists()
        machine.write("2" if there else "1", modified=machine.now() - aged if there else None)

    machine.upload()
    machine.write("00", "output/b")
    machine.while_sent = come
    machine.upload()  # output/a was not there when it began
    machine.elapsed += 10
    settle(machine)
    assert machine.stored() == "2"


def test_a_file_s_own_time_is_left_as_it_is(home: Path) -> None:
    machine = Machine(home)
    machine.write("1")
    before = (home / "output/a").stat().st_mtime_ns
    machine.upload()
    machine.elapsed += 1
    machine.upload()
    assert (home / "output/a").stat().st_mtime_ns == before


FILE = st.sampled_from(["output/a", "output/b/c"])
WRITE = st.tuples(st.just("write"), FILE, st.sampled_from(["1", "2", "33"]), st.booleans())
STEP = st.one_of(
    WRITE,
    st.tuples(st.just("wait"), st.sampled_from([0.001, 0.5, 3.0, 60.0])),
    st.tuples(st.just("upload"), st.lists(WRITE, max_size=3)),
    st.tuples(st.just("fail"), st.integers(0, 2)),
)


@settings(max_examples=3 * settings().max_examples // 2)
@given(
    steps=st.lists(STEP, max_size=12),
    tick=st.sampled_from([1e-6, 0.01, 1.0, 2.0]),
    skew=st.sampled_from([-900.0, -1.5, 0.0, 0.5, 900.0]),
)
def test_the_last_version_is_always_in_the_store(
    steps: list[Any], tick: float, skew: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder).resolve(), tick, skew)
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
        assert {name: content for name, (content, _) in machine.s3.items()} == local
