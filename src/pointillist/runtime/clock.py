"""Where a run stands. Every seed and every schedule derives from it, so a resumed run needs no random state."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """A moment of a training run.

    Attributes:
        seed: of the whole run.
        step: optimiser steps finished so far.
        epoch: passes over the training cases finished so far.
        total: optimiser steps of the whole run.
        rank: of this process among those that train together.
    """

    seed: int
    step: int
    epoch: int
    total: int
    rank: int = 0

    @property
    def progress(self) -> float:
        """The share of the run that is finished, 0 … 1."""
        return min(self.step / self.total, 1.0) if self.total else 1.0

    def started(self, start: float) -> bool:
        """Whether something that starts after a share of the run has started."""
        return self.progress >= start

    def ramp(self, length: float, start: float = 0.0) -> float:
        """The literature's sigmoid ramp-up exp(−5(1−t)²): e⁻⁵ at its start, 1 at its end.

        Args:
            length: of the ramp, as a share of the run; 0 is 1 from the start on.
            start: when it begins, as a share of the run; 0 before.
        """
        if not self.started(start):
            return 0.0
        t = 1.0 if length <= 0 else min((self.progress - start) / length, 1.0)
        return math.exp(-5.0 * (1.0 - t) ** 2)

    def seed_for(self, *purpose: str | int) -> int:
        """A seed of 63 bits for one purpose at this step on this rank, independent of all others."""
        return derive_seed(self.seed, self.rank, self.step, *purpose)


def derive_seed(*parts: str | int) -> int:
    """A seed of 63 bits from any names and numbers; the same everywhere and always."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
