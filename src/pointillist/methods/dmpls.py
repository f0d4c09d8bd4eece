"""Dual-branch network with dynamically mixed pseudo labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch

from pointillist.losses import mixed_pseudo
from pointillist.methods._base import Method, StepOut, Term, marked_ce
from pointillist.methods._branches import both_branches
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import SegmentationNet
from pointillist.runtime.clock import Clock, derive_seed
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class DMPLS(Method):
    """Two decoders on one encoder teach each other with labels mixed of both.

    L = ½ (pCE₁ + pCE₂) + λ · ½ (Dice(P₁, ŷ) + Dice(P₂, ŷ)) with ŷ = argmax(β P₁ + (1−β) P₂), β uniform in (0, 1), one a
    step, no gradient through ŷ. The second decoder is fed features after channel dropout. The first one predicts.

    Cost: one pass through the encoder, two through decoders: 1.8 times a step of ``pce``.

    When: scribbles, and time for little else: it needs no image term and no threshold. The pseudo labels cover all
    pixels from the first step on, so what both decoders get wrong early can stay.

    Found: the mixed labels overrule marks where they disagree. The public code has a weight α in its log that nothing
    uses. Its rate is 0.01; TriMix and PCLMix train on the same data with 0.03.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        dropout: rate of the channel dropout on the second decoder's features.
        start: share of the run after which the mixed labels count.

    Source: Luo et al., MICCAI 2022; WSL4MIS ``train_weakly_supervised_segmentation_pCE_ours_proposed.py``. In that code
    the dropout stays active at test time, on the branch that is not used.
    """

    name = "dmpls"
    paper = "Luo et al., MICCAI 2022"

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 0.5,
        dropout: Annotated[float, Bounds(0, 0.95)] = 0.5,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
    ) -> None:
        super().__init__(net, spec)
        self.auxiliary = net.new_decoder()
        self.weight, self.dropout, self.start = weight, dropout, start

    def step(self, batch: Batch, clock: Clock) -> StepOut:
        """One pass through the encoder, one through each decoder."""
        first, second = (out.logits for out in both_branches(self.net, self.auxiliary, batch.image, self.dropout))
        terms = {
            "pce_1": Term(marked_ce(first, batch.label), 0.5),
            "pce_2": Term(marked_ce(second, batch.label), 0.5),
        }
        if clock.started(self.start):
            beta = derive_seed(clock.seed, clock.step, "dmpls beta") / 2**63  # the same on every process
            pseudo = mixed_pseudo(first.float().softmax(1), second.float().softmax(1), torch.tensor(beta))
            terms["mixed"] = Term(pseudo, self.weight)
        return StepOut(terms)
