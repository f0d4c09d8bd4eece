"""Contrastive variance: one matrix of inner products against a loop over pairs of maps, forward and backward, one core.

Each form runs in a process of its own, so that its peak memory can be told apart. Writes
results/contrastive_variance.json.

    python benchmarks/contrastive_variance.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812

import _public as public
from _forms import compare, measure, write
from pointillist.losses import contrastive_variance
from pointillist.types import IGNORE

BATCH, CLASSES, SIDES = 12, 4, (128, 256)
LAMBDA_CV, MU, TAU = 1e-3, 1e-5, 0.07
RUNS = {"matrix": 20, "pairs": 3}
RESULT = Path(__file__).parent / "results" / "contrastive_variance.json"


def example(side, dtype=torch.float32):
    """Smooth predictions on a smooth image, a point a class; every fifth class of an image is not there."""
    generator = torch.Generator().manual_seed(0)

    def smooth(channels, grain):
        coarse = torch.randn(BATCH, channels, side // grain, side // grain, generator=generator)
        return F.interpolate(coarse, size=(side, side), mode="bilinear")

    logits, image = 3 * smooth(CLASSES, 16), smooth(1, 8).sigmoid()
    label = torch.full((BATCH, side, side), IGNORE)
    there = [(n, k) for n in range(BATCH) for k in range(CLASSES) if (n * CLASSES + k) % 5]
    for n, k in there:
        label[n, k, n] = k
    draws = torch.rand(BATCH, BATCH, generator=generator)
    return logits.softmax(1).to(dtype).requires_grad_(), image.to(dtype), label, draws


def matrix(p, image, label, draws):
    return contrastive_variance(p, image, label, lambda_cv=LAMBDA_CV, mu=MU, tau=TAU, draws=draws)


def pairs(p, image, label, draws):
    return public.contrastive_variance(p, image, label, draws, lambda_cv=LAMBDA_CV, mu=MU, tau=TAU)


def side_by_side(side):
    exact, *others = example(side, torch.float64)
    gradients = torch.autograd.grad(matrix(exact, *others), [exact])
    return {"shape": [BATCH, CLASSES, side, side], **compare(__file__, RUNS, gradients, [str(side)])}


def main():
    what = "contrastive variance, forward and backward, float32, one core"
    write(RESULT, {"what": what, "sizes": [side_by_side(side) for side in SIDES]})


def measured(form, side, folder):
    p, *others = example(int(side))
    loss = {"matrix": matrix, "pairs": pairs}[form]
    measure(form, lambda: loss(p, *others), [p], RUNS[form], Path(folder))


if __name__ == "__main__":
    measured(*sys.argv[1:]) if sys.argv[1:] else main()
