"""Gated CRF: half-window shifts against windows gathered by unfold, forward and backward, on one core.

Each form runs in a process of its own, so that its peak memory can be told apart. Writes results/gated_crf.json.

    python benchmarks/gated_crf.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812

import _public as public
from _forms import compare, measure, write
from pointillist.losses import gated_crf

BATCH, CLASSES, SIDE = 4, 4, 256
RADIUS, SIGMA_XY, SIGMA_RGB = 5, 6.0, 0.1
RUNS = {"shifts": 20, "unfold": 5}
RESULT = Path(__file__).parent / "results" / "gated_crf.json"


def example(dtype=torch.float32):
    """Random predictions on a smooth image, whose neighbours differ by about σ_rgb."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(BATCH, CLASSES, SIDE, SIDE, generator=generator)
    image = F.avg_pool2d(torch.rand(BATCH, 1, SIDE + 4, SIDE + 4, generator=generator), 5, 1)
    return logits.softmax(1).to(dtype).requires_grad_(), image.to(dtype)


def shifts(p, image):
    return gated_crf(p, image, radius=RADIUS, sigma_xy=SIGMA_XY, sigma_rgb=SIGMA_RGB)


def unfold(p, image):
    everyone = torch.ones_like(p[:, 0], dtype=torch.bool)
    widths = {"radius": RADIUS, "sigma_xy": SIGMA_XY, "sigma_rgb": SIGMA_RGB}
    return public.gated_crf(p, image, **widths, source=everyone, destination=everyone)


def main():
    exact, image = example(torch.float64)
    gradients = torch.autograd.grad(shifts(exact, image), [exact])
    constant = torch.zeros(BATCH, CLASSES, SIDE, SIDE)
    constant[:, 2] = 1
    report = {
        "what": "gated CRF, forward and backward, float32, one core",
        "shape": [BATCH, CLASSES, SIDE, SIDE],
        "radius": RADIUS,
        **compare(__file__, RUNS, gradients),
        "constant_one_hot": shifts(constant, image.float()).item(),
    }
    write(RESULT, report)


def measured(form, folder):
    p, image = example()
    energy = {"shifts": shifts, "unfold": unfold}[form]
    measure(form, lambda: energy(p, image), [p], RUNS[form], Path(folder))


if __name__ == "__main__":
    measured(*sys.argv[1:]) if sys.argv[1:] else main()
