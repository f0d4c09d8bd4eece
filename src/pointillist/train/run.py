"""A run from its plan to its shipped model."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pointillist.data.augment.source import SliceSource
from pointillist.data.cache.build import cached
from pointillist.data.cache.settings import CacheSettings
from pointillist.data.dataset import Dataset
from pointillist.errors import DatasetError, InputError
from pointillist.methods import Method, build_method
from pointillist.nets.registry import build_net
from pointillist.predict.model import ModelDescription, read_description, save_model
from pointillist.runtime.clock import derive_seed
from pointillist.runtime.distributed import rank
from pointillist.runtime.events import EventLog
from pointillist.runtime.memory import keep_freed_memory
from pointillist.train.earlier import build_on_earlier
from pointillist.train.pace import affordable_iterations
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
    ready = _prepare(plan)
    plan = _resolved(plan, ready, run)
    trainer = _trainer(plan, ready, run, on_progress)
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
    started = any((run / "checkpoints").glob("step_*.sha256"))
    ready = _prepare(replace(plan, init=None) if started else plan)  # a checkpoint needs the earlier run no more
    _finish(plan, run, _trainer(plan, ready, run, on_progress), resume=started)


@dataclass(frozen=True, eq=False)
class _Ready:
    """What a run begins with: the method, and slices by number."""

    dataset: Dataset
    method: Method
    source: SliceSource
    train: NDArray[np.int64]
    selection: NDArray[np.int64]


def _prepare(plan: Plan) -> _Ready:
    dataset = Dataset.open(Path(plan.dataset))
    torch.set_num_threads(plan.threads)
    keep_freed_memory()
    method = new_method(plan, dataset)
    truth = method.needs.dense_truth
    _refuse_truth(plan, dataset, wanted=truth)
    split_of(plan, dataset)  # a fold that is not there is said before a cache is made
    cache = cached(dataset, CacheSettings(plan.size, plan.grid, plan.normalisation, truth=truth))
    everything = cache.subset(case.id for case in dataset.training)
    usable = cache.marked(everything) if plan.only_marked and not truth else everything
    if not len(usable):
        raise _unmarked(plan, "training")
    among = frozenset(cache.ids[number].partition("/")[0] for number in usable.tolist())
    fold, held_out = split_of(plan, dataset, among=among)
    train_slices, validation = (
        slices[np.isin(slices, usable)] for slices in (cache.subset(fold.train), cache.subset(held_out))
    )
    for slices, role in ((train_slices, "training"), (validation, "held-out training")):
        if len(slices) and not truth and not len(cache.marked(slices)):
            raise _unmarked(plan, role)
    source = SliceSource.open(cache, plan.device, labels="truth" if truth else "marks")
    return _Ready(dataset, method, source, train_slices, validation)


def _unmarked(plan: Plan, role: str) -> InputError:
    return InputError(
        f"no {role} case holds a mark",
        where=f"{plan.dataset}, fold {plan.fold}",
        expected="points or scribbles in labelsTr",
        received="unmarked pixels alone",
        todo="draw marks with `pointillist simulate`, or import label images as sparse with --unlabelled",
    )


def _resolved(plan: Plan, ready: _Ready, run: Path) -> Plan:
    """The plan with what only data, weights and the machine decide."""
    if plan.only_marked:  # the first few marked images may be fewer than a batch
        plan = replace(plan, batch=min(plan.batch, len(ready.train)))
    if plan.init is not None:
        plan = replace(plan, init_sha256=read_description(Path(plan.init)).sha256)
    if plan.minutes is not None:
        plan = replace(plan, iterations=affordable_iterations(plan, ready.method, ready.source, ready.train, run))
    return plan


def _trainer(plan: Plan, ready: _Ready, run: Path, on_progress: Callable[[Progress], None]) -> Trainer:
    return Trainer(plan, ready.method, ready.source, ready.train, ready.selection, run, on_progress=on_progress)


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
    """The plan's method on a new network, with weights of an earlier run, or of the encoder's file and the seed."""
    torch.manual_seed(derive_seed(plan.seed, "weights"))
    net = build_net(plan.net, len(dataset.spec.channels), len(dataset.spec.classes))
    if plan.pretrained is not None:
        net.load_encoder(Path(plan.pretrained))
    if plan.init is not None:
        method = build_on_earlier(plan, net, dataset)
    else:
        method = build_method(plan.method, net, dataset.spec, plan.settings)
    return cast("Method", nn.Module.to(method, memory_format=torch.channels_last))  # type: ignore[call-overload]


def _finish(plan: Plan, run: Path, trainer: Trainer, *, resume: bool) -> None:
    def keep(step: int) -> None:
        _save(plan, run / KEPT / f"step_{step:08d}", trainer, step)

    trainer.fit(resume=resume, keep=keep)
    if plan.recalibrate_bn:
        trainer.recalibrate()
    _save(plan, run, trainer, plan.iterations)
    if rank() == 0:
        with EventLog(run / "events.jsonl") as log:
            log.write("model", step=plan.iterations)


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
            "init": plan.init and {"run": Path(plan.init).name, "sha256": plan.init_sha256},
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
