"""Gated CRF: half-window shifts against windows gathered by unfold, forward and backward, on one core.

Each form runs in a process of its own, so that its peak memory can be told apart. Writes results/gated_crf.json.

    python benchmarks/gated_crf.py
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
    """The usual form: features and predictions of every window gathered; pairs beyond the border left out."""
    window = 2 * RADIUS + 1

    def windows(x):
        return F.unfold(x, window, padding=RADIUS).view(len(x), x.shape[1], window**2, SIDE, SIDE)

    axis = torch.arange(SIDE, dtype=p.dtype)
    place = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).expand(len(p), -1, -1, -1) / SIGMA_XY
    features = torch.cat([place, image / SIGMA_RGB], 1)
    kernel = (-0.5 * (windows(features) - features.unsqueeze(2)) ** 2).sum(1, keepdim=True).exp()
    inside = windows(torch.ones_like(image))
    inside[:, :, window**2 // 2] = 0
    kernel = kernel * inside
    pulled = (kernel * windows(p)).sum(2)
    return (kernel.sum() - (pulled * p).sum()) / p[:, 0].numel()


def resident_mib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(form, folder):
    """Seconds and peak memory of one form; its value and gradient go to a file."""
    torch.set_num_threads(1)
    p, image = example()
    energy = {"shifts": shifts, "unfold": unfold}[form]
    baseline, seconds = resident_mib(), []
    for _ in range(RUNS[form]):
        p.grad = None
        start = time.perf_counter()
        value = energy(p, image)
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


def processor():
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {"name": names[0], "cores": os.cpu_count(), "torch_capability": torch.backends.cpu.get_cpu_capability()}


def commit():
    root = Path(__file__).parent

    def git(*words):
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    return {
        "commit": git("rev-parse", "HEAD"),
        "losses_changed": bool(git("status", "--short", "../src/pointillist/losses")),
    }


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        for form in RUNS:
            subprocess.run([sys.executable, __file__, form, name], check=True, env=environment)
        reports = {form: json.loads((folder / f"{form}.json").read_text()) for form in RUNS}
        results = {form: torch.load(folder / f"{form}.pt", weights_only=True) for form in RUNS}
    exact, image = example(torch.float64)
    shifts(exact, image).backward()
    largest = exact.grad.abs().max()
    constant = torch.zeros(BATCH, CLASSES, SIDE, SIDE)
    constant[:, 2] = 1

    def error(a, b):
        return ((a - b).abs().max() / largest).item()

    gradients = {form: result["gradient"] for form, result in results.items()}
    report = {
        "what": "gated CRF, forward and backward, float32, one core",
        "shape": [BATCH, CLASSES, SIDE, SIDE],
        "radius": RADIUS,
        **reports,
        "times_faster_best": reports["unfold"]["seconds_best"] / reports["shifts"]["seconds_best"],
        "times_faster_median": reports["unfold"]["seconds_median"] / reports["shifts"]["seconds_median"],
        "memory_ratio": reports["shifts"]["peak_mib_over_baseline"] / reports["unfold"]["peak_mib_over_baseline"],
        "values": {form: result["value"].item() for form, result in results.items()},
        "gradient_difference_over_largest": {
            "shifts_unfold": error(gradients["shifts"], gradients["unfold"]),
            "shifts_float64": error(gradients["shifts"], exact.grad),
            "unfold_float64": error(gradients["unfold"], exact.grad),
        },
        "constant_one_hot": shifts(constant, image.float()).item(),
        "hardware": {"processor": processor(), "threads": 1, "system": platform.platform()},
        "software": {"python": platform.python_version(), "torch": torch.__version__},
        **commit(),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=2) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
