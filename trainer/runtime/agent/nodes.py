"""The machines of a run of several: the head, which decides, and the workers, which it tells.

Each worker holds one connection to the head, on which both say a line of JSON now and then. It says
who is there, lets all trainers begin together, tells the workers when the run is over, and by its
end, or its silence, that a machine is gone. It goes by no clock: those of two machines may differ.
Whoever knows the name of the run's log stream, which is a secret of its machines, may connect.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from .head import Head
from .ranks import node_count, node_rank
from .words import Events
from .worker import Worker

if TYPE_CHECKING:
    from .process import Process

Node = Union[Head, Worker]


def node_of(
    receipt: dict[str, Any], home: Path, trainer: Process, events: Events, own_uri: str
) -> Optional[Node]:
    """Return this machine as a node of its run; None if the run has one machine.

    Args:
        own_uri: where this machine stores.
    """
    if node_count() < 2:
        return None
    run_id, attempt = str(receipt["run-id"]), int(receipt.get("attempt", 1))
    folder = own_uri.rpartition("/")[2]
    node: Node = Head(run_id, attempt, events, folder)
    if node_rank():
        node = Worker(run_id, attempt, events, home, trainer.ended, folder)
    trainer.asked = node.asked
    return node


def node_environment(node: Optional[Node], gpus: int) -> dict[str, str]:
    """Return what a trainer finds in its environment of the nodes of its run.

    The names beside ours are those that torch.distributed reads (``env://``).
    """
    values = {
        "PARRIS_NODES": str(node_count()),
        "PARRIS_NODE_RANK": str(node_rank()),
        "PARRIS_GPUS_PER_NODE": str(gpus),
    }
    if node is not None:
        values["PARRIS_NODE_IPS"] = "\n".join(node.addresses)
        values["MASTER_ADDR"], values["MASTER_PORT"] = node.addresses[0], str(node.port)
    return values
