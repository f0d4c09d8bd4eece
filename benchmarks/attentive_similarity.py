"""Attentive similarity: attention inside a window against maps of all pairs, forward and backward, one core.

Each form runs in a process of its own, so that its peak memory can be told apart. Writes
results/attentive_similarity.json.

    python benchmarks/attentive_similarity.py
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.benchmark.provenance import code_version
from pointillist.losses import attentive_similarity
from pointillist.train.plan import processor

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


def distances(side, dtype):
    """``(n, n)`` Gaussian of the distance of near places, made once and kept, as the usual form keeps it."""
    axis = torch.arange(side)
    places = torch.cartesian_prod(axis, axis)
    apart = places[:, None] - places
    near = (apart.abs().amax(2) <= RADIUS) & (apart.abs().amax(2) > 0)
    return near * torch.exp(-apart.square().sum(2).to(dtype) / (2 * SIGMA**2))


def dense(p, query, key, weight, bias, gauss):
    """The usual form: the similarity of all pairs, a fixed map of distances, one batched product."""
    scaled = query.flatten(2, 3) / WIDTH**0.5
    attention = (scaled @ key.flatten(2, 3).transpose(2, 3)).softmax(3)
    symmetric = attention + attention.transpose(2, 3)
    similarity = torch.sigmoid(F.conv2d(symmetric, weight.view(1, 1, 1, 1), bias.view(1))).squeeze(1)
    pairs = similarity * gauss
    flat = p.flatten(2).transpose(1, 2)
    return (pairs.sum() - ((pairs @ flat) * flat).sum()) / p[:, 0].numel()


def memory_mib(field):
    """``VmRSS`` now, ``VmHWM`` at most; unlike ru_maxrss the latter knows nothing of the process that started this."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


def measure(form, side, folder):
    """Seconds and peak memory of one form; its value and gradients go to a file."""
    torch.set_num_threads(1)
    inputs = example(side)
    # the peak must not be that of making the map of distances
    others = [torch.load(folder / "distances.pt", weights_only=True)] if form == "dense" else []
    loss = {"window": window, "dense": dense}[form]
    baseline, seconds = memory_mib("VmRSS"), []
    for _ in range(RUNS[form]):
        start = time.perf_counter()
        value = loss(*inputs, *others)
        gradients = torch.autograd.grad(value, inputs)
        seconds.append(time.perf_counter() - start)
    torch.save({"value": value.detach(), "gradients": gradients}, folder / f"{form}.pt")
    report = {
        "runs": len(seconds),
        "seconds_best": min(seconds),
        "seconds_median": statistics.median(seconds),
        "baseline_mib": baseline,
        "peak_mib_over_baseline": memory_mib("VmHWM") - baseline,
    }
    (folder / f"{form}.json").write_text(json.dumps(report))


def compare(side):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(distances(side, torch.float32), folder / "distances.pt")
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        for form in RUNS:
            subprocess.run([sys.executable, __file__, form, str(side), name], check=True, env=environment)
        reports = {form: json.loads((folder / f"{form}.json").read_text()) for form in RUNS}
        results = {form: torch.load(folder / f"{form}.pt", weights_only=True) for form in RUNS}
    exact = example(side, torch.float64)
    value = window(*exact)
    gradients = torch.autograd.grad(value, exact)
    whole = dense(*exact, distances(side, torch.float64)).item()

    def error(form):
        """Largest error of any gradient over that gradient's largest entry."""
        pairs = zip(results[form]["gradients"], gradients, strict=True)
        return max(((one - other).abs().max() / other.abs().max()).item() for one, other in pairs)

    return {
        "shape": {"probabilities": [BATCH, CLASSES, side, side], "query": list(exact[1].shape)},
        **reports,
        "times_faster_best": reports["dense"]["seconds_best"] / reports["window"]["seconds_best"],
        "times_faster_median": reports["dense"]["seconds_median"] / reports["window"]["seconds_median"],
        "memory_ratio": reports["window"]["peak_mib_over_baseline"] / reports["dense"]["peak_mib_over_baseline"],
        "values": {form: result["value"].item() for form, result in results.items()}
        | {"window_float64": value.item(), "dense_float64": whole},
        "gradient_difference_over_largest": {form: error(form) for form in RUNS},  # to float64
    }


def main():
    report = {
        "what": "attentive similarity, forward and backward, float32, one core",
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
