"""A run from its plan to its shipped model."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from pointillist.data.augment.source import SliceSource
from pointillist.data.cache.build import cached
from pointillist.data.cache.settings import CacheSettings
from pointillist.data.dataset import Dataset
from pointillist.errors import DatasetError
from pointillist.methods import Method, build_method
from pointillist.nets.registry import build_net
from pointillist.predict.model import ModelDescription, save_model
from pointillist.runtime.clock import derive_seed
from pointillist.runtime.distributed import rank
from pointillist.train.plan import Plan, read_plan, split_of, write_plan
from pointillist.train.trainer import Progress, Trainer


def train(plan: Plan, run: Path, *, on_progress: Callable[[Progress], None] = lambda _: None) -> None:
    """Start a run and train to its end.

    ``run`` then holds ``run.json``, ``events.jsonl``, ``checkpoints/``, ``model.safetensors`` and ``model.json``.

    Args:
        plan: what decides the run.
        run: its folder; must not hold a run yet.
        on_progress: called now and then.

    Raises:
        DatasetError: if the folder holds a run already.
        InputError: if anything in the plan cannot be; nothing is trained then.
        Stopped: when asked to stop; the run can be resumed.
    """
    if (run / "run.json").exists():
        raise DatasetError(
            "the folder holds a run already",
            where=run,
            expected="a new name",
            received="run.json",
            todo="go on with it by --resume, or choose another name",
        )
    trainer = _prepare(plan, run, on_progress)
    if rank() == 0:
        write_plan(run, plan, _details(plan, trainer))
    _finish(plan, run, trainer, resume=False)


def resume(run: Path, *, on_progress: Callable[[Progress], None] = lambda _: None) -> None:
    """Go on with a run from its newest whole checkpoint.

    On the processor the result is the unbroken run's, bit for bit.

    Raises:
        InputError: if there is no run.
        DamagedFileError: if no checkpoint is whole.
        Stopped: when asked to stop again.
    """
    plan = read_plan(run)
    trainer = _prepare(plan, run, on_progress)
    started = any((run / "checkpoints").glob("step_*.sha256"))
    _finish(plan, run, trainer, resume=started)


def _prepare(plan: Plan, run: Path, on_progress: Callable[[Progress], None]) -> Trainer:
    dataset = Dataset.open(Path(plan.dataset))
    fold, selection = split_of(plan, dataset)
    torch.set_num_threads(plan.threads)
    method = new_method(plan, dataset)
    truth = method.needs.dense_truth
    settings = CacheSettings(plan.size, plan.grid, plan.normalisation, truth=truth)
    cache = cached(dataset, settings)
    source = SliceSource.open(cache, plan.device, labels="truth" if truth else "marks")
    train_slices, selection_slices = cache.subset(fold.train), cache.subset(selection)
    return Trainer(plan, method, source, train_slices, selection_slices, run, on_progress=on_progress)


def new_method(plan: Plan, dataset: Dataset) -> Method:
    """The plan's method on a new network, with weights that the seed decides."""
    torch.manual_seed(derive_seed(plan.seed, "weights"))
    net = build_net(plan.net, len(dataset.spec.channels), len(dataset.spec.classes))
    method = build_method(plan.method, net, dataset.spec, plan.settings)
    return cast("Method", nn.Module.to(method, memory_format=torch.channels_last))  # type: ignore[call-overload]


def _finish(plan: Plan, run: Path, trainer: Trainer, *, resume: bool) -> None:
    began = time.monotonic()
    trainer.fit(resume=resume)
    if plan.recalibrate_bn:
        trainer.recalibrate()
    if rank() != 0:
        return
    dataset = Dataset.open(Path(plan.dataset))
    description = ModelDescription(
        net=plan.net,
        classes=dataset.spec.classes,
        channels=dataset.spec.channels,
        normalisation=plan.normalisation,
        size=plan.size,
        grid=plan.grid,
        provenance={
            "method": plan.method,
            "settings": plan.settings,
            "dataset": dataset.name,
            "data": trainer.source.cache.key,
            "fold": plan.fold,
            "iterations": plan.iterations,
            "seed": plan.seed,
            "recalibrated_bn": plan.recalibrate_bn,
            "minutes": round((time.monotonic() - began) / 60, 2),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        },
    )
    save_model(run, trainer.method.predictor(), description)


def _details(plan: Plan, trainer: Trainer) -> dict[str, Any]:
    return {
        "data": trainer.source.cache.key,
        "recipe": asdict(plan.recipe),
        "slices": {"train": len(trainer.train), "selection": len(trainer.selection)},
    }
