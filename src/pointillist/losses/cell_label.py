"""Classes of the cells of a coarse grid, from classes of pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.types import IGNORE

_TINY = 1e-6  # pixels; 0.7 of 10 are 7 whatever the last bit says


def cell_label(
    label: Tensor,
    delta: int,
    classes: int,
    *,
    size: tuple[int, int] | None = None,
    nu_1: float = 0.0,
    nu_2: float = 1.0,
    marks: Tensor | None = None,
) -> Tensor:
    r"""The class of each cell of δ×δ pixels: a foreground class that fills it, or the background where there is none.

    .. math:: y^δ = k \text{ if } \bar p_k ≥ ν_2, \quad 0 \text{ if } 1 - \bar p_0 ≤ ν_1, \quad
              \text{else nothing}

    with p̄ₖ the share of the cell's pixels that are of class k. A cell with a pixel of unknown class has none.

    Args:
        label: ``(b, h, w)`` classes, ``IGNORE`` where unknown.
        delta: δ, rows and columns of a cell.
        classes: K; class 0 is the background.
        size: rows and columns of the coarse grid; without it ⌈h/δ⌉, ⌈w/δ⌉. Pixels beyond it are left out; a cell that
            reaches over the edge of the image has no class.
        nu_1: ν₁, largest share of foreground in a background cell, below ½.
        nu_2: ν₂, least share of a class in a cell of it, above ½.
        marks: ``(b, h, w)`` as ``label``; a cell that holds marks of one class alone takes it whatever else it holds.

    Returns:
        ``(b, *size)`` classes, ``IGNORE`` where a cell has none.

    Raises:
        ValueError: if the label is no ``(b, h, w)`` of integers, the marks' shape differs, δ is not positive, or the
            shares let a cell have two classes.

    Source: Oh et al., ISBI 2022, equation 5; its last clause, "or i ∈ Ω±", is ``marks``, which hvcl/ScribbleCont
    ``contrastive_loss4x4`` leaves out. More than two classes are our reading.
    """
    if label.ndim != 3 or label.is_floating_point() or (marks is not None and marks.shape != label.shape):
        others = "" if marks is None else f" and {tuple(marks.shape)}"
        msg = f"label and marks must be integer tensors (b, h, w), got {label.dtype} {tuple(label.shape)}{others}"
        raise ValueError(msg)
    if delta < 1:
        msg = f"delta must be 1 or more, got {delta}"
        raise ValueError(msg)
    if not 0 <= nu_1 < 0.5 < nu_2 <= 1:
        msg = f"nu_1 must lie in [0, ½) and nu_2 in (½, 1], got {nu_1} and {nu_2}"
        raise ValueError(msg)
    rows, columns = size or (-(-label.shape[1] // delta), -(-label.shape[2] // delta))
    counts, known = _counted(label, delta, classes, (rows, columns))
    area = delta**2
    most, fullest = counts[:, 1:].max(1)
    result = torch.where(most >= nu_2 * area - _TINY, fullest + 1, IGNORE)
    result = result.masked_fill(area - counts[:, 0] <= nu_1 * area + _TINY, 0)
    result = result.masked_fill(known < area, IGNORE)
    if marks is None:
        return result
    counts, _ = _counted(marks, delta, classes, (rows, columns))
    return torch.where((counts > 0).sum(1) == 1, counts.argmax(1), result)


def _counted(label: Tensor, delta: int, classes: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """``(b, k, *size)`` pixels of each class in each cell, and ``(b, *size)`` of any class."""
    rows, columns = size
    beyond = (0, columns * delta - label.shape[2], 0, rows * delta - label.shape[1])  # negative ones cut off
    cells = F.pad(label, beyond, value=IGNORE).reshape(len(label), rows, delta, columns, delta)
    counts = torch.stack([(cells == number).sum((2, 4)) for number in range(classes)], dim=1)
    return counts, counts.sum(1)
