"""Which node of its run a machine is, and what follows from that alone."""

from __future__ import annotations

import os
import time
import zlib

from .machine import METADATA_ERRORS, read_metadata


def node_rank() -> int:
    """Return which node of its run this machine is; 0 is the head, and a machine alone."""
    return int(os.environ.get("PARRIS_NODE_RANK", "0"))


def node_count() -> int:
    return int(os.environ.get("PARRIS_NODES", "1"))


def log_stream() -> str:
    """Return the name of this node's log stream: a worker's is the run's with its rank."""
    name, rank = os.environ["PARRIS_LOG_STREAM"], node_rank()
    return f"{name}-{rank}" if rank else name


def ports(run_id: str, attempt: int) -> tuple[int, int]:
    """Return the port for the trainers' own rendezvous, and that of the head's agent.

    They lie below those that Linux gives out by itself (ip_local_port_range, ip(7)), and differ by
    run, since on the embedded cloud all machines are one.
    """
    port = 20000 + 2 * (zlib.crc32(f"{run_id}/{attempt}".encode()) % 6000)
    return port, port + 1


def own_address() -> str:
    """Return this machine's private address.

    Raises:
        OSError: if metadata does not say.
    """
    for pause in (1, 2, 4, 0):
        try:
            return read_metadata("local-ipv4").strip()
        except METADATA_ERRORS as error:
            said = f"instance metadata does not say this machine's address: {error}"
            time.sleep(pause)
    raise OSError(said)
