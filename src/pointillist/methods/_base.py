"""What a training method is: the network or networks it owns, a step, and hooks around it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from pointillist.losses import partial_ce
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.runtime.distributed import global_mean
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.data.batch import Batch
    from pointillist.data.targets import TargetStore


@dataclass(frozen=True)
class Recipe:
    """How a method is optimised unless the run says otherwise.

    Attributes:
        optimizer: ``sgd`` or ``adam``.
        lr: initial learning rate.
        weight_decay: of every parameter.
        momentum: of SGD.
        schedule: ``poly`` (power 0.9, set after each step) or ``constant``.
        batch: images a step.
    """

    optimizer: str = "sgd"
    lr: float = 0.01
    weight_decay: float = 1e-4
    momentum: float = 0.9
    schedule: str = "poly"
    batch: int = 12


class Needs(NamedTuple):
    """What a method asks of the trainer; may depend on its settings.

    Attributes:
        min_batch: fewest images a step.
        soft_targets: whether batches carry targets of the store.
        validation: whether it wants validation on held-out marks even when the last iterate is kept; the same for all
            settings.
        shared_geometry: whether one flip and rotation serves a whole batch.
        dense_truth: whether labels are the dense truth; only the ``full`` bound may say so.
    """

    min_batch: int = 1
    soft_targets: bool = False
    validation: bool = False
    shared_geometry: bool = False
    dense_truth: bool = False


@dataclass(frozen=True)
class Term:
    """One summand of the loss: ``weight · value``."""

    value: Tensor
    weight: float = 1.0


@dataclass(frozen=True)
class StepOut:
    """What a step gives.

    Attributes:
        terms: summands of the loss by name.
        carry: detached tensors for ``Method.after_step``.
        known: zero, with the gradients of terms that were back-propagated within the step (``_parts``).
    """

    terms: dict[str, Term]
    carry: dict[str, Tensor] = field(default_factory=dict)
    known: Tensor | None = None

    @property
    def loss(self) -> Tensor:
        """The weighted sum."""
        total = weighted_sum(self.terms)
        return total if self.known is None else total + self.known


def weighted_sum(terms: dict[str, Term]) -> Tensor:
    """Σ weight · value."""
    return torch.stack([term.weight * term.value for term in terms.values()]).sum()


@dataclass(frozen=True)
class Score:
    """A validation result, already reduced over processes.

    Attributes:
        value: partial cross-entropy on held-out marks.
        improved: whether it is the best so far.
    """

    value: float
    improved: bool


class Moment:
    """A batch, and where the run stands.

    A plain object, since Fabric opens dataclasses to convert what is in them, and fails on frozen ones.

    Args:
        batch: what to learn from.
        clock: where the run stands.
    """

    def __init__(self, batch: Batch, clock: Clock) -> None:
        self.batch, self.clock = batch, clock


class Context(Protocol):
    """All that a hook may see."""

    clock: Clock
    targets: TargetStore

    def sweep(self) -> Iterator[Batch]:
        """Every training case once, unaugmented, this process's share, in eval mode."""
        ...

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of a training step, for forward passes in a hook."""
        ...

    def gather(self, x: Tensor) -> Tensor:
        """Rows of all processes one after the other."""
        ...


class Method(nn.Module, ABC):
    """A way to learn from sparse marks.

    A subclass is final. What it remembers is a parameter, a persistent buffer, a map in the target store, or a function
    of the clock. Its keyword arguments are its settings: the paper's symbols, with the paper's values as defaults.

    Attributes:
        name: how the command line and the tables call it.
        paper: its source.
        recipe: the default optimisation.
        needs: what it asks of the trainer.
        weigh_sums: settings that weigh a sum over a batch's pixels: twice the side, four times the term.
        net: the network that is trained.
        spec: the task.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    recipe: ClassVar[Recipe] = Recipe()
    needs: Needs = Needs()
    weigh_sums: ClassVar[tuple[str, ...]] = ()

    def __init__(self, net: SegmentationNet, spec: TaskSpec) -> None:
        super().__init__()
        self.net = net
        self.spec = spec

    def forward(self, moment: Moment) -> dict[str, Any]:
        """The step, as what DistributedDataParallel wraps: ``loss``, ``terms`` and ``carry``."""
        out = self.step(moment.batch, moment.clock)
        terms = {name: term.value.detach() for name, term in out.terms.items()}
        return {"loss": out.loss, "terms": terms, "carry": out.carry}

    @abstractmethod
    def step(self, batch: Batch, clock: Clock) -> StepOut:
        """One training step's losses; any number of forward passes."""

    def predictor(self) -> SegmentationNet:
        """The network that is validated, exported and shipped."""
        return self.net

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser."""
        return [{"params": [p for p in self.parameters() if p.requires_grad], "lr": lr}]

    def before_training(self, ctx: Context) -> None:
        """Offline labels and the like; called once, not again after a resume."""

    def after_step(self, carry: dict[str, Tensor], ctx: Context) -> None:
        """Moving averages, queues."""

    def after_epoch(self, ctx: Context) -> None:
        """Refresh what is refreshed every few epochs."""

    def after_validation(self, ctx: Context, score: Score) -> None:
        """Refresh what is refreshed when validation on held-out marks says so."""


class SingleNet(Method):
    """A method with one network and one forward pass a step."""

    def step(self, batch: Batch, clock: Clock) -> StepOut:
        """Forward, then ``terms``."""
        return StepOut(self.terms(self.net(batch.image), batch, clock))

    @abstractmethod
    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """The summands of the loss."""


def marked_ce(logits: Tensor, label: Tensor) -> Tensor:
    """Partial cross-entropy, the mean over the labelled pixels of all processes.

    Args:
        logits: ``(b, k, *s)``.
        label: ``(b, *s)`` with IGNORE where unlabelled.
    """
    return global_mean(partial_ce(logits, label, reduction="sum"), (label != IGNORE).sum())
