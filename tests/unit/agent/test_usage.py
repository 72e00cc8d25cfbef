"""How busy the machine is, from what the kernel and nvidia-smi say, in a file that stays small."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest

from trainer.runtime.agent import usage
from trainer.runtime.agent.samples import MACHINE, MAX_BYTES, Samples
from trainer.runtime.agent.usage import Gpu, Nvidia, Usage, read_gpus
from trainer.runtime.agent.watch import Idle

MEMINFO = "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:    4000000 kB\n"
NET = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs
    lo: 999999 1 0 0 0 0 0 0 999999 1 0 0 0 0 0 0
  ens5:{received} 2 0 0 0 0 0 0 {sent} 2 0 0 0 0 0 0
"""


def count(proc: Path, *, busy: int, idle: int, received: int, sent: int) -> None:
    (proc / "net").mkdir(exist_ok=True)
    (proc / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 1 1 1\n")
    (proc / "meminfo").write_text(MEMINFO)
    (proc / "net/dev").write_text(NET.format(received=received, sent=sent))


def test_a_sample_is_of_the_time_since_the_one_before(tmp_path: Path) -> None:
    count(tmp_path, busy=100, idle=900, received=1000, sent=10)
    watched = Usage(tmp_path, tmp_path)
    time.sleep(0.05)
    count(tmp_path, busy=175, idle=925, received=501_000, sent=10)
    first = watched.sample([Gpu(90.0, 50.0, 200.0), Gpu(None, 10.0, None)])
    assert first["cpu-percent"] == 75
    assert first["memory-percent"] == 75
    assert 0 < first["disk-percent"] < 100
    assert 0 < first["network-received-bytes-per-second"] <= 500_000 / 0.05
    assert first["network-sent-bytes-per-second"] == 0
    gpus = {name: value for name, value in first.items() if name.startswith("gpu")}
    known = {"gpu0-percent": 90, "gpu0-memory-percent": 50, "gpu0-watts": 200}
    assert gpus == {**known, "gpu1-memory-percent": 10}
    count(tmp_path, busy=175, idle=1025, received=0, sent=0)  # an interface is gone
    second = watched.sample([Gpu(10.0, 50.0, 100.0)])
    assert (second["cpu-percent"], second["network-received-bytes-per-second"]) == (0, 0)
    assert watched.summary()["cpu-percent"] == {"mean": 37.5, "peak": 75}
    assert watched.summary()["gpu0-watts"] == {"mean": 150, "peak": 200}


def test_a_kernel_that_says_nothing_leaves_the_rest(tmp_path: Path) -> None:
    assert list(Usage(tmp_path, tmp_path).sample([])) == ["disk-percent"]


def test_the_machine_of_this_test_can_be_watched(tmp_path: Path) -> None:
    watched = Usage(tmp_path)
    time.sleep(0.05)
    assert {"cpu-percent", "memory-percent", "disk-percent"} <= watched.sample([]).keys()


@pytest.mark.parametrize(
    ("said", "gpus"),
    [
        ("87, 8000, 16000, 213.40\n", [Gpu(87, 50, 213.4)]),
        ("[N/A], 8000, 16000, [Not Supported]\n", [Gpu(None, 50, None)]),
        ("1, 2, 0, 3\n-5, nan, 1, inf\n", [Gpu(1, None, 3), Gpu(None, None, None)]),
        ("No devices were found\n", []),
        ("", []),
    ],
)
def test_what_nvidia_smi_says_is_read(said: str, gpus: list[Gpu]) -> None:
    assert read_gpus(said) == gpus


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_driver_that_hangs_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "NVIDIA_SECONDS", 0.3)
    put(tmp_path, monkeypatch, f"echo x >>{tmp_path}/asked; trap '' TERM; exec sleep 30")
    nvidia = Nvidia()
    assert nvidia.gpus() == []
    held = nvidia._hung
    assert held is not None
    held.poll = lambda: None  # type: ignore[method-assign] # as one that cannot be killed
    assert nvidia.gpus() == []
    assert (tmp_path / "asked").read_text() == "x\n"


@pytest.mark.parametrize("script", ["exit 9", "echo 1, 2, 3, 4; exit 1", "exec yes 1"])
def test_a_driver_that_fails_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    put(tmp_path, monkeypatch, script)
    assert Nvidia().gpus() == []


def test_a_month_of_samples_stays_below_a_megabyte(tmp_path: Path) -> None:
    samples, written, size = Samples(tmp_path), 0, 0
    for minute in range(31 * 24 * 60):
        gpus = {f"gpu{gpu}-percent": 99.9 for gpu in range(8)}
        samples.add({"time": f"{minute:020}", "cpu-percent": 12.3, **gpus})
        now = (tmp_path / MACHINE).stat().st_size
        if now != size:
            written, size = written + now, now
    samples.write()
    lines = (tmp_path / MACHINE).read_text().splitlines()
    assert (tmp_path / MACHINE).stat().st_size <= MAX_BYTES
    minutes = [int(json.loads(line)["time"]) for line in lines]
    steps = {after - before for before, after in pairwise(minutes)}
    assert max(steps) <= 64
    assert minutes[0] < 64
    assert minutes[-1] > 31 * 24 * 60 - 64
    assert written < 200 * MAX_BYTES  # all that it is uploaded in that month


def test_gpus_are_idle_when_all_were_for_all_the_time() -> None:
    idle = Idle(5)
    for minute in range(5):
        assert idle.see([Gpu(0.0, 1, 1), Gpu(3.0, 1, 1)], 60 * minute) == ""
    why = idle.see([Gpu(0.0, 1, 1), Gpu(3.0, 1, 1)], 300)
    assert why.startswith("idle: its 2 GPUs were used 1.5 % on average, and never 5 %, in 6 looks")


@pytest.mark.parametrize(
    "busy", [[Gpu(5.0, 1, 1)], [Gpu(0.0, 1, 1), Gpu(80.0, 1, 1)], [], [Gpu(None, 1, 1)]]
)
def test_one_look_that_is_not_idle_begins_the_time_anew(busy: list[Gpu]) -> None:
    idle = Idle(5)
    for second in range(0, 290, 10):
        assert idle.see([Gpu(0.0, 1, 1)], second) == ""
    assert idle.see(busy, 290) == ""
    for second in range(300, 600, 10):
        assert idle.see([Gpu(0.0, 1, 1)], second) == ""
    assert idle.see([Gpu(0.0, 1, 1)], 600)
