"""A small network learns a function on several machines: DistributedDataParallel by gloo or NCCL.

The batch of all processes together is always the same 64 samples, in an order that follows from the
epoch alone, so one, two and four machines come to the same loss. The head saves a checkpoint after
each epoch; whoever begins later goes on from it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

SAMPLES, BATCH = 512, 64
EPOCHS = int(os.environ.get("PARRIS_PARAM_EPOCHS", "10"))
PAUSE = float(os.environ.get("PARRIS_PARAM_PAUSE", "0"))  # seconds an epoch, for a look at it
OUTPUT = Path(os.environ["PARRIS_OUTPUT_DIR"])
# torchrun gives ranks of its own, by which rank 0 may be on any machine: c10d sorts them by name.
WRITES = os.environ.get("PARRIS_NODE_RANK", "0") == "0" and os.environ["LOCAL_RANK"] == "0"
CHECKPOINT = Path(os.environ["PARRIS_CHECKPOINT_DIR"]) / "checkpoint.pt"


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the samples, the same on every machine."""
    source = torch.Generator().manual_seed(1)
    inputs = torch.rand(SAMPLES, 8, generator=source, dtype=torch.float64)
    return inputs, torch.sin(3 * inputs.sum(dim=1, keepdim=True))


def save(model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    """Save a checkpoint, whole or not at all: tensors and whole numbers, for any version."""
    momenta = optimizer.state_dict()["state"]
    state = {"model": model.state_dict(), "momenta": momenta, "epoch": epoch}
    torch.save(state, CHECKPOINT.with_suffix(".new"))
    CHECKPOINT.with_suffix(".new").replace(CHECKPOINT)


def main() -> None:
    """Train, as one of several processes."""
    cuda = torch.cuda.is_available()
    distributed.init_process_group("nccl" if cuda else "gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)).double().to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    first = 1
    if CHECKPOINT.exists():
        state = torch.load(CHECKPOINT, map_location=device, weights_only=True)
        network.load_state_dict(state["model"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state["momenta"]})
        first = state["epoch"] + 1
    model = DistributedDataParallel(network, device_ids=[device.index] if cuda else None)
    inputs, targets = (tensor.to(device) for tensor in data())
    print(f"rank {rank} of {world} begins with epoch {first}", flush=True)
    for epoch in range(first, EPOCHS + 1):
        order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(epoch))
        total = torch.zeros((), dtype=torch.float64, device=device)
        for start in range(0, SAMPLES, BATCH):
            own = order[start : start + BATCH][rank::world].to(device)
            loss = nn.functional.mse_loss(model(inputs[own]), targets[own])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        distributed.all_reduce(total)
        mean = float(total) / world / (SAMPLES // BATCH)
        if WRITES:
            save(network, optimizer, epoch)
            with (OUTPUT / "metrics.jsonl").open("a") as file:
                print(json.dumps({"step": epoch, "loss": mean}), file=file)
            print(f"epoch {epoch}: loss {mean:.12f}", flush=True)
        time.sleep(PAUSE)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
