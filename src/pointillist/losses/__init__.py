"""Losses as pure functions: tensors in, a scalar out, no method and no state.

They stand alone: ``from pointillist.losses import gated_crf`` in any training loop. ``logits`` and
``probabilities`` in an argument's name say which of the two a function takes. All of them compute in float32 (float64
where given) inside autocast, mask before they compute, so what stands in masked pixels is never read, and give a
zero that is connected to the graph where a batch offers nothing to learn from.
"""

from pointillist.losses.dense_crf import dense_crf
from pointillist.losses.entropy import entropy
from pointillist.losses.gated_crf import gated_crf
from pointillist.losses.mixed_pseudo import mixed_pseudo, mixed_pseudo_label
from pointillist.losses.normalized_cut import normalized_cut
from pointillist.losses.partial_ce import partial_ce
from pointillist.losses.partial_dice import partial_dice

__all__ = [
    "dense_crf",
    "entropy",
    "gated_crf",
    "mixed_pseudo",
    "mixed_pseudo_label",
    "normalized_cut",
    "partial_ce",
    "partial_dice",
]
