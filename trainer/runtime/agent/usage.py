"""How busy the machine is: its processors, memory, disk, network and GPUs."""

from __future__ import annotations

import contextlib
import math
import os
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from .limits import NVIDIA_SECONDS

MAX_GPUS = 16
MAX_OUTPUT = 64 << 10
"""Bytes of nvidia-smi's answer: a line a GPU."""
NVIDIA_SMI = (
    "nvidia-smi",
    "--query-gpu=utilization.gpu,memory.used,memory.total,power.draw",
    "--format=csv,noheader,nounits",
)
"""Percent, MiB, MiB, watts (`nvidia-smi --help-query-gpu`)."""

Sample = dict[str, float]
"""One moment of the machine: numbers by name, as in machine.jsonl (docs/contracts.md)."""


class Gpu(NamedTuple):
    """What nvidia-smi says of one GPU; None where it says `[N/A]`, as of a part of one (MIG)."""

    percent: Optional[float]
    memory_percent: Optional[float]
    watts: Optional[float]


class Counters(NamedTuple):
    """What the kernel has counted since boot, and when it was asked."""

    moment: float
    busy: float
    total: float
    received: float
    sent: float


def read_cpu(text: str) -> tuple[float, float]:
    """Return how long the processors were busy, and how long in all, from /proc/stat.

    The first line has ticks: user nice system idle iowait irq softirq steal guest guest_nice, of
    which user and nice contain the last two (proc_stat(5)).
    """
    ticks = [float(word) for word in text.splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def read_memory(text: str) -> float:
    """Return the percentage of memory that is not available to more processes (/proc/meminfo)."""
    lines = (line.split() for line in text.splitlines())
    sizes = {words[0]: float(words[1]) for words in lines if len(words) > 1}
    return 100 * (1 - sizes["MemAvailable:"] / sizes["MemTotal:"])


def read_network(text: str) -> tuple[float, float]:
    """Return the bytes received and sent by all interfaces but loopback (/proc/net/dev)."""
    received = sent = 0.0
    for line in text.splitlines():
        name, found, counts = line.partition(":")
        if found and name.strip() != "lo":
            received += float(counts.split()[0])
            sent += float(counts.split()[8])
    return received, sent


def read_gpus(text: str) -> list[Gpu]:
    """Return the GPUs in an answer to NVIDIA_SMI; none if it is no such answer."""
    gpus = []
    for line in text.splitlines()[:MAX_GPUS]:
        words = line.split(",")
        if len(words) != 4:
            return []
        percent, used, total, watts = (_number(word) for word in words)
        memory = 100 * used / total if used is not None and total else None
        gpus.append(Gpu(percent, memory, watts))
    return gpus


def _number(word: str) -> Optional[float]:
    with contextlib.suppress(ValueError):
        number = float(word)
        if 0 <= number < math.inf:
            return number
    return None


class Nvidia:
    """Asks nvidia-smi, where there is one; a driver that does not answer holds nobody up."""

    def __init__(self) -> None:
        self._hung: Optional[subprocess.Popen[bytes]] = None

    def gpus(self) -> list[Gpu]:
        """Return the GPUs as they are; none if nvidia-smi is not there, or does not say."""
        if self._hung is not None and self._hung.poll() is None:
            return []  # each further one would hang beside it
        if shutil.which(NVIDIA_SMI[0]) is None:
            return []
        try:
            process = subprocess.Popen(
                NVIDIA_SMI,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return []
        until, output, ended = time.monotonic() + NVIDIA_SECONDS, b"", False
        with process.stdout as pipe:  # type: ignore[union-attr] # as asked for above
            while len(output) <= MAX_OUTPUT and not ended:
                if not select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
                    break
                chunk = os.read(pipe.fileno(), MAX_OUTPUT)
                output, ended = output + chunk, not chunk
        try:
            status = process.wait(1) if ended else None
        except subprocess.TimeoutExpired:
            status = None
        if status is None:
            process.kill()
            self._hung = process  # it may be one that cannot be killed (state D, proc_pid_stat(5))
        return read_gpus(output.decode(errors="replace")) if status == 0 else []


class GpuCount(threading.Thread):
    """Counts the machine's GPUs, beside what else is done before a trainer begins."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="gpu-count")
        self._count = 0
        self.start()

    def run(self) -> None:
        self._count = len(Nvidia().gpus())

    def result(self) -> int:
        """Return how many there are; 0 if nvidia-smi is not there, or does not say."""
        self.join(NVIDIA_SECONDS)
        return self._count


class Usage:
    """Samples of the machine, each of the time since the one before; their means and peaks."""

    def __init__(self, home: Path, proc: Path = Path("/proc")) -> None:
        self._home, self._proc = home, proc
        self._before = self._count()
        self._sums: dict[str, tuple[int, float, float]] = {}

    def sample(self, gpus: Iterable[Gpu]) -> Sample:
        """Return how it is now, and note it for `summary`.

        Args:
            gpus: as they are now, or were on average.
        """
        now, before = self._count(), self._before
        found: Sample = {}
        if now is not None and before is not None and now.total > before.total:
            found["cpu-percent"] = 100 * (now.busy - before.busy) / (now.total - before.total)
            seconds = max(now.moment - before.moment, 0.001)
            for name in ("received", "sent"):
                count = max(0.0, getattr(now, name) - getattr(before, name))  # one may be gone
                found[f"network-{name}-bytes-per-second"] = count / seconds
        with contextlib.suppress(OSError, ValueError, LookupError, ZeroDivisionError):
            found["memory-percent"] = read_memory((self._proc / "meminfo").read_text())
        with contextlib.suppress(OSError, ZeroDivisionError):
            disk = os.statvfs(self._home)
            used = disk.f_blocks - disk.f_bfree
            found["disk-percent"] = 100 * used / (used + disk.f_bavail)  # as df(1) has it
        for number, gpu in enumerate(gpus):
            for name, value in gpu._asdict().items():
                if value is not None:
                    found[f"gpu{number}-{name.replace('_', '-')}"] = value
        self._before = now
        found = {name: round(value, 1) for name, value in found.items()}
        for name, value in found.items():
            count, total, peak = self._sums.get(name, (0, 0.0, -math.inf))
            self._sums[name] = count + 1, total + value, max(peak, value)
        return found

    def summary(self) -> dict[str, Mapping[str, float]]:
        """Return mean and peak of each number over all samples."""
        return {
            name: {"mean": round(total / count, 1), "peak": peak}
            for name, (count, total, peak) in self._sums.items()
        }

    def _count(self) -> Optional[Counters]:
        with contextlib.suppress(OSError, ValueError, LookupError):
            cpu = read_cpu((self._proc / "stat").read_text())
            network = read_network((self._proc / "net/dev").read_text())
            return Counters(time.monotonic(), *cpu, *network)
        return None
