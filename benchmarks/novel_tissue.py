"""What trained models make of tissue they never saw: texture of other images pasted into held-out ones.

Run: python benchmarks/novel_tissue.py RUNS TEXTURES [--methods cvm,pce,dmpls] [--picture FILE]

RUNS is the folder of a suite's runs, OUT/runs/glas-quick, with METHOD/fold*-seed* in it; TEXTURES a dataset of another
tissue, such as MoNuSeg as `pointillist import monuseg` makes it. Each run predicts the images of its fold as they are,
and with a blob of foreign texture in each, whose rim fades over a few pixels; blobs depend on the image and the seed
alone, so all methods see the same ones. Whatever is called a target inside of the blob is a false positive. The figures
of an image are means over its blobs and over the seeds of training; the first method is compared with each of the
others, image by image. Writes benchmarks/results/novel_tissue.json; results_page.py makes a section of it.

Source: Zhang et al., CVPR 2023, sections 1 and 5.3, claim that contrast maps are robust to unlabelled novel regions,
and show pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter, label

from _forms import write
from pointillist.benchmark.advice import titled
from pointillist.benchmark.comparison import paired_difference
from pointillist.data.dataset import Dataset
from pointillist.data.image import Image
from pointillist.predict.model import load_model
from pointillist.predict.predictor import Predictor
from pointillist.report.picture import marked_picture, outlines
from pointillist.train.plan import read_plan, split_of
from pointillist.types import AnyArray, Floats, LabelMap, Mask

RESULT = Path(__file__).parent / "results" / "novel_tissue.json"
MEASURES = {
    "inside": "share of the blob that is called target",
    "before": "share of the same place that is called target in the image as it is; glands may lie there",
    "outside": "share of the background outside of the blob that is called target",
    "outside_before": "the same in the image as it is",
}
SHOWN = 6  # images of a picture
FADE = 3.0  # pixels, the σ over which a blob's rim fades


def blob(shape: tuple[int, int], share: float, rng: np.random.Generator) -> Floats:
    """``(h, w)`` opacity in [0, 1]: one connected, irregular region of about this share of the image."""
    side = min(shape)
    centre = [rng.uniform(0.25, 0.75) * n for n in shape]
    rows, columns = np.indices(shape)
    field = gaussian_filter(rng.normal(size=shape), side / 12, mode="nearest")
    field = 0.5 * field / field.std() - 4 * np.hypot(rows - centre[0], columns - centre[1]) / side
    parts, _ = label(field > np.quantile(field, 1 - share))
    largest = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    faded: Floats = gaussian_filter(largest.astype(float), FADE)
    return faded


def foreign(textures: list[AnyArray], shape: tuple[int, int], scale: float, rng: np.random.Generator) -> AnyArray:
    """``(h, w, 3)`` of one of the textures, brought to scale, somewhere in it, mirrored where it is too small."""
    texture = Pillow.fromarray(textures[rng.integers(len(textures))])
    width, height = (max(1, round(n * scale)) for n in texture.size)
    pixels = np.asarray(
        texture.resize((width, height), Pillow.Resampling.BOX if scale < 1 else Pillow.Resampling.BICUBIC)
    )
    top, left = (int(rng.integers(n)) for n in pixels.shape[:2])
    missing = [max(0, begin + n - m) for begin, n, m in zip((top, left), shape, pixels.shape[:2], strict=True)]
    whole = np.pad(pixels, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")
    taken: AnyArray = whole[top : top + shape[0], left : left + shape[1]]
    return taken[:: rng.choice((1, -1)), :: rng.choice((1, -1))]


def pasted(
    image: Image, textures: list[AnyArray], seed: int, name: str, options: argparse.Namespace
) -> tuple[Image, Mask]:
    """The image with a blob of foreign texture, and where the blob is."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    rng = np.random.default_rng(list(digest))
    opacity = blob(image.grid.shape, options.share, rng)
    other = foreign(textures, image.grid.shape, options.scale, rng)
    mixed = image.array + opacity[..., None] * (other.astype(float) - image.array)
    return replace(image, array=np.round(mixed).astype(np.uint8)), opacity > 0.5


def measured(found: LabelMap, plain: LabelMap, truth: LabelMap, inside: Mask) -> dict[str, float]:
    """The measures of one blob."""
    ground = (truth == 0) & ~inside
    return {
        "inside": float((found[inside] > 0).mean()),
        "before": float((plain[inside] > 0).mean()),
        "outside": float((found[ground] > 0).mean()) if ground.any() else 0.0,
        "outside_before": float((plain[ground] > 0).mean()) if ground.any() else 0.0,
    }


def cases_of(
    run: Path, textures: list[AnyArray], options: argparse.Namespace, shown: list[AnyArray]
) -> dict[str, dict]:
    """Of each held-out image of a run the measures, means over its blobs."""
    plan = read_plan(run)
    dataset = Dataset.open(Path(plan.dataset))
    fold, _ = split_of(plan, dataset)
    folder = run / "recalibrated" if options.reading == "recalibrated" else run
    predictor = Predictor(*load_model(folder), precision="fp32")
    held_out = [dataset.case(name) for name in fold.val] if plan.fold is not None else list(dataset.testing)
    found = {}
    for case in held_out:
        image, truth = dataset.image(case), dataset.dense_labels(case).array
        plain = predictor.predict(image).labels
        blobs = []
        for number in range(options.blobs):
            mixed, inside = pasted(image, textures, options.seed + number, case.id, options)
            labels = predictor.predict(mixed).labels
            blobs.append(measured(labels, plain, truth, inside))
        shown.append(_picture(mixed, labels, dataset))
        found[case.id] = {name: float(np.mean([one[name] for one in blobs])) for name in MEASURES}
    return found


def _picture(image: Image, labels: LabelMap, dataset: Dataset) -> AnyArray:
    jpeg, _ = marked_picture(image, outlines(labels, image), dataset.spec)
    return np.asarray(Pillow.open(io.BytesIO(jpeg)))


def _framed(picture: AnyArray) -> AnyArray:
    side = max(picture.shape)
    return np.pad(picture, [(0, side - n) for n in picture.shape[:2]] + [(0, 0)], constant_values=255)


def by_method(
    options: argparse.Namespace, textures: list[AnyArray]
) -> tuple[dict[str, dict], dict[str, list[AnyArray]]]:
    """Of each method with its settings its cases, means over seeds; and pictures of the last blobs."""
    found, shown = {}, {}
    for folder in options.methods.split(","):
        runs = sorted((options.runs / folder).glob("*-seed*/model.json"))
        if not runs:
            raise SystemExit(f"{options.runs / folder} holds no finished run")
        plan = read_plan(runs[0].parent)
        method = titled(plan.method, plan.settings)
        if method in found:
            raise SystemExit(f"{options.runs / folder}: {method} is there twice; compare one of them at a time")
        pictures: list[AnyArray] = []
        values: dict[str, list[dict]] = defaultdict(list)
        for run in runs:
            for case, one in cases_of(run.parent, textures, options, pictures).items():
                values[case].append(one)
        found[method] = {
            case: {name: round(float(np.mean([one[name] for one in several])), 6) for name in MEASURES}
            for case, several in sorted(values.items())
        }
        shown[method] = pictures
    return found, shown


def differences(found: dict[str, dict]) -> list[dict]:
    """The first method minus each other one, on the images that both have, inside of blobs and outside."""
    first, *others = found
    lines = []
    for other in others:
        common = sorted(found[first].keys() & found[other].keys())
        for name in ("inside", "outside"):
            apart = np.array([found[first][case][name] - found[other][case][name] for case in common])
            lines.append({"method": first, "measure": name} | asdict(paired_difference(other, apart)))
    return lines


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("textures", type=Path)
    parser.add_argument(
        "--methods", default="cvm,pce,dmpls", help="folders of RUNS; the first is held against the others"
    )
    parser.add_argument("--reading", choices=("plain", "recalibrated"), default="plain")  # as train leaves it
    parser.add_argument("--share", type=float, default=0.2, help="of the image that a blob covers")
    parser.add_argument("--scale", type=float, default=0.4, help="of textures; MoNuSeg's 0.25 µm on GlaS's 0.62 µm")
    parser.add_argument("--blobs", type=int, default=3, help="an image, one at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="of the last blob in a few images, a row a method")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    dataset = Dataset.open(options.textures)
    textures = [dataset.image(case).array for case in (*dataset.training, *dataset.testing)]
    found, shown = by_method(options, textures)
    if options.picture:
        count = min(SHOWN, *map(len, shown.values()))
        rows = [np.hstack([_framed(one) for one in row[:count]]) for row in shown.values()]
        Pillow.fromarray(np.vstack(rows)).save(options.picture)
    report = {
        "what": f"{options.runs.name}, textures of {dataset.name}: a blob of {options.share:.0%} of the image",
        "reading": options.reading,
        "blobs_an_image": options.blobs,
        "scale_of_textures": options.scale,
        "seed": options.seed,
        "measures": MEASURES,
        "means": {
            method: {name: float(np.mean([one[name] for one in cases.values()])) for name in MEASURES}
            for method, cases in found.items()
        },
        "differences": differences(found),
        "cases": found,
    }
    write(options.out, report)


if __name__ == "__main__":
    main()
