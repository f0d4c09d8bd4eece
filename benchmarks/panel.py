"""The picture in the README: marks that a model was trained from, and what it makes of images it never saw.

Run: python benchmarks/panel.py BENCHMARK_OUT SUITE METHOD PICTURE

BENCHMARK_OUT is a folder of ``pointillist benchmark``. Left: a training image with its marks. Then the held-out image
whose Dice is the median: the image, the prediction's outlines and the truth's. Every picture is the part of 256 × 256
pixels that holds the most foreground.
"""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image as Pillow

from pointillist.data.dataset import Dataset
from pointillist.data.image import Grid, Image
from pointillist.data.readers import read_label
from pointillist.report.picture import marked_picture, outlines
from pointillist.types import IGNORE

SIDE = 256


def busiest_part(foreground: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the part with the most foreground."""
    total = np.pad(foreground.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    held = total[SIDE:, SIDE:] - total[:-SIDE, SIDE:] - total[SIDE:, :-SIDE] + total[:-SIDE, :-SIDE]
    row, column = np.unravel_index(held.argmax(), held.shape)
    return slice(row, row + SIDE), slice(column, column + SIDE)


def shown(image: Image, labels: np.ndarray | None, part: tuple[slice, slice], dataset: Dataset) -> np.ndarray:
    """The part of an image with labels in the classes' colours."""
    cut = replace(image, array=image.array[part], grid=Grid((SIDE, SIDE)))
    picture, _ = marked_picture(cut, None if labels is None else labels[part], dataset.spec)
    return np.asarray(Pillow.open(io.BytesIO(picture)))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("out", "suite", "method", "picture"):
        parser.add_argument(name)
    options = parser.parse_args()
    result = json.loads(
        (Path(options.out) / "results" / options.suite / options.method / "fold1-seed1.json").read_text()
    )
    run = Path(options.out) / "runs" / options.suite / options.method / "fold1-seed1"
    dataset = Dataset.open(Path(json.loads((run / "run.json").read_text())["plan"]["dataset"]))
    table = result["readings"]["recalibrated"]["cases"]
    dice = table["columns"].index("dsc")
    scores = sorted((row[dice], row[0]) for row in table["rows"] if row[dice] is not None)
    score, median = scores[(len(scores) - 1) // 2]
    by_id = {case.id: case for case in dataset.training}
    held_out = by_id[median]
    image, truth = dataset.image(held_out), dataset.dense_labels(held_out).array
    predicted = read_label(next((run / "predictions" / "recalibrated").glob(f"{median}.*"))).array
    part = busiest_part(truth > 0)
    trained = next(case for case in dataset.training if case.id not in {row[0] for row in table["rows"]})
    marks = dataset.sparse_labels(trained).array
    marked_part = busiest_part((marks != IGNORE) & (marks > 0))
    parts = {
        "marked for training": shown(dataset.image(trained), marks, marked_part, dataset),
        "an image it never saw": shown(image, None, part, dataset),
        f"{options.method}: Dice {score:.2f}": shown(image, outlines(predicted, image), part, dataset),
        "truth": shown(image, outlines(truth, image), part, dataset),
    }
    figure = Figure(figsize=(12, 3.3), layout="constrained")
    for axes, (title, pixels) in zip(figure.subplots(1, len(parts)), parts.items(), strict=True):
        axes.imshow(pixels)
        axes.set_title(title, fontsize=12)
        axes.axis("off")
    figure.savefig(options.picture, dpi=110)


if __name__ == "__main__":
    main()
