"""Partial cross-entropy with the variance of intensities within and between classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from pointillist.losses import intensity_variance
from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class IntensityVariance(SingleNet):
    """Intensities should be alike within a class and differ between classes.

    L = pCE + λ(t) · mean_n (mean_k Var_k − Var(c)) with Var_k = Σ_p P_p^k ‖I_p − c_k‖² / Σ_p P_p^k, the mean colour c_k
    of class k in image n, Var(c) their variance over the classes, and λ(t) = λ · exp(−5 (1 − t)²) up to the end of the
    ramp. k runs over the classes that are marked in image n; see ``pointillist.losses.intensity_variance``.

    Cost: one forward pass; four maps of the size of the prediction. A step takes about as long as one of ``pce``.

    When: for structures whose intensity is even, beside a class far larger, since classes count alike here and by
    their pixels in ``mumford_shah``. Not where classes share intensities: Var(c) then pulls alike classes apart.

    Found: the public code minimises inter − intra where the names ask for intra − inter. Its deviations are those of
    the product I·P over all pixels, which grow as a prediction gets sure and depend on the size of a class: for a
    bright square on a dark ground, the two halves of the image score better than square and ground. It counts absent
    classes. ``literal`` repeats all of that.

    Args:
        net: the network.
        spec: the task.
        weight: λ at the end of the ramp.
        ramp: length of the ramp as a share of the run; the source's 200 · 150 of 60,000 iterations.
        literal: the public code's form, over all pixels and classes.
        start: share of the run after which the term counts and the ramp begins.

    Source: WSL4MIS ``train_weakly_supervised_pCE_Inter&Intra_Class_2D.py``.
    """

    name = "intensity_variance"
    paper = "WSL4MIS (Luo et al. 2022)"

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 0.1,
        ramp: Annotated[float, Bounds(0, 1)] = 0.5,
        literal: bool = False,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.ramp, self.literal, self.start = weight, ramp, literal, start

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and the variances with the ramp's weight once they have started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            p = out.logits.float().softmax(1)
            if self.literal:
                value = intensity_variance(p, batch.image, literal=True)
            else:
                marked = _marked_classes(batch.label, p.shape[1])
                value = intensity_variance(p, batch.image, present=marked, mask=batch.valid)
            terms["intensity_variance"] = Term(value, self.weight * clock.ramp(self.ramp, self.start))
        return terms


def _marked_classes(label: Tensor, classes: int) -> Tensor:
    """Which classes each image bears a mark of, ``(b, k)``."""
    return torch.stack([(label == k).flatten(1).any(1) for k in range(classes)], 1)
