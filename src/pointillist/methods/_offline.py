"""Labels that were made before training and came with the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


def offline_label(batch: Batch, otherwise: Tensor) -> Tensor:
    """``(b, h, w)`` the target's class where there is a target, else ``otherwise``."""
    if batch.soft is None or batch.soft_weight is None:
        return otherwise
    return torch.where(batch.soft_weight > 0.5, batch.soft.argmax(1).to(otherwise.dtype), otherwise)
