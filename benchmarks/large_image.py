"""What training on crops of 4096² in colour takes with the two-component network: memory and seconds, phase by phase.

Run: python benchmarks/large_image.py [--side N] [--only NAME,…]

Writes benchmarks/results/large_image.json. Each method trains two steps of one image in a process of its own, in
bfloat16 on one thread, through the trainer as `pointillist train` does: loading and augmentation are part of a step.
Between them held-out marks are predicted, and `cvm` makes its targets, so that its second step has both terms. Then an
image a quarter wider than a tile is predicted. Peaks are those of the whole process in each phase; seconds are the
processor's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from _forms import peak_mib, write
from pointillist.benchmark.provenance import code_version
from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.image import Grid, Image
from pointillist.data.simulate import draw
from pointillist.methods import method_named
from pointillist.predict.model import load_model
from pointillist.predict.predictor import Predictor
from pointillist.spec import TaskSpec
from pointillist.train.plan import Plan
from pointillist.train.run import train
from pointillist.train.trainer import Trainer

RESULT = Path(__file__).parent / "results" / "large_image.json"
SPEC = TaskSpec(("background", "target"), ("red", "green", "blue"))
METHODS = ("pce", "cvm")
LIMIT_GIB = 8
CELL = 32  # pixels that share a colour, so that files stay small


def tissue(shape: tuple[int, int], seed: int) -> tuple[Image, np.ndarray]:
    """Two textures in large regions, and where the second one is."""
    rng = np.random.default_rng(seed)
    rows, columns = (-(-n // CELL) for n in shape)
    y, x = np.mgrid[:rows, :columns] / max(rows, columns)
    target = np.sin(9 * y + rng.uniform(0, 6)) + np.cos(11 * x + rng.uniform(0, 6)) > 0
    colours = np.where(target[..., None], (120, 60, 140), (220, 170, 200)) + rng.integers(-30, 30, (rows, columns, 3))
    pixels, dense = (np.kron(one, np.ones((CELL, CELL, 1)[: one.ndim], np.uint8)) for one in (colours, target))
    pixels = pixels[: shape[0], : shape[1]].clip(0, 255).astype(np.uint8)
    return Image(pixels, Grid(shape)), dense[: shape[0], : shape[1]].astype(np.uint8)


def make_dataset(folder: Path, side: int) -> Path:
    """Two images with three points in the target and three outside: one is learned from, one held out."""
    with DatasetBuilder(folder, name="Large", spec=SPEC, ending=".png", kind="large") as builder:
        for number in (1, 2):
            image, dense = tissue((side, side), number)
            marks = draw(dense, generator="in_out_pairs", seed=1, dataset="Large", case=f"c{number}", slice_axis=-1)
            builder.add(NewCase(f"c{number}", image, f"slide{number}", strokes=tuple(marks), dense=dense))
        builder.finish((), ("two textures",))
    return folder


class Phases:
    """Peak memory and seconds of the process in each phase, the worst of several calls."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = defaultdict(lambda: {"peak_gib": 0.0, "seconds": 0.0})

    @contextmanager
    def phase(self, name: str):
        """What happens inside is such a phase."""
        Path("/proc/self/clear_refs").write_text("5")  # the peak from now on
        began = time.process_time()
        yield
        print(name, round(peak_mib() / 1024, 2), file=sys.stderr, flush=True)
        one = self.found[name]
        one["peak_gib"] = round(max(one["peak_gib"], peak_mib() / 1024), 2)
        one["seconds"] = round(max(one["seconds"], time.process_time() - began), 1)

    def watch(self, owner: type, function: str, name: str) -> None:
        """Make every call of a function such a phase."""
        original = getattr(owner, function)

        def watched(*args):
            with self.phase(name):
                return original(*args)

        setattr(owner, function, watched)


def measure(name: str, side: int, dataset: Path) -> None:
    """Train and predict, and print the phases."""
    phases = Phases()
    phases.watch(Trainer, "_one_step", "step")
    phases.watch(Trainer, "_partial_ce_on_selection", "validation")
    if method_named(name).needs.soft_targets:
        phases.watch(method_named(name), "after_validation", "targets")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        plan = Plan(
            str(dataset), name, iterations=2, size=side, batch=1, threads=1, net="two_component", grid="native",
            precision="bf16-mixed", augmentation="cells", normalisation="unit", recipe=method_named(name).recipe,
            validate_every=1, checkpoint_every=10**6,
        )  # fmt: skip
        train(plan, run)
        predictor = Predictor(*load_model(run), precision="bf16")
        image, _ = tissue((side, side + side // 4), 3)
        with phases.phase("prediction"):
            labels = predictor.predict(image).labels
        assert labels.shape == (side, side + side // 4)
    print(json.dumps(phases.found))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--only", help="methods, by commas; the others' figures stay as they are")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "DATASET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one[0], options.side, Path(options.one[1]))
        return
    names = tuple(options.only.split(",")) if options.only else METHODS
    found = json.loads(RESULT.read_text())["methods"] if options.only and RESULT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder) / "D", options.side)
        for name in names:
            command = [sys.executable, __file__, "--side", str(options.side), "--one", name, str(dataset)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            phases = json.loads(done.stdout.splitlines()[-1])
            found[name] = {"commit": code_version()["commit"], "phases": phases}
            print(name, found[name], flush=True)
    report = {
        "what": f"two steps on one image of 3 × {options.side}², two_component, bfloat16, one thread",
        "methods": found,
        f"step_at_most_{LIMIT_GIB}_gib": all(one["phases"]["step"]["peak_gib"] <= LIMIT_GIB for one in found.values()),
    }
    if options.side == 4096:
        write(RESULT, report)


if __name__ == "__main__":
    main()
