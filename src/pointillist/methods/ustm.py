"""Uncertainty-aware self-ensembling with transformation consistency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from pointillist.methods._base import Context, Method, StepOut, Term, marked_ce
from pointillist.methods._ema import follow, frozen_copy
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.methods._uncertain import certain_consistency, entropy_share
from pointillist.nets.network import SegmentationNet
from pointillist.runtime.clock import Clock, derive_seed
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class USTM(Method):
    """Turn the image, and an average of your earlier selves should see the same, turned.

    L = pCE + λ(t) · Σ_{p: u_p < H(t)} ‖(R P)_p − Q_p‖² / (K · |{p: u_p < H(t)}|). R turns by k quarters, k uniform in 0
    … 3, one a step and the same on all processes; Q is a moving-average teacher's prediction of the turned image and u
    the entropy of the mean softmax of T of its passes there, each with dropout and image noise of its own; H rises from
    0.75 ln K to ln K, and λ from λ e⁻⁵ to λ along exp(−5(1−x)²), both over the whole run. The student predicts. On
    oblong images an odd k swaps the sides of both predictions.

    In the teacher dropout is active and BatchNorm normalises with the statistics of the batch, as in the public codes.

    Cost: one pass with gradient and T + 1 without, as long as five to six steps of partial cross-entropy. The
    teacher's passes take two copies of the batch at a time and keep no activations.

    When: what is sought looks alike in every orientation, or training turns images anyway. Not where direction tells
    classes apart, such as left and right in unturned images.

    Found: WSL4MIS keeps the two-class ln 2 and divisor 2 with four classes, where PyMIC writes ln K; its buffer for the
    teacher's passes has the sides of the unturned image, which fails on oblong ones. PyMIC adds to a copy when it
    updates the teacher, whose weights therefore decay to zero. WSL4MIS draws the teacher's first weights apart from the
    student's, which matters for one step alone: the first average copies the student.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        ramp: share of the run over which λ rises.
        alpha: α of the moving average, a = min(1 − 1/(t+1), α).
        passes: T.
        noise: standard deviation of the image noise, cut off at two of them; images run from 0 to 1.
        start: share of the run after which the term counts.
        literal: ln 2 and 2 in place of ln K and K, entropy with log(p + 1e-6), and pixels outside the image count too.

    Source: Liu et al., Pattern Recognition 2022; WSL4MIS ``train_weakly_supervised_ustm_2D.py`` for the constants.
    """

    name = "ustm"
    paper = "Liu et al., Pattern Recognition 2022"

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 1.0,
        ramp: Annotated[float, Bounds(0, 1)] = 1.0,
        alpha: Annotated[float, Bounds(0, 1)] = 0.99,
        passes: Annotated[int, Bounds(1, 64)] = 8,
        noise: Annotated[float, Bounds(0, 10)] = 0.1,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        self.teacher = frozen_copy(net)
        self.weight, self.ramp, self.start = weight, ramp, start
        self.alpha, self.passes, self.noise, self.literal = alpha, passes, noise, literal

    def step(self, batch: Batch, clock: Clock) -> StepOut:
        """pCE, and the distance to the teacher's view of the turned images once it has started."""
        logits = self.net(batch.image).logits
        terms = {"pce": Term(marked_ce(logits, batch.label))}
        if clock.started(self.start):
            quarters = derive_seed(clock.seed, clock.step, "ustm quarters") % 4
            consistency = certain_consistency(
                self.teacher,
                torch.rot90(batch.image, quarters, (2, 3)),
                torch.rot90(logits, quarters, (2, 3)),
                torch.rot90(batch.valid, quarters, (1, 2)),
                share=entropy_share(clock),
                passes=self.passes,
                sigma=self.noise,
                literal=self.literal,
            )
            terms["consistency"] = Term(consistency, self.weight * clock.ramp(self.ramp, self.start))
        return StepOut(terms)

    def after_step(self, carry: dict[str, Tensor], ctx: Context) -> None:  # noqa: ARG002 - carries nothing
        """The teacher follows."""
        follow(self.teacher, self.net, ctx.clock.step - 1, self.alpha)
