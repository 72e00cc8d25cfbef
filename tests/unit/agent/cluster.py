"""Machines that are the nodes of one run, each with its agent."""

from __future__ import annotations

import contextlib
import random
import subprocess
from pathlib import Path
from typing import Any

from tests.unit.agent.machine import LOG_STREAM, Machine, metadata

TALK = """
import os, socket, sys, time
rank, nodes = int(os.environ["PARRIS_NODE_RANK"]), int(os.environ["PARRIS_NODES"])
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    with socket.create_server(place) as server:
        heard = sorted(server.accept()[0].recv(9).decode() for _ in range(nodes - 1))
    print("ranks", *heard, flush=True)
else:
    for _ in range(100):
        try:
            socket.create_connection(place).sendall(str(rank).encode())
            break
        except OSError:
            time.sleep(0.1)
print("nodes", os.environ["PARRIS_NODE_IPS"].split(), flush=True)
"""


class Cluster:
    """Machines that are the nodes of one run, each with its agent."""

    def __init__(self, folder: Path, count: int, held: contextlib.ExitStack) -> None:
        place = f"127.{random.randrange(64, 120)}.{random.randrange(256)}"  # noqa: S311
        self.machines = [Machine(folder / f"m{rank}") for rank in range(count)]
        self.environs: list[dict[str, str]] = []
        self.agents: list[subprocess.Popen[bytes]] = []
        for rank, machine in enumerate(self.machines):
            machine.patience |= {
                "NODE_BEAT_SECONDS, NODE_SILENT_SECONDS": "0.3, 2",
                "NODES_SECONDS": "6",
                "SPOT_SECONDS": "0.3",
                "CONTROL_SECONDS": "0.3",
            }
            documents = {"meta-data/local-ipv4": f"{place}.{rank + 1}"}
            service = held.enter_context(metadata(documents))
            self.environs.append(
                {
                    "PARRIS_NODES": str(count),
                    "PARRIS_NODE_RANK": str(rank),
                    "PARRIS_HEAD": f"{place}.1",
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint,
                }
            )
            machine.documents = service.documents  # type: ignore[attr-defined]
        self.addresses = [f"{place}.{rank + 1}" for rank in range(count)]

    def start(self, script: str, **environ: str) -> None:
        for machine, own in zip(self.machines, self.environs, strict=True):
            machine.script(script)
            self.agents.append(machine.start(**own, **environ))

    def wait(self, seconds: float = 30) -> list[dict[str, Any]]:
        for agent in self.agents:
            agent.wait(seconds)
        return [machine.outcome() for machine in self.machines]

    def kill(self, rank: int) -> None:
        """Let a machine vanish: no process of it is asked, as when its host fails."""
        self.agents[rank].kill()
        self.machines[rank].unplug()

    def messages(self, rank: int) -> list[str]:
        if rank == 0:
            return self.machines[0].messages
        path = self.machines[rank].folder / "logs/parris/runs" / f"{LOG_STREAM}-{rank}"
        return path.read_text().splitlines() if path.exists() else []
