"""What a training step of every method costs, and its peak memory, against plain partial cross-entropy.

Run: python benchmarks/method_step.py [--threads N] [--only NAME,…]

Writes benchmarks/results/method_step.json. A method and ``pce`` train in turns in one process of their own on phantom
hearts, 12 × 1 × 128², with every term counting from the first step. Offline labels are not part of a step; what a
method does after a step or an epoch is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from _forms import peak_mib
from pointillist.benchmark.provenance import code_version
from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import make_phantoms
from pointillist.methods import method_named, methods
from pointillist.methods._settings import settings_of
from pointillist.train.plan import Plan, best_precision, processor
from pointillist.train.run import train
from pointillist.train.trainer import Trainer

RESULT = Path(__file__).parent / "results" / "method_step.json"
BATCH, SIZE, ROUNDS, PATIENTS = 12, 128, 3, 4


def steps_of(dataset: Path, name: str, threads: int, seconds: list[float]) -> None:
    """Train two epochs, and append the mean seconds a step of the second one."""
    settings = {"start": 0.0} if "start" in settings_of(method_named(name)) else {}
    slices = sum(Dataset.open(dataset).image(case).array.shape[2] for case in Dataset.open(dataset).training)
    epoch = slices // BATCH
    plan = Plan(
        str(dataset), name, settings, iterations=2 * epoch, size=SIZE, batch=BATCH, threads=threads,
        precision=best_precision("cpu"), checkpoint_every=10**6, recipe=method_named(name).recipe,
    )  # fmt: skip
    began = 0.0
    one_step, save = Trainer._one_step, Trainer._save

    def watched(self, clock):
        nonlocal began
        if clock.step == epoch:
            began = time.perf_counter()
        return one_step(self, clock)

    def saved(self, log):
        seconds.append((time.perf_counter() - began) / epoch)
        save(self, log)

    Trainer._one_step, Trainer._save = watched, saved
    with tempfile.TemporaryDirectory() as folder:
        train(plan, Path(folder) / "run")
    Trainer._one_step, Trainer._save = one_step, save


def compare(dataset: Path, name: str, threads: int) -> None:
    """Both in turns; ``pce`` first, so that the peak after its first round is its own."""
    before, plain, method = peak_mib(), [], []
    steps_of(dataset, "pce", threads, plain)
    peaks = [peak_mib() - before]
    for turn in range(ROUNDS):
        steps_of(dataset, name, threads, method)
        if turn == 0:
            peaks.append(peak_mib() - before)
        if turn < ROUNDS - 1:
            steps_of(dataset, "pce", threads, plain)
    print(json.dumps({
        "seconds": round(min(method), 3),
        "times_pce": round(min(method) / min(plain), 2),
        "peak_mb": round(peaks[1]),
        "times_peak_of_pce": round(peaks[1] / peaks[0], 2),
    }))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="measure these again, by commas, and leave the other rows as they are")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "DATASET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        compare(Path(options.one[1]), options.one[0], options.threads)
        return
    rows = json.loads(RESULT.read_text())["methods"] if options.only else {}
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_phantoms(Path(folder) / "D", training=PATIENTS, testing=0, seed=1)
        for name in options.only.split(",") if options.only else methods():
            command = [sys.executable, __file__, "--threads", str(options.threads), "--one", name, str(dataset)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows[name] = json.loads(done.stdout.splitlines()[-1])
            print(f"{name:20} {rows[name]}", flush=True)
    result = {
        "what": f"one training step on {BATCH} × 1 × {SIZE}², best of {ROUNDS} epochs, in turns with pce",
        "commit": code_version()["commit"],
        "hardware": f"{processor()}, {options.threads} of {os.cpu_count()} threads",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "precision": best_precision("cpu"),
        "methods": rows,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
