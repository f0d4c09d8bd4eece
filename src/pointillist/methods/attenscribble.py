"""AttenScribble: a network with spatial self-attention, a masked CRF and attentive similarity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pointillist.errors import InputError
from pointillist.losses import attentive_similarity, gated_crf
from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.attention import SpatialAttention
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.runtime.distributed import global_mean
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class AttenScribble(SingleNet):
    """Unlabelled pixels agree with near ones that look alike, or that an attention layer of the encoder finds alike.

    L = pCE + λ_mcrf · (1/|Ω|) Σ_p Σ_{q∈W(p)} k_pq (1 − ⟨P_p, P_q⟩) + λ_atn · (1/|Ω̃|) Σ_p Σ_{q∈W(p)} M_pq S_pq
    (1 − ⟨P̃_p, P̃_q⟩). k is a Gaussian of distance and intensity, and p and q are unlabelled pixels Ω. A self-attention
    layer grafted onto an encoder stage replaces its features; S = sigmoid(b + Σ w (A + Aᵀ)) with its attention maps
    A, M is a Gaussian of distance, P̃ the prediction bilinearly reduced to the stage's grid, and Ω̃ its cells without
    a labelled pixel. See ``pointillist.losses.gated_crf`` and ``pointillist.losses.attentive_similarity``.
    ``lambda_atn=0`` is the paper's ablation without attentive similarity; ``lambda_mcrf=0`` leaves out the masked CRF,
    and both at 0 leave the grafted network with partial cross-entropy alone.

    Cost: one forward pass, products of all pairs of the stage's cells (4,096² at 256×256 and stage 2) beside those of
    the attention layer itself, and two sweeps over the window, one of them at full resolution: at 128×128 a step takes
    2.3 times one of ``pce``, of which the layer is 0.4 and the attentive term 0.7. Memory is that of h·w·(2r+1)²
    numbers an attention map, not (h·w)². Prediction carries the attention layer. Each finer stage has 16 times the
    products.

    When: scribbles, and boundaries that follow intensities. The paper's own gain over the gated CRF is in surface
    distance, not in Dice.

    Found: the public similarity uses Q Kᵀ without the paper's 1/√d. Its attentive loss masks nothing, its masked CRF
    asks only one end of a pair to be unlabelled. It reads the dense truth to leave images of a single class out of the
    attentive loss, which the paper does not mention; here an image whose marks show fewer than two classes is left
    out. Attention over thousands of cells is nearly uniform at first, so S is about sigmoid(b) and the term a Gaussian
    one; it falls by b → −∞ alone, which ``fixed_bias`` prevents. Margins that a rotation uncovers are unlabelled and
    take part, as the paper wants it.

    Args:
        net: the network; it is grafted.
        spec: the task.
        lambda_mcrf: λ_mcrf.
        lambda_atn: λ_atn.
        stage: of the encoder, 0 = finest; 2 has a quarter of the resolution.
        heads: attention heads a layer.
        layers: of attention.
        radius: of the windows, in pixels and in cells.
        sigma_xy: of the CRF's distance, in pixels.
        sigma_rgb: of the CRF's intensity, which runs from 0 to 1.
        sigma: of M, in cells.
        fixed_bias: keep b = 0 instead of learning it.
        start: share of the run after which both pairwise terms count; 0 in the source. Chosen on ACDC fold 5 (suite
            ``attenscribble-sweep``): from 0, uniform regions without marks, such as air, end in one class. Windows are
            of pixels, so at half the side of the published 256² both terms weigh twice; with half of both weights, one
            run from 0 did about as well as from 0.3.
        literal: attention maps without 1/√d, no mask in the attentive loss, labelled neighbours in the CRF, and its
            zero padding, as the public code has them. Not followed there either: marks, not the dense truth, say which
            images have a single class; such images count in the denominator as they do there.

    Source: Tian, Yang & Gao 2023; YangQinzhu/AttenScribble ``networks/unetformer.py``, ``utils/attn_gate_crf_loss.py``.
    """

    name = "attenscribble"
    paper = "Tian et al. 2023"

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        lambda_mcrf: Annotated[float, Bounds(0, 100)] = 0.1,
        lambda_atn: Annotated[float, Bounds(0, 100)] = 0.1,
        stage: Annotated[int, Bounds(0, 4)] = 2,
        heads: Annotated[int, Bounds(1, 16)] = 1,
        layers: Annotated[int, Bounds(1, 12)] = 1,
        radius: Annotated[int, Bounds(1, 20)] = 5,
        sigma_xy: Annotated[float, Bounds(0.1, 100)] = 6.0,
        sigma_rgb: Annotated[float, Bounds(0.001, 10)] = 0.1,
        sigma: Annotated[float, Bounds(0.1, 100)] = 6.0,
        fixed_bias: bool = False,
        start: Annotated[float, Bounds(0, 1)] = 0.3,
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        _check(net, stage, heads)
        net.graft(stage, SpatialAttention(net.channels[stage], heads=heads, layers=layers))
        self.compress = nn.Conv2d(heads * layers, 1, 1, bias=not fixed_bias)  # w and b
        self.lambda_mcrf, self.lambda_atn, self.start, self.literal = lambda_mcrf, lambda_atn, start, literal
        self.radius, self.sigma_xy, self.sigma_rgb, self.sigma = radius, sigma_xy, sigma_rgb, sigma

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and the pairwise terms once they have started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        started, p = clock.started(self.start), out.logits.float().softmax(1)
        if started and self.lambda_mcrf:
            terms["masked_crf"] = Term(self._masked_crf(p, batch), self.lambda_mcrf)
        # w and b have a gradient in every step, with or without anything to learn from, as DDP wants it
        attentive = torch.stack([parameter.sum() for parameter in self.compress.parameters()]).sum() * 0
        if started and self.lambda_atn:
            attentive = attentive + self._attentive_similarity(p, out.side, batch.label)
        terms["attentive_similarity"] = Term(attentive, self.lambda_atn)
        return terms

    def _masked_crf(self, p: Tensor, batch: Batch) -> Tensor:
        unlabelled = batch.label == IGNORE
        mean = gated_crf(
            p,
            batch.image,
            radius=self.radius,
            sigma_xy=self.sigma_xy,
            sigma_rgb=self.sigma_rgb,
            source=None if self.literal else unlabelled,
            destination=unlabelled,
            literal=self.literal,
        )
        return global_mean(mean * unlabelled.sum(), unlabelled.sum())

    def _attentive_similarity(self, p: Tensor, side: dict[str, Tensor], label: Tensor) -> Tensor:
        query, key = side["query"], side["key"]
        grid = query.shape[2:4]
        reduced = F.interpolate(p, grid, mode="bilinear", align_corners=False)
        several = _classes_marked(label, p.shape[1]) > 1
        free = F.adaptive_max_pool2d((label != IGNORE).float().unsqueeze(1), grid).squeeze(1) == 0
        counted = several.view(-1, 1, 1) & (torch.ones_like(free) if self.literal else free)
        bias = self.compress.bias
        mean = attentive_similarity(
            reduced,
            query,
            key,
            self.compress.weight.flatten(),
            p.new_zeros(()) if bias is None else bias.squeeze(0),
            radius=self.radius,
            sigma=self.sigma,
            mask=counted,
            literal=self.literal,
        )
        total = torch.ones_like(counted).sum() if self.literal else counted.sum()
        return global_mean(mean * counted.sum(), total)


def _classes_marked(label: Tensor, classes: int) -> Tensor:
    """``(b,)`` how many classes an image's marks show."""
    return torch.stack([(label == k).flatten(1).any(1) for k in range(classes)]).sum(0)


def _check(net: SegmentationNet, stage: int, heads: int) -> None:
    if stage >= len(net.channels):
        raise InputError(
            "the network has no such stage for attention",
            where="stage",
            expected=f"0 … {len(net.channels) - 1}",
            received=stage,
            todo="choose one of the network's stages",
        )
    if net.channels[stage] % heads:
        raise InputError(
            "attention heads cannot share the channels of the stage",
            where="heads",
            expected=f"a divisor of {net.channels[stage]}",
            received=heads,
            todo="choose another number of heads, or another stage",
        )
