"""Checkpoints that are complete or absent: a sum beside each file, the last two kept."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from pointillist.data.writers import atomic_write_bytes
from pointillist.errors import DamagedFileError

_KEPT = 2
_NAME = "step_{:08d}.pt"


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write ``step_NNNNNNNN.pt`` and its SHA-256, and drop all but the last two.

    The sum is written last: a file without one was being written when the process died, and does not count.

    Args:
        folder: of the run's checkpoints.
        step: optimiser steps finished.
        state: tensors and plain values.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    path = folder / _NAME.format(step)
    atomic_write_bytes(path, data)
    atomic_write_bytes(_sum_of(path), hashlib.sha256(data).hexdigest().encode())
    for old in _complete(folder)[:-_KEPT]:
        _sum_of(old).unlink()
        old.unlink()
    return path


def load_checkpoint(folder: Path, device: str | torch.device = "cpu") -> tuple[dict[str, Any], list[str]]:
    """The newest checkpoint that is whole.

    Args:
        folder: of the run's checkpoints.
        device: where tensors go.

    Returns:
        The state, and a line for every newer checkpoint that was passed over because it is damaged.

    Raises:
        DamagedFileError: if none is whole.
    """
    passed_over: list[str] = []
    for path in reversed(_complete(folder)):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == _sum_of(path).read_text():
            # a copy, since an optimiser may keep the very tensors it is given
            return torch.load(io.BytesIO(data), map_location=device, weights_only=True), passed_over
        passed_over.append(f"{path.name} does not match its checksum and was passed over")
    raise DamagedFileError(
        "there is no checkpoint to go on from",
        where=folder,
        expected="a checkpoint that matches its checksum",
        received="; ".join(passed_over) or "none",
        todo="start the run anew in another folder",
    )


def _sum_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _complete(folder: Path) -> list[Path]:
    """Checkpoints with a sum, oldest first."""
    return sorted(path for path in folder.glob("step_*.pt") if _sum_of(path).exists())
