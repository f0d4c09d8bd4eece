"""Everything that decides a run, resolved before it starts and written to run.json."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter, ValidationError

import pointillist
from pointillist.data.cache.grids import GridName
from pointillist.data.cache.normalise import NormalisationName
from pointillist.data.compressed import read_bytes
from pointillist.data.dataset import Dataset
from pointillist.data.split import Split, drawn_groups, held_out
from pointillist.data.writers import write_json
from pointillist.errors import InputError
from pointillist.methods import Recipe, method_named
from pointillist.predict.device import choose_precision


@dataclass(frozen=True)
class Plan:
    """A training run.

    Attributes:
        dataset: folder of the dataset.
        method: name of the method.
        settings: of the method, where they differ from its defaults.
        fold: counted from 1 as in the papers; None trains on every training case.
        groups: patients or slides that are trained on, drawn by the seed, fewer among more; None takes all.
        only_marked: leave slices without a mark out, instead of drawing them too, for what an unmarked image can teach.
        iterations: optimiser steps.
        minutes: the time budget that the iterations follow from; None where they were given.
        size: rows and columns of a training image.
        batch: images a step.
        net: name of the network.
        pretrained: file with weights of its encoder; None begins with random ones.
        init: folder of an earlier run or model to begin with the weights of; None begins anew.
        init_sha256: of that model's weights, once they were read.
        seed: of everything.
        device: ``cpu``, ``cuda`` …
        precision: ``32-true`` or ``bf16-mixed``.
        threads: of the processor.
        select: ``last`` keeps the last iterate, ``marks`` the best by partial cross-entropy on held-out marks.
        hold_out: validate on the marks of held-out groups even where the last iterate is kept.
        hold_out_share: share of the groups that validation takes, where there is any.
        recalibrate_bn: re-estimate BatchNorm statistics without dropout before validation and saving.
        augmentation: its name.
        normalisation: of intensities, by name.
        grid: how slices get their size, by name.
        recipe: how the method is optimised.
        checkpoint_every: optimiser steps between checkpoints.
        validate_every: optimiser steps between validations on held-out marks.
        keep: how many models are kept on the way, at even distances and the last iterate among them.
        chosen: why the method was chosen, where ``auto`` chose it; else empty.
    """

    dataset: str
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    fold: int | None = None
    groups: int | None = None
    only_marked: bool = False
    iterations: int = 1500
    minutes: float | None = None
    size: int = 128
    batch: int = 12
    net: str = "unet"
    pretrained: str | None = None
    init: str | None = None
    init_sha256: str | None = None
    seed: int = 1
    device: str = "cpu"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    threads: int = 1
    select: Literal["last", "marks"] = "last"
    hold_out: bool = False
    hold_out_share: float = 0.1
    recalibrate_bn: bool = False
    augmentation: str = "acdc"
    normalisation: NormalisationName = "acdc"
    grid: GridName = "zoom0"
    recipe: Recipe = field(default_factory=Recipe)
    checkpoint_every: int = 500
    validate_every: int = 250
    keep: int = 0
    chosen: str = ""

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "threads", "checkpoint_every", "validate_every"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"{name} must be at least 1",
                    where=f"--{name.replace('_', '-')}",
                    expected="1 or more",
                    received=getattr(self, name),
                    todo="give a larger number",
                )
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise InputError(
                "a time budget must be a positive number of minutes",
                where="--minutes",
                expected="more than 0",
                received=self.minutes,
                todo="give at least a minute or two",
            )
        if self.init is not None and self.pretrained is not None:
            raise InputError(
                "a network cannot begin with two kinds of weights",
                where="--init, --pretrained",
                expected="one of them",
                received="both",
                todo="leave --pretrained out: the earlier run's encoder is trained already",
            )
        if not 0 < self.hold_out_share < 1:
            raise InputError(
                "such a share of the patients or slides cannot be held out",
                where="--hold-out-share",
                expected="more than 0 and less than 1",
                received=self.hold_out_share,
                todo="give 0.1 for a tenth",
            )
        if not 0 <= self.keep <= self.iterations:
            raise InputError(
                "so many models cannot be kept",
                where="--keep",
                expected=f"0 … {self.iterations}, the iterations",
                received=self.keep,
                todo="keep fewer",
            )

    @property
    def validates(self) -> bool:
        """Whether groups are held out of training, and their marks predicted now and then."""
        return self.hold_out or self.select == "marks" or method_named(self.method).needs.validation

    @property
    def kept_steps(self) -> frozenset[int]:
        """After which optimiser steps the model is kept."""
        return frozenset(round(number * self.iterations / self.keep) for number in range(1, self.keep + 1))


def write_plan(run: Path, plan: Plan, details: dict[str, Any]) -> None:
    """Write ``run.json``: the plan, and what it ran on."""
    machine = {
        "pointillist": pointillist.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name() if plan.device.startswith("cuda") else None,
    }
    write_json(run / "run.json", {"format": 1, "plan": asdict(plan), "machine": machine, **details})


def read_plan(run: Path) -> Plan:
    """The plan of a run that was started.

    Raises:
        InputError: if there is none, or it cannot be understood.
    """
    if not (run / "run.json").is_file():
        raise InputError(
            "there is no run to resume",
            where=run,
            expected="run.json",
            received="none",
            todo="start it without --resume",
        )
    try:
        content = TypeAdapter(dict[str, Any]).validate_json(read_bytes(run / "run.json"))
        return TypeAdapter(Plan).validate_python(content.get("plan"))
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            "run.json cannot be understood",
            where=f"{run / 'run.json'}, field {'.'.join(map(str, first['loc']))}",
            expected="the plan of a run",
            received=first["msg"],
            todo="start the run anew in another folder",
        ) from error


def split_of(plan: Plan, dataset: Dataset, *, among: frozenset[str] | None = None) -> tuple[Split, tuple[str, ...]]:
    """Which cases a run trains on, and which it validates on.

    Args:
        plan: names the fold, and says whether it validates.
        dataset: the cases.
        among: the cases that may be trained on or held out for validation; None is all.

    Returns:
        The fold (``val`` is what training never sees), and the case ids held out of ``train`` for validation.

    Raises:
        InputError: if the dataset has no such fold, or nothing to train on.
    """
    everyone = tuple(case.id for case in dataset.training)
    fold = Split(everyone, ())
    if plan.fold is not None:
        folds = dataset.splits()
        if not 1 <= plan.fold <= len(folds):
            raise InputError(
                "the dataset has no such fold",
                where=dataset.root,
                expected=f"--fold 1 … {len(folds)}" if folds else "no --fold: the dataset has no splits_final.json",
                received=plan.fold,
                todo="choose one of its folds, or leave --fold out",
            )
        fold = folds[plan.fold - 1]
    if not fold.train:
        raise InputError(
            "there is nothing to train on",
            where=dataset.root,
            expected="training cases in imagesTr",
            received=f"none in fold {plan.fold}" if plan.fold else "none",
            todo="choose another fold, or import the dataset anew",
        )
    if among is not None:
        fold = replace(fold, train=tuple(case for case in fold.train if case in among))
    groups = {case.id: case.group for case in dataset.training if case.id in set(fold.train)}
    if plan.groups is not None:
        fold = replace(fold, train=drawn_groups(groups, plan.groups, plan.seed))
        groups = {case: groups[case] for case in fold.train}
    if not plan.validates:
        return fold, ()
    selection = held_out(groups, plan.hold_out_share, plan.seed)
    return replace(fold, train=selection.train), selection.val


def processor() -> str:
    """The processor's model name."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def best_precision(device: str) -> Literal["32-true", "bf16-mixed"]:
    """``bf16-mixed`` where the hardware computes in it, else full precision."""
    return "bf16-mixed" if choose_precision("auto", torch.device(device)) == "bf16" else "32-true"


def idle_threads() -> int:
    """Processor cores this process may use, fewer when the machine is busy.

    Threads that wait for each other are slower than one.
    """
    cores = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, cores - busy) if busy < cores else 1
