"""What CVM's soft labels are worth: contrast maps and regions of a trained network's features against dense truth.

Run: python benchmarks/region_targets.py RUN [--batch 8]

RUN is a finished run on two classes, such as OUT/runs/glas-quick/pce/fold1-seed1. Its network sees the images that it
was trained on, as a refresh of the method does, and contrast maps and regions are made of its features and the marks
alone; dense truth says afterwards how good they are. A target that is worse than the prediction it is to correct
cannot help. Writes benchmarks/results/region_targets.json; results_page.py makes a section of it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from _forms import write
from pointillist.data.augment.loader import sweep
from pointillist.data.augment.source import SliceSource
from pointillist.data.cache.build import cached
from pointillist.data.cache.settings import CacheSettings
from pointillist.data.dataset import Dataset
from pointillist.evaluate.scores import auc_of
from pointillist.methods._contrast_map import ContrastMaps, contrast_maps
from pointillist.methods._region_targets import mapped_classes, mean_by_class, over_classes
from pointillist.nets.network import NetOut
from pointillist.predict.model import load_model
from pointillist.solvers.variational import two_regions
from pointillist.train.plan import read_plan

RESULT = Path(__file__).parent / "results" / "region_targets.json"
MEASURES = {
    "dice": "of the target above one half",
    "auc": "area under the ROC curve of the target",
    "accuracy": "of the target above one half",
    "weighted": "the same, pixels weighted by exp(−2h) as in the loss",
}
ETA, ETAS = 0.6, (0.0, 0.3, 0.8, 1.0)
REGIONS = {"lam": 5.0, "beta": 10.0, "sigma": 1.0}
READINGS = {
    "λ = 1": REGIONS | {"lam": 1.0},
    "λ = 20": REGIONS | {"lam": 20.0},
    "β = 1, σ = 0": REGIONS | {"beta": 1.0, "sigma": 0.0},
}
POINTS, BINS = 8, 1000


def scores(u: Tensor, truth: Tensor) -> dict[str, float]:
    """How well one image's map ``(h, w)`` in [0, 1] tells the target of ``(h, w)`` truth."""
    found, u = u > 0.5, u.clamp(1e-6, 1 - 1e-6)
    weight = (2 * (u * u.log() + (1 - u) * (1 - u).log())).exp()
    right = (found == truth).double()
    inside, outside = (np.histogram(u[where], BINS, (0, 1))[0] for where in (truth, ~truth))
    return {
        "dice": float(2 * (found & truth).sum() / (found.sum() + truth.sum()).clamp(min=1)),
        "auc": float(auc_of(inside, outside)),
        "accuracy": float(right.mean()),
        "weighted": float((right * weight).sum() / weight.sum()),
    }


def targets(out: NetOut, label: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, ``(b, h, w)`` target and ``(b,)`` whether there is one.

    Contrast maps and their regions, with η = 0.6, at every tap; of both classes' points at every level of the decoder;
    with other η at the finest level, and there regions with other constants.
    """
    levels, stages = range(len(out.levels)), range(len(out.stages))
    for level in levels:
        yield from maps_and_regions(f"decoder {level}", out.levels[level], label)
    for level in stages:
        yield from maps_and_regions(f"encoder {level}", out.stages[level], label)
    for level in levels:
        yield from maps_and_regions(f"decoder {level}, both classes", out.levels[level], label, background=True)
    for eta in ETAS:
        yield from maps_and_regions(f"decoder 0, η = {eta}", out.levels[0], label, eta=eta)
    maps = contrast_maps(out.levels[0], label, mapped_classes(2), eta=ETA, most=POINTS)
    for name, options in READINGS.items():
        yield f"regions, decoder 0, {name}", *target(two_regions(maps.z, **options).u, maps, label)
    fixed = two_regions(maps.z, **REGIONS, mask=maps.points).u
    yield "regions, decoder 0, constants of the points", *target(fixed, maps, label)


def maps_and_regions(
    name: str, features: Tensor, label: Tensor, *, eta: float = ETA, background: bool = False
) -> Iterator[tuple[str, Tensor, Tensor]]:
    maps = contrast_maps(features, label, mapped_classes(2, background=background), eta=eta, most=POINTS)
    yield f"contrast maps, {name}", *target(maps.z, maps, label, background=background)
    yield f"regions, {name}", *target(two_regions(maps.z, **REGIONS).u, maps, label, background=background)


def target(values: Tensor, maps: ContrastMaps, label: Tensor, *, background: bool = False) -> tuple[Tensor, Tensor]:
    mean, there = mean_by_class(values, maps.image, maps.classes, len(label), 2)
    soft, weight = over_classes(mean, there, label.shape[1:], background=background)
    unsure = soft.new_tensor(0.5)  # a pixel without a target says nothing
    return soft[:, 1].where(weight > 0, unsure), weight.flatten(1).amax(1) > 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan = read_plan(options.run)
    dataset, (net, _) = Dataset.open(Path(plan.dataset)), load_model(options.run)
    settings = {"grid": plan.grid, "normalisation": plan.normalisation}
    sources = [
        SliceSource.open(cached(dataset, CacheSettings(plan.size, truth=kind == "truth", **settings)), labels=kind)
        for kind in ("marks", "truth")
    ]
    fold = dataset.splits()[plan.fold - 1]
    marks, truths = (sweep(one, one.cache.subset(fold.train), options.batch) for one in sources)
    found = defaultdict(list)
    with torch.inference_mode():
        for batch, dense in zip(marks, truths, strict=True):
            out = net.eval()(batch.image)
            made = [("the network's own prediction", out.logits.softmax(1)[:, 1], torch.ones(len(batch.label)) > 0)]
            for name, soft, there in (*made, *targets(out, batch.label)):
                found[name] += [scores(soft[i], dense.label[i] == 1) for i in np.flatnonzero(there.numpy())]
    rows = {
        name: {"images": len(images)} | {key: float(np.mean([one[key] for one in images])) for key in MEASURES}
        for name, images in found.items()
    }
    what = f"{plan.method} on {dataset.name}, fold {plan.fold}, {plan.iterations} iterations at {plan.size}²"
    write(RESULT, {"what": what, "measures": MEASURES, "rows": rows})


if __name__ == "__main__":
    main()
