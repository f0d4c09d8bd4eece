"""Attentive similarity: attention inside a window against maps of all pairs, forward and backward, one core.

Each form runs in a process of its own, so that its peak memory can be told apart. Writes
results/attentive_similarity.json.

    python benchmarks/attentive_similarity.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812

import _public as public
from _forms import compare, measure, write
from pointillist.losses import attentive_similarity

BATCH, CLASSES, WIDTH, SIDES = 4, 4, 64, (32, 64)  # sides of the attention's grid: images of 128² and 256²
RADIUS, SIGMA = 5, 6.0
RUNS = {"window": 10, "dense": 3}
RESULT = Path(__file__).parent / "results" / "attentive_similarity.json"


def example(side, dtype=torch.float32):
    """Smooth predictions, and queries and keys of one head that vary as smoothly."""
    generator = torch.Generator().manual_seed(0)

    def smooth(channels):
        coarse = torch.randn(BATCH, channels, side // 8, side // 8, generator=generator)
        return F.interpolate(coarse, size=(side, side), mode="bilinear")

    p = (3 * smooth(CLASSES)).softmax(1)
    query, key = (smooth(WIDTH).permute(0, 2, 3, 1).unsqueeze(1).contiguous() for _ in range(2))
    weight, bias = torch.tensor([3.0]), torch.tensor(-0.5)
    return [x.to(dtype).requires_grad_() for x in (p, query, key, weight, bias)]


def window(p, query, key, weight, bias):
    return attentive_similarity(p, query, key, weight, bias, radius=RADIUS, sigma=SIGMA)


def dense(p, query, key, weight, bias, distances):
    attention = public.attention(query.flatten(2, 3), key.flatten(2, 3))
    everyone = torch.ones_like(p[:, 0], dtype=torch.bool)
    return public.attentive_similarity(p, attention, weight, bias, distances, everyone)


def distances(side, dtype):
    return public.near((side, side), RADIUS, SIGMA, dtype)


def side_by_side(side):
    exact = example(side, torch.float64)
    value = window(*exact)
    gradients = torch.autograd.grad(value, exact)
    whole = dense(*exact, distances(side, torch.float64)).item()
    report = compare(__file__, RUNS, gradients, [str(side)])
    report["values"] |= {"window_float64": value.item(), "dense_float64": whole}
    return {"shape": {"probabilities": [BATCH, CLASSES, side, side], "query": list(exact[1].shape)}, **report}


def main():
    what = "attentive similarity, forward and backward, float32, one core"
    write(RESULT, {"what": what, "sizes": [side_by_side(side) for side in SIDES]})


def measured(form, side, folder):
    inputs = example(int(side))
    others = [distances(int(side), torch.float32)] if form == "dense" else []
    loss = {"window": window, "dense": dense}[form]
    measure(form, lambda: loss(*inputs, *others), inputs, RUNS[form], Path(folder))


if __name__ == "__main__":
    measured(*sys.argv[1:]) if sys.argv[1:] else main()
