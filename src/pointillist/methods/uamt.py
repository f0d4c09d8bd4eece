"""Uncertainty-aware mean teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from torch import Tensor

from pointillist.methods._base import Context, Method, StepOut, Term, marked_ce
from pointillist.methods._ema import follow, frozen_copy
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.methods._uncertain import certain_consistency, entropy_share
from pointillist.nets.network import SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class UAMT(Method):
    """Agree with an average of your earlier selves, wherever that average is sure.

    L = pCE + λ(t) · Σ_{p: u_p < H(t)} ‖P_p − Q_p‖² / (K · |{p: u_p < H(t)}|). Q is the prediction of a teacher whose
    weights are the moving average θ' ← a θ' + (1−a) θ, a = min(1 − 1/(t+1), α), of the student's; u is the entropy of
    the mean softmax of T passes of the teacher, each with dropout and with image noise of its own; H rises from 0.75 ln
    K to ln K, and λ from λ e⁻⁵ to λ along exp(−5(1−x)²). The student predicts.

    In the teacher dropout is active and BatchNorm normalises with the statistics of the batch, as in the public codes.
    Its running statistics, which those codes do not average, are averaged like its weights, for whoever evaluates it;
    training does not read them.

    Cost: one pass with gradient and T + 1 without, as long as five to six steps of partial cross-entropy. The
    teacher's passes take two copies of the batch at a time and keep no activations.

    When: the network makes errors that vary from step to step, which an average irons out. Errors that it makes
    steadily, such as a class that grows into unmarked regions, are the teacher's too, and remain.

    Found: the method was made for two classes and dense labels on part of the images. ln 2 and the divisor 2 of that
    case stand in the codes for more classes as well; with four, ln 2 admits half of the range. In WSL4MIS, which keeps
    it semi-supervised, the moving average is defined but never called in the copy we read, so the teacher keeps its
    random weights, and the ramp ends at twice the default number of iterations.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        ramp: share of the run over which λ rises.
        alpha: α of the moving average.
        passes: T.
        noise: standard deviation of the image noise, cut off at two of them; images run from 0 to 1.
        start: share of the run after which the term counts.
        literal: ln 2 and 2 in place of ln K and K, entropy with log(p + 1e-6), and pixels outside the image count too.

    Source: Yu et al., MICCAI 2019; yulequan/UA-MT ``train_LA_meanteacher_certainty_unlabel.py``. There consistency is
    asked of images without labels, here of all images beside partial cross-entropy.
    """

    name = "uamt"
    paper = "Yu et al., MICCAI 2019"

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 0.1,
        ramp: Annotated[float, Bounds(0, 1)] = 0.5,
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
        """pCE, and the distance to the teacher once it has started."""
        logits = self.net(batch.image).logits
        terms = {"pce": Term(marked_ce(logits, batch.label))}
        if clock.started(self.start):
            consistency = certain_consistency(
                self.teacher,
                batch.image,
                logits,
                batch.valid,
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
