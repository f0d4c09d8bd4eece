"""Device, precision and processes, through Lightning Fabric."""

from __future__ import annotations

import logging
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from pointillist.train.plan import Plan


def launch(plan: Plan) -> Fabric:
    """One process, or, when torchrun started several, all of them."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces what the plan says already
    torch.set_num_threads(plan.threads)
    accelerator = "cuda" if plan.device.startswith("cuda") else "cpu"
    local, total = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    # each process keeps its own BatchNorm statistics and queues; they are averaged or gathered where that is due
    several = DDPStrategy(broadcast_buffers=False, process_group_backend="nccl" if accelerator == "cuda" else "gloo")
    fabric = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=total // local,
        strategy=several if total > 1 else "auto",
        precision=plan.precision,
    )
    fabric.launch()
    return fabric
