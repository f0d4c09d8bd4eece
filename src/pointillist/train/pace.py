"""How long a step takes, and how many a time budget holds."""

from __future__ import annotations

import copy
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pointillist.data.augment.loader import make_batch
from pointillist.data.augment.recipes import augmentation_named
from pointillist.data.augment.source import SliceSource
from pointillist.data.batch import Batch
from pointillist.data.targets import TargetStore
from pointillist.errors import InputError
from pointillist.methods import Method, Moment, Recipe
from pointillist.runtime.clock import Clock
from pointillist.train.plan import Plan
from pointillist.train.recipe import build_optimizer

_STEPS = 3
_SECONDS = 2.0  # steps are timed for at least so long: the first ones of a process are slow
_WITHOUT_GRADIENT = 1 / 3  # of a step's time
_HALF_WAY = Clock(seed=0, step=500, epoch=0, total=1000)


def seconds_a_step(
    method: Method,
    recipe: Recipe,
    batch_of: Callable[[int], Batch],
    *,
    device: torch.device | str,
    precision: str,
    clock: Clock = _HALF_WAY,
    seconds: float = 0.0,
) -> float:
    """Median time of an optimiser step, loading included; the method is trained on the way.

    Args:
        method: moved to the device.
        recipe: how it is optimised.
        batch_of: gives the batch of each step, counted from 0.
        device: where to compute.
        precision: ``bf16-mixed`` or ``32-true``.
        clock: half-way through a run by default, when every term has begun.
        seconds: go on for so long.
    """
    where = torch.device(device)
    nn.Module.to(method.to(where).train(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(recipe, method.param_groups(recipe.lr))
    times: list[float] = []
    while len(times) < 1 + _STEPS or sum(times) < seconds:
        began = time.perf_counter()
        batch = batch_of(len(times)).to(where)
        with torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = method(Moment(batch, clock))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # waits for an accelerator
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def affordable_iterations(plan: Plan, method: Method, source: SliceSource, train: NDArray[np.int64], run: Path) -> int:
    """How many steps fit into the plan's minutes, from a few steps of a copy of the method on real batches.

    Re-estimates of BatchNorm statistics are allowed for: a pass over the training slices without gradients each. What
    a method does before training and between epochs, and validation itself, come on top.

    Args:
        plan: with ``minutes``.
        method: stays as it is.
        source: training images.
        train: numbers of the training slices.
        run: folder of the run.

    Raises:
        InputError: if several processes train together.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "several processes cannot share a time budget",
            where="--minutes",
            expected="--iterations",
            received=f"--minutes {plan.minutes:g}, {os.environ['WORLD_SIZE']} processes",
            todo="give --iterations, the same for all",
        )
    augmentation = augmentation_named(plan.augmentation)
    targets = TargetStore(run / "targets") if method.needs.soft_targets else None
    per_epoch = max(1, len(train) // plan.batch)

    def batch_of(step: int) -> Batch:
        first = step % per_epoch * plan.batch
        chosen = train[first : first + plan.batch]
        shared = method.needs.shared_geometry
        return make_batch(source, chosen, augmentation, seed=0, epoch=0, shared_geometry=shared, targets=targets)

    torch.manual_seed(0)
    step = seconds_a_step(
        copy.deepcopy(method),
        plan.recipe,
        batch_of,
        device=plan.device,
        precision=plan.precision,
        seconds=min(_SECONDS, 3 * (plan.minutes or 0)),
    )
    recalibration = _WITHOUT_GRADIENT * step * math.ceil(len(train) / plan.batch) if plan.recalibrate_bn else 0.0
    each = step + (recalibration / plan.validate_every if plan.validates else 0.0)
    return max(1, int((60 * (plan.minutes or 0) - recalibration) / each))
