"""Contrastive variance: one matrix of inner products against a loop over pairs of maps, forward and backward, one core.

Each form runs in a process of its own, so that its peak memory can be told apart. Writes
results/contrastive_variance.json.

    python benchmarks/contrastive_variance.py
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.benchmark.provenance import code_version
from pointillist.losses import contrastive_variance
from pointillist.train.plan import processor
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
    """The usual form: maps as the equations have them, and one cosine after the other."""
    centres = (image * p).sum((2, 3), keepdim=True) / p.sum((2, 3), keepdim=True)
    z = ((image - centres) ** 2 * p).flatten(2)
    there = [(n, k) for n in range(BATCH) for k in range(CLASSES) if (label[n] == k).any()]
    terms = []
    for n, k in there:
        m = max((i for i, j in there if i != n and j == k), key=lambda i, n=n: draws[n, i].item())
        pos = torch.exp(F.cosine_similarity(z[n, k], z[m, k], dim=0) / TAU)
        neg = 0
        for i, j in there:
            if i != n and j != k:
                neg = neg + torch.exp(F.cosine_similarity(z[n, k], z[i, j], dim=0) / TAU)
        terms.append(-torch.log(pos / (pos + neg)))
    length = (p[:, :, 1:] - p[:, :, :-1]).abs().sum() + (p[..., 1:] - p[..., :-1]).abs().sum()
    return LAMBDA_CV * torch.stack(terms).mean() + MU * length / (BATCH * CLASSES)


def resident_mib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(form, side, folder):
    """Seconds and peak memory of one form; its value and gradient go to a file."""
    torch.set_num_threads(1)
    p, image, label, draws = example(side)
    loss = {"matrix": matrix, "pairs": pairs}[form]
    baseline, seconds = resident_mib(), []
    for _ in range(RUNS[form]):
        p.grad = None
        start = time.perf_counter()
        value = loss(p, image, label, draws)
        value.backward()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    torch.save({"value": value.detach(), "gradient": p.grad}, folder / f"{form}.pt")
    report = {
        "runs": len(seconds),
        "seconds_best": min(seconds),
        "seconds_median": statistics.median(seconds),
        "baseline_mib": baseline,
        "peak_mib_over_baseline": peak - baseline,
    }
    (folder / f"{form}.json").write_text(json.dumps(report))


def compare(side):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        for form in RUNS:
            subprocess.run([sys.executable, __file__, form, str(side), name], check=True, env=environment)
        reports = {form: json.loads((folder / f"{form}.json").read_text()) for form in RUNS}
        results = {form: torch.load(folder / f"{form}.pt", weights_only=True) for form in RUNS}
    exact, *others = example(side, torch.float64)
    value = matrix(exact, *others)
    value.backward()
    gradients = {form: result["gradient"] for form, result in results.items()}

    def error(one, other):
        return ((one - other).abs().max() / exact.grad.abs().max()).item()

    return {
        "shape": [BATCH, CLASSES, side, side],
        **reports,
        "times_faster_best": reports["pairs"]["seconds_best"] / reports["matrix"]["seconds_best"],
        "times_faster_median": reports["pairs"]["seconds_median"] / reports["matrix"]["seconds_median"],
        "memory_ratio": reports["matrix"]["peak_mib_over_baseline"] / reports["pairs"]["peak_mib_over_baseline"],
        "values": {form: result["value"].item() for form, result in results.items()} | {"float64": value.item()},
        "gradient_difference_over_largest": {
            "matrix_pairs": error(gradients["matrix"], gradients["pairs"]),
            "matrix_float64": error(gradients["matrix"], exact.grad),
            "pairs_float64": error(gradients["pairs"], exact.grad),
        },
    }


def main():
    report = {
        "what": "contrastive variance, forward and backward, float32, one core",
        "sizes": [compare(side) for side in SIDES],
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "threads": 1, "system": platform.platform()},
        "software": {"python": platform.python_version(), "torch": torch.__version__},
        "commit": code_version()["commit"],
    }
    RESULT.write_text(json.dumps(report, indent=2) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
