"""Time of a training batch's data: the cache with batched augmentation against the plain loop of the public codes.

Run: python benchmarks/pipeline.py [--dataset FOLDER] [--threads N]

Writes benchmarks/results/pipeline.json. The plain loop reads one native slice a sample from disk (a NumPy file, which
opens faster than HDF5), turns or rotates it with NumPy and SciPy, and zooms image and label with SciPy, as in WSL4MIS
code/dataloaders/dataset_semi.py. Both make the same batches (12 × 1 × 128², float32 images, int64 labels); the sources
of variation are timed in turns in one process. A step of the published U-Net (forward and backward in float32) on
such a batch is timed beside them. Without --dataset, 20 noise volumes of 216 × 256 × 10 stand in.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy.ndimage
import torch

from pointillist.benchmark.provenance import code_version
from pointillist.data.augment import AUGMENTATIONS, SliceSource, batches
from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.cache import CacheSettings, build_cache
from pointillist.data.dataset import Dataset
from pointillist.data.image import Grid, Image
from pointillist.losses.partial_ce import partial_ce
from pointillist.nets.unet import UNet
from pointillist.spec import TaskSpec
from pointillist.train.plan import processor
from pointillist.types import IGNORE

RESULT = Path(__file__).parent / "results" / "pipeline.json"
BATCH = 12
ROUNDS = 5
BATCHES_A_ROUND = 40


def noise_dataset(folder: Path) -> Dataset:
    grid = Grid((216, 256, 10), (1.4, 1.4, 10.0), np.diag([1.4, 1.4, 10.0, 1.0]), np.array([[0, 1], [1, 1], [2, 1.0]]))
    spec = TaskSpec(("background", "RV", "Myo", "LV"), ("MRI",))
    with DatasetBuilder(folder / "noise", name="noise", spec=spec, ending=".nii.gz", kind="benchmark") as builder:
        for number in range(20):
            rng = np.random.default_rng(number)
            image = Image(rng.integers(0, 1000, grid.shape).astype(np.int16), grid)
            base = np.where(rng.random(grid.shape) < 0.01, rng.integers(0, 4, grid.shape), IGNORE).astype(np.uint8)
            builder.add(NewCase(f"case{number}", image, f"case{number}", base=base))
        builder.finish([])
    return Dataset.open(folder / "noise")


def plain_files(dataset: Dataset, folder: Path, most: int) -> list[Path]:
    """One file a native slice, as the public codes prepare them."""
    paths: list[Path] = []
    for case in dataset.training[:most]:
        image, label = dataset.image(case), dataset.sparse_labels(case).array
        volume = image.array.astype(np.float32) / max(float(image.array.max()), 1.0)
        axis = image.grid.slice_axis
        for number in range(volume.shape[axis]):
            paths.append(folder / f"{case.id}_{number}.npz")
            np.savez(paths[-1], image=volume.take(number, axis), label=label.take(number, axis))
    return paths


def plain_batch(paths: list[Path], size: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = [], []
    for path in rng.choice(np.array(paths), BATCH):
        with np.load(path) as file:
            image, label = file["image"], file["label"]
        if rng.random() < 0.5:
            k, axis = int(rng.integers(4)), int(rng.integers(2))
            image, label = (np.flip(np.rot90(one, k), axis) for one in (image, label))
        elif rng.random() < 0.5:
            angle = int(rng.integers(-20, 20))
            image = scipy.ndimage.rotate(image, angle, order=0, reshape=False)
            label = scipy.ndimage.rotate(label, angle, order=0, reshape=False, mode="constant", cval=IGNORE)
        zoom = (size / image.shape[0], size / image.shape[1])
        images.append(torch.from_numpy(scipy.ndimage.zoom(image, zoom, order=0))[None])
        labels.append(torch.from_numpy(scipy.ndimage.zoom(label, zoom, order=0)))
    return torch.stack(images), torch.stack(labels).long()


def ours(source: SliceSource, epoch: int) -> float:
    slices = np.arange(len(source.cache))
    count, start = 0, time.perf_counter()
    for _ in batches(source, slices, BATCH, AUGMENTATIONS["acdc"], seed=0, epoch=epoch, drop_last=True):
        count += 1
        if count == BATCHES_A_ROUND:
            break
    return (time.perf_counter() - start) / count * 1000


def plain(paths: list[Path], size: int, seed: int) -> float:
    rng, count = np.random.default_rng(seed), 4
    start = time.perf_counter()
    for _ in range(count):
        plain_batch(paths, size, rng)
    return (time.perf_counter() - start) / count * 1000


def step(net: UNet, size: int) -> float:
    image, label = torch.rand(BATCH, 1, size, size), torch.randint(0, 4, (BATCH, size, size))
    start = time.perf_counter()
    partial_ce(net(image).logits, label).backward()
    return (time.perf_counter() - start) * 1000


def measure(dataset: Dataset, folder: Path, size: int) -> dict[str, object]:
    begin = time.perf_counter()
    cache = build_cache(dataset, CacheSettings(size), folder / f"{size}.slices")
    seconds = time.perf_counter() - begin
    source, paths, net = SliceSource.open(cache), plain_files(dataset, folder, 20), UNet(1, 4)
    best = {"pointillist": np.inf, "plain loop": np.inf, "U-Net step": np.inf}
    for number in range(ROUNDS):
        best["pointillist"] = min(best["pointillist"], ours(source, number))
        best["plain loop"] = min(best["plain loop"], plain(paths, size, number))
        best["U-Net step"] = min(best["U-Net step"], step(net, size))
    return {
        "slices": len(cache),
        "seconds_to_build_the_cache": round(seconds, 1),
        "megabytes": round(cache.path.stat().st_size / 1e6, 1),
        "ms_per_batch": {name: round(ms, 2) for name, ms in best.items()},
        "times_faster_than_the_plain_loop": round(best["plain loop"] / best["pointillist"], 1),
        "data_share_of_a_step_percent": {
            name: round(100 * best[name] / (best[name] + best["U-Net step"]), 2)
            for name in ("pointillist", "plain loop")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = Dataset.open(arguments.dataset) if arguments.dataset else noise_dataset(folder)
        results = {f"12 × 1 × {size}²": measure(dataset, folder, size) for size in (128, 256)}
    content = {
        "what": "a training batch of slices with marks, augmentation acdc, best round",
        "dataset": dataset.name,
        "commit": code_version()["commit"],
        "hardware": f"{processor()}, {arguments.threads} of {os.cpu_count()} threads",
        "load_average_of_the_last_minute": round(os.getloadavg()[0], 1),
        "versions": {name: version(name) for name in ("numpy", "scipy", "torch")},
        "results": results,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(content, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
