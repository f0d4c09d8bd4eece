"""Training throughput: the loop of Pointillist against the plain loop of the public codes, in one run.

Run: python benchmarks/throughput.py DATASET [--threads N] [--steps N]

Writes benchmarks/results/throughput.json. Both train the published U-Net with partial cross-entropy on 12 × 1 × 128²
with the published augmentation. The plain loop reads one HDF5 slice a sample, turns or rotates it with NumPy and SciPy,
zooms image and label with SciPy, and computes in float32, as WSL4MIS code/train_weakly_supervised_pCE_2D.py does.
The two are timed in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import scipy.ndimage
import torch

from pointillist.benchmark.provenance import code_version
from pointillist.data.augment.loader import make_batch
from pointillist.data.augment.recipes import augmentation_named
from pointillist.data.augment.source import SliceSource
from pointillist.data.cache.build import cached
from pointillist.data.cache.settings import CacheSettings
from pointillist.data.dataset import Dataset
from pointillist.losses import partial_ce
from pointillist.nets.unet import UNet
from pointillist.train.plan import best_precision, processor
from pointillist.types import IGNORE

RESULT = Path(__file__).parent / "results" / "throughput.json"
BATCH, SIZE, ROUNDS = 12, 128, 3


def slices_as_hdf5(dataset: Dataset, folder: Path, cases: int) -> list[Path]:
    paths = []
    for case in dataset.training[:cases]:
        image, labels = dataset.image(case), dataset.sparse_labels(case).array
        scaled = image.array / max(image.array.max(), 1)
        for index in range(image.array.shape[2]):
            paths.append(folder / f"{case.id}_slice_{index}.h5")
            with h5py.File(paths[-1], "w") as file:
                file.create_dataset("image", data=scaled[..., index].astype(np.float32), compression="gzip")
                file.create_dataset("scribble", data=labels[..., index], compression="gzip")
    return paths


def plain_sample(path: Path, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(path, "r") as file:
        image, label = file["image"][:], file["scribble"][:]
    if rng.random() > 0.5:
        turns, axis = rng.integers(4), rng.integers(2)
        image, label = (np.flip(np.rot90(one, turns), axis).copy() for one in (image, label))
    elif rng.random() > 0.5:
        angle = rng.integers(-20, 20)
        image = scipy.ndimage.rotate(image, angle, order=0, reshape=False)
        label = scipy.ndimage.rotate(label, angle, order=0, reshape=False, cval=IGNORE)
    zoom = SIZE / image.shape[0], SIZE / image.shape[1]
    return scipy.ndimage.zoom(image, zoom, order=0), scipy.ndimage.zoom(label, zoom, order=0)


def plain_batches(paths: list[Path]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    rng = np.random.default_rng(0)
    while True:
        pairs = [plain_sample(paths[i], rng) for i in rng.integers(len(paths), size=BATCH)]
        images, labels = zip(*pairs, strict=True)
        yield torch.from_numpy(np.stack(images))[:, None].float(), torch.from_numpy(np.stack(labels)).long()


def our_batches(source: SliceSource) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    rng, augmentation = np.random.default_rng(0), augmentation_named("acdc")
    epoch = 0
    while True:
        chosen = rng.integers(len(source.cache), size=BATCH)
        batch = make_batch(source, chosen, augmentation, seed=0, epoch=epoch)
        epoch += 1
        yield batch.image, batch.label


def seconds(batches: Iterator[tuple[torch.Tensor, torch.Tensor]], steps: int, *, fast: bool) -> tuple[float, float]:
    """Seconds a step, and of these for data."""
    net = UNet(1, 4)
    if fast:
        net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=1e-4)
    on_data, begin = 0.0, 0.0
    for step in range(steps + 2):
        if step == 2:  # two steps to warm up
            on_data, begin = 0.0, time.perf_counter()
        fetched = time.perf_counter()
        image, label = next(batches)
        on_data += time.perf_counter() - fetched
        with torch.autocast("cpu", torch.bfloat16, enabled=fast and best_precision("cpu") == "bf16-mixed"):
            logits = net(image).logits
        optimizer.zero_grad()
        partial_ce(logits, label).backward()
        optimizer.step()
    return (time.perf_counter() - begin) / steps, on_data / steps


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dataset = Dataset.open(options.dataset)
    source = SliceSource.open(cached(dataset, CacheSettings(SIZE)))
    with tempfile.TemporaryDirectory() as folder:
        plain = plain_batches(slices_as_hdf5(dataset, Path(folder), cases=40))
        ours = our_batches(source)
        rounds = [
            (seconds(plain, options.steps, fast=False), seconds(ours, options.steps, fast=True)) for _ in range(ROUNDS)
        ]
    best = [min(round_[side][0] for round_ in rounds) for side in (0, 1)]
    share = min(round_[1][1] / round_[1][0] for round_ in rounds)
    result = {
        "what": f"one pCE training step of the published U-Net on {BATCH} × 1 × {SIZE}², best of {ROUNDS} rounds",
        "dataset": dataset.name,
        "commit": code_version()["commit"],
        "hardware": f"{processor()}, {options.threads} of {os.cpu_count()} threads",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "precision": {"plain loop": "32-true", "pointillist": best_precision("cpu")},
        "iterations_a_second": {"plain loop": round(1 / best[0], 2), "pointillist": round(1 / best[1], 2)},
        "times_faster": round(best[0] / best[1], 2),
        "data_share_of_a_step_percent": round(100 * share, 2),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
