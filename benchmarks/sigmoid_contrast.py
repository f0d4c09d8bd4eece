"""Sigmoid contrast at 6,000 vectors a class: the table of pairs in parts against whole blocks, forward and backward.

Each form runs in a process of its own on one core, so that its peak memory can be told apart. Writes
results/sigmoid_contrast.json.

    python benchmarks/sigmoid_contrast.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812

from _forms import compare, measure, write
from pointillist.losses import sigmoid_contrast

VECTORS, WIDTH, TAU = 6000, 32, 0.1  # a class, as published
RUNS = {"parts": 10, "whole": 3}
LIMIT_MIB = 0.3e9 / 2**20
RESULT = Path(__file__).parent / "results" / "sigmoid_contrast.json"


def example(dtype=torch.float32):
    """Vectors of two classes that lean to either side, and their classes."""
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(2).repeat_interleave(VECTORS)
    lean = torch.randn(2, WIDTH, generator=generator)[label]
    vectors = (torch.randn(2 * VECTORS, WIDTH, generator=generator) + 0.5 * lean).to(dtype)
    return vectors.requires_grad_(), label


def parts(vectors, label):
    return sigmoid_contrast(vectors, label, tau=TAU)


def whole(vectors, label):
    """The usual form: three blocks of pairs, a vector's pair with itself cut out, binary cross-entropy of each."""
    zero, one = (F.normalize(vectors[label == k], dim=1) for k in (0, 1))
    others = ~torch.eye(VECTORS, dtype=torch.bool)
    total = F.binary_cross_entropy_with_logits(zero @ one.T / TAU, zero.new_zeros(VECTORS, VECTORS))
    for z in (zero, one):
        logits = (z @ z.T / TAU)[others]
        total = total + F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    return total


def main():
    vectors, label = example(torch.float64)
    value = parts(vectors, label)
    report = compare(__file__, RUNS, torch.autograd.grad(value, [vectors]))
    report["values"] |= {"parts_float64": value.item(), "whole_float64": whole(*example(torch.float64)).item()}
    fits = report["parts"]["peak_mib_over_baseline"] <= LIMIT_MIB
    what = "sigmoid contrast, forward and backward, float32, one core"
    shape = {"vectors": list(vectors.shape), "classes": 2, "tau": TAU}
    write(RESULT, {"what": what, "shape": shape, "at_most_0.3_gb": fits, **report})


def measured(form, folder):
    vectors, label = example()
    loss = {"parts": parts, "whole": whole}[form]
    measure(form, lambda: loss(vectors, label), [vectors], RUNS[form], Path(folder))


if __name__ == "__main__":
    measured(*sys.argv[1:]) if sys.argv[1:] else main()
