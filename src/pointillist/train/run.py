"""A run from its plan to its shipped model."""

from __future__ import annotations

import resource
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
from pointillist.errors import DatasetError, InputError
from pointillist.methods import Method, build_method
from pointillist.nets.registry import build_net
from pointillist.predict.model import ModelDescription, save_model
from pointillist.runtime.clock import derive_seed
from pointillist.runtime.distributed import rank
from pointillist.runtime.memory import keep_freed_memory
from pointillist.train.plan import Plan, read_plan, split_of, write_plan
from pointillist.train.trainer import Progress, Trainer

KEPT = "kept"
"""Folder of the models that a run keeps on the way."""


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
    torch.set_num_threads(plan.threads)
    keep_freed_memory()
    method = new_method(plan, dataset)
    truth = method.needs.dense_truth
    _refuse_truth(plan, dataset, wanted=truth)
    fold, held_out = split_of(plan, dataset, hold_out=plan.select == "marks" or method.needs.validation)
    cache = cached(dataset, CacheSettings(plan.size, plan.grid, plan.normalisation, truth=truth))
    source = SliceSource.open(cache, plan.device, labels="truth" if truth else "marks")
    train_slices, validation = cache.subset(fold.train), cache.subset(held_out)
    for slices, role in ((train_slices, "training"), (validation, "held-out training")):
        if len(slices) and not truth and not cache.marked(slices):
            raise InputError(
                f"no {role} case holds a mark",
                where=f"{dataset.root}, fold {plan.fold}",
                expected="points or scribbles in labelsTr",
                received="unmarked pixels alone",
                todo="draw marks with `pointillist simulate`, or import label images as sparse with --unlabelled",
            )
    return Trainer(plan, method, source, train_slices, validation, run, on_progress=on_progress)


def _refuse_truth(plan: Plan, dataset: Dataset, *, wanted: bool) -> None:
    """Dense truth is for the methods that say so, and never chooses weights."""
    if wanted and plan.select == "marks":
        raise InputError(
            f"method {plan.method} learns from dense truth, and would select on it",
            where="--select",
            expected="last",
            received="marks",
            todo="leave --select out",
        )
    if not wanted and not dataset.sparse:
        raise InputError(
            "the labels of the dataset are dense truth, not marks",
            where=f"{dataset.root / 'dataset.json'}, field labels",
            expected="an 'ignore' label, for pixels that nobody marked",
            received=", ".join(dataset.spec.classes),
            todo="draw marks with `pointillist simulate`, or train the bound: --method full",
        )


def new_method(plan: Plan, dataset: Dataset) -> Method:
    """The plan's method on a new network, with weights of the encoder's file and such as the seed decides."""
    torch.manual_seed(derive_seed(plan.seed, "weights"))
    net = build_net(plan.net, len(dataset.spec.channels), len(dataset.spec.classes))
    if plan.pretrained is not None:
        net.load_encoder(Path(plan.pretrained))
    method = build_method(plan.method, net, dataset.spec, plan.settings)
    return cast("Method", nn.Module.to(method, memory_format=torch.channels_last))  # type: ignore[call-overload]


def _finish(plan: Plan, run: Path, trainer: Trainer, *, resume: bool) -> None:
    def keep(step: int) -> None:
        _save(plan, run / KEPT / f"step_{step:08d}", trainer, step)

    trainer.fit(resume=resume, keep=keep)
    if plan.recalibrate_bn:
        trainer.recalibrate()
    _save(plan, run, trainer, plan.iterations)


def _save(plan: Plan, folder: Path, trainer: Trainer, step: int) -> None:
    """Write the model as it is now, by one process alone."""
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
            "iterations": step,
            "pretrained": plan.pretrained and Path(plan.pretrained).name,
            "seed": plan.seed,
            "recalibrated_bn": plan.recalibrate_bn,
            "minutes": round(trainer.seconds / 60, 2),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        },
    )
    save_model(folder, trainer.method.predictor(), description)


def _details(plan: Plan, trainer: Trainer) -> dict[str, Any]:
    return {
        "data": trainer.source.cache.key,
        "recipe": asdict(plan.recipe),
        "slices": {"train": len(trainer.train), "selection": len(trainer.selection)},
    }
