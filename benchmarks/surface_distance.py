"""Speed of the surface distances against medpy and MONAI: one core, same masks, same process.

Run: python benchmarks/surface_distance.py [--real FOLDER]

Writes benchmarks/results/surface_distance.json. ``--real`` (or POINTILLIST_DATA) adds the 120 pairs of one published
method on ACDC fold 1.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import json
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from medpy.metric.binary import hd95 as medpy_hd95
from monai.metrics import compute_hausdorff_distance

from pointillist.benchmark.provenance import code_version
from pointillist.data.readers import read_label
from pointillist.evaluate.surface import hd95_max, hd95_pooled
from pointillist.geometry.distance import surface_distances
from pointillist.train.plan import processor

RESULT = Path(__file__).parent / "results" / "surface_distance.json"
Pair = tuple[np.ndarray, np.ndarray, tuple[float, ...]]


def ellipsoid(shape, centre, radii) -> np.ndarray:
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return sum(((x - c) / r) ** 2 for x, c, r in zip(axes, centre, radii, strict=True)) < 1


def cardiac() -> Pair:
    """A left ventricle's wall on 10 slices of 256², against one moved by two pixels and a little thicker."""
    shape = (10, 256, 256)
    wall = [
        ellipsoid(shape, (1, y, x), (9, r, r)) & ~ellipsoid(shape, (1, y, x), (8, r - thick, r - thick))
        for y, x, r, thick in ((128, 120, 28, 8), (130, 121, 29, 9))
    ]
    return wall[0], wall[1], (10.0, 1.4, 1.4)


def large() -> Pair:
    shape = (160, 160, 160)
    first, second = ellipsoid(shape, (80, 80, 80), (50, 45, 40)), ellipsoid(shape, (83, 78, 80), (48, 44, 42))
    return first, second, (1.0, 1.0, 1.0)


def acdc(folder: Path) -> list[Pair]:
    pairs: list[Pair] = []
    for path in sorted((folder / "acdc_fold1_predictions" / "pclmix").glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        reference = read_label(folder / "acdc" / name.split("_")[0] / f"{name}_gt.nii.gz")
        prediction = read_label(path).array
        pairs += [(prediction == k, reference.array == k, reference.grid.spacing_mm) for k in (1, 2, 3)]
    return pairs


def monai_hd95(first, second, spacing) -> float:
    masks = [torch.from_numpy(mask)[None, None] for mask in (first, second)]
    return compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=spacing).item()


CODES: dict[str, Callable[..., float]] = {
    "pointillist": lambda a, b, s: hd95_pooled(surface_distances(a, b, s)),
    "medpy": medpy_hd95,
    "monai": monai_hd95,
}


def measure(pairs: list[Pair], rounds: int) -> dict[str, object]:
    """Best of several rounds in milliseconds a pair, the codes taking turns; and that they agree."""
    best = dict.fromkeys(CODES, float("inf"))
    for _ in range(rounds):
        for name, code in CODES.items():
            start = time.perf_counter()
            for pair in pairs:
                code(*pair)
            best[name] = min(best[name], (time.perf_counter() - start) / len(pairs) * 1000)
    apart = max(abs(CODES["pointillist"](*pair) - medpy_hd95(*pair)) for pair in pairs)
    apart_max = max(abs(hd95_max(surface_distances(*pair)) - monai_hd95(*pair)) for pair in pairs)
    return {
        "pairs": len(pairs),
        "ms_per_pair": {name: round(ms, 3) for name, ms in best.items()},
        "times_faster_than": {
            name: round(best[name] / best["pointillist"], 1) for name in CODES if name != "pointillist"
        },
        "largest_difference": {"hd95_pooled against medpy": apart, "hd95_max against monai": apart_max},
    }


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--real", type=Path, default=os.environ.get("POINTILLIST_DATA"))
    real = parser.parse_args().real
    results = {
        "cardiac wall, 10×256×256": measure([cardiac()], 20),
        "ellipsoid, 160³": measure([large()], 3),
    }
    if real:
        results["ACDC fold 1, pclmix, three classes"] = measure(acdc(Path(real)), 2)
    content = {
        "what": "HD95 of a pair of masks, best round, one thread",
        "commit": code_version()["commit"],
        "hardware": f"{processor()}, 1 thread of {os.cpu_count()}",
        "versions": {name: version(name) for name in ("numpy", "scipy", "medpy", "monai", "torch")},
        "results": results,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(content, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
