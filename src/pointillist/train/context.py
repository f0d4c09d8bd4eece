"""What a method's hooks may see of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointillist.data.augment.loader import sweep
from pointillist.data.augment.source import SliceSource
from pointillist.data.batch import Batch
from pointillist.data.targets import TargetStore
from pointillist.methods import Method
from pointillist.runtime.clock import Clock
from pointillist.runtime.distributed import gather, rank, world


class RunContext:
    """A run as its method sees it.

    Args:
        method: put into eval mode for a sweep, and back.
        source: where training images come from.
        slices: the training slices.
        targets: soft targets.
        clock: where the run stands.
        batch: images a sweep's batch.
        device: of the method.
        autocast: opens the precision of a training step; float32 without it.
    """

    def __init__(
        self,
        method: Method,
        source: SliceSource,
        slices: NDArray[np.int64],
        targets: TargetStore,
        clock: Clock,
        *,
        batch: int,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.targets, self.clock = targets, clock
        self._method, self._source, self._slices = method, source, slices
        self._batch, self._device, self._autocast = batch, device, autocast

    def sweep(self) -> Iterator[Batch]:
        """Every training slice once, unaugmented, this process's share, with the method in eval mode."""
        was_training = self._method.training
        self._method.eval()
        for batch in sweep(self._source, self._slices[rank() :: world()], self._batch):
            yield batch.to(self._device)
        self._method.train(was_training)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of a training step: hooks run outside of it."""
        return self._autocast()

    def gather(self, x: Tensor) -> Tensor:
        """Rows of all processes one after the other."""
        return gather(x)
