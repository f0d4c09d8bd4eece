"""How many clicks a segmentation costs, when they go anywhere and when they go where the app suggests.

Run: python benchmarks/annotation_economy.py DATA OUT [--strategies …] [--seeds 1 2 3] [--rounds 6] [--iterations N]

Writes benchmarks/results/annotation_economy.json. A simulated annotator, which alone sees the dense truth, clicks on
ACDC. First once into each class present in one random slice of each of IMAGES random volumes, the same for all
strategies. Then, in every round, a network learns from all clicks so far, beginning with the weights of the round
before; the volumes are predicted with their uncertainty, and CLICKS more clicks are made in one slice of each of IMAGES
volumes:

- random: volumes, slices and places at random, each class present in the slice as likely (as a person would click);
- uniform: the same, places at random, whatever lies there;
- images: the volumes with the highest scores, and the slice of each with most to gain (``pointillist.data.suggest``);
  places as in random;
- places: the same volumes and slices, and the places that are suggested there.

DSC is the mean over classes of the means over the fold's held-out volumes. What counts is the number of clicks at which
it first reaches the target, fixed before anything was run, between rounds by straight lines.

OUT/STRATEGY-seedN/round-R.json holds a round's clicks and DSC. The same command goes on where it stopped, and keeps
what the results file already holds under the same settings.
"""

from __future__ import annotations

import argparse
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pointillist.benchmark.provenance import code_version
from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.image import Image
from pointillist.data.importers.acdc import import_acdc
from pointillist.data.marked import Marked, write_marked
from pointillist.data.simulate.annotator import Annotator
from pointillist.data.simulate.dataset import unmarked_copy
from pointillist.data.simulate.draw import seeded
from pointillist.data.suggest import Suggestion, suggestions
from pointillist.data.writers import write_json
from pointillist.evaluate.evaluation import evaluate_folder
from pointillist.evaluate.protocol import Protocol
from pointillist.evaluate.summary import ALL_CLASSES, summarise
from pointillist.methods import method_named
from pointillist.predict.cases import InputCase
from pointillist.predict.model import load_model
from pointillist.predict.predictor import Predictor
from pointillist.predict.stream import Output, predict_stream
from pointillist.runtime.memory import keep_freed_memory
from pointillist.train.plan import Plan, best_precision, processor
from pointillist.train.run import resume, train
from pointillist.types import Stroke

RESULT = Path(__file__).parent / "results" / "annotation_economy.json"
STRATEGIES = ("random", "images", "places", "uniform")
TARGET = 0.5
IMAGES, CLICKS, SIZE = 16, 4, 96
Clicks = dict[str, list[Stroke]]


class Experiment:
    """One strategy with one seed.

    Args:
        source: ACDC with dense truth.
        out: folder of the experiment.
        strategy: one of ``STRATEGIES``.
        seed: of everything random.
        options: of the command line.
    """

    def __init__(self, source: Dataset, out: Path, strategy: str, seed: int, options: argparse.Namespace) -> None:
        self.strategy, self.seed, self.options = strategy, seed, options
        self.folder = out / f"{strategy}-seed{seed}"
        target = self.folder / "dataset"
        self.dataset = Dataset.open(target) if (target / "dataset.json").exists() else unmarked_copy(source, target)
        self.annotator = Annotator(self.dataset, seed)
        fold = self.dataset.splits()[options.fold - 1]
        self.training = [self.dataset.case(name) for name in fold.train]
        self.held_out = [self.dataset.case(name) for name in fold.val]

    def run(self) -> list[dict[str, Any]]:
        """Every round, those that are finished from their files."""
        rounds: list[dict[str, Any]] = []
        clicks = self._first()
        for number in range(1, self.options.rounds + 1):
            path = self.folder / f"round-{number}.json"
            if not path.exists():
                write_json(path, self._round(number, clicks))
                self._tidy(number)
            content = json.loads(path.read_bytes())
            clicks = {case: [as_stroke(one) for one in strokes] for case, strokes in content.pop("next").items()}
            rounds.append(content)
        return rounds

    def _round(self, number: int, clicks: Clicks) -> dict[str, Any]:
        for case in self.training:
            mark(self.dataset, case, clicks.get(case.id, []))
        run = self._train(number)
        dsc = self._dsc(run)
        found = self._suggested(run) if self.strategy in ("images", "places") else []
        added = self._next(number, found)
        following = {case: [*clicks.get(case, []), *added.get(case, [])] for case in {**clicks, **added}}
        count = sum(map(len, clicks.values()))
        print(f"{self.folder.name} round {number}: {count} clicks, DSC {dsc[ALL_CLASSES]:.3f}", flush=True)
        return {
            "round": number,
            "clicks": count,
            "marked_cases": len(clicks),
            "dsc": dsc,
            "minutes": round(json.loads((run / "model.json").read_bytes())["provenance"]["minutes"], 2),
            "next": {case: [as_record(one) for one in strokes] for case, strokes in sorted(following.items())},
        }

    def _first(self) -> Clicks:
        return {
            case.id: self.annotator.one_a_class(case, self._some_slice(case, "first"))
            for case in self._some_cases("first")
        }

    def _next(self, number: int, found: list[Suggestion]) -> Clicks:
        """The clicks of a round."""
        purpose = f"round {number}"
        if not found:
            chosen = [(case, self._some_slice(case, purpose), ()) for case in self._some_cases(purpose)]
        else:
            best = sorted(found, key=lambda one: -one.score)[:IMAGES]
            ranked = [(self.dataset.case(one.case), one.places) for one in best if one.places]
            chosen = [(case, places[0].slice or 0, places) for case, places in ranked]
        if self.strategy == "places":
            return {
                case.id: self.annotator.at(case, [(place.row, place.column, place.slice) for place in places[:CLICKS]])
                for case, _, places in chosen
            }
        if self.strategy == "uniform":
            return {case.id: self.annotator.at(case, self._anywhere(case, depth, purpose)) for case, depth, _ in chosen}
        return {case.id: self.annotator.random(case, depth, CLICKS, purpose) for case, depth, _ in chosen}

    def _some_cases(self, purpose: str) -> list[Case]:
        rng = seeded(self.seed, "cases", purpose)
        return [self.training[number] for number in rng.choice(len(self.training), IMAGES, replace=False)]

    def _some_slice(self, case: Case, purpose: str) -> int:
        grid = self.dataset.sparse_labels(case).grid
        return int(seeded(self.seed, "slice", case.id, purpose).integers(grid.shape[grid.slice_axis]))

    def _anywhere(self, case: Case, depth: int, purpose: str) -> list[tuple[int, ...]]:
        grid = self.dataset.sparse_labels(case).grid
        rows, columns = (size for axis, size in enumerate(grid.shape) if axis != grid.slice_axis)
        rng = seeded(self.seed, "place", case.id, purpose)
        return [(int(rng.integers(rows)), int(rng.integers(columns)), depth) for _ in range(CLICKS)]

    def _train(self, number: int) -> Path:
        run, before = self.folder / f"run-{number}", self.folder / f"run-{number - 1}"
        plan = Plan(
            str(self.dataset.root),
            self.options.method,
            settings=dict(pair.split("=", 1) for pair in self.options.set),
            fold=self.options.fold,
            only_marked=True,
            iterations=self.options.iterations,
            size=SIZE,
            init=str(before) if number > 1 else None,
            seed=self.seed,
            precision=best_precision("cpu"),
            threads=self.options.threads,
            recalibrate_bn=True,
            recipe=method_named(self.options.method).recipe,
        )
        if (run / "run.json").exists():
            resume(run)
        else:
            train(plan, run)
        return run

    def _dsc(self, run: Path) -> dict[str, float]:
        self._predict(run, self.held_out, run / "held-out", Output())
        rows = evaluate_folder(run / "held-out", self.dataset.root, Protocol()).rows
        return {line["class"]: round(line["mean"], 4) for line in summarise(rows) if line["metric"] == "dsc"}

    def _suggested(self, run: Path) -> list[Suggestion]:
        self._predict(run, self.training, run / "predictions", Output(uncertainty=True))
        return list(suggestions(self.dataset, run / "predictions"))

    def _predict(self, run: Path, cases: list[Case], out: Path, output: Output) -> None:
        predictor = Predictor(*load_model(run))
        for outcome in predict_stream(predictor, [InputCase(case.id, case.images) for case in cases], out, output):
            if outcome.error:
                raise RuntimeError(outcome.error)

    def _tidy(self, number: int) -> None:
        """What no later round needs: predictions, and the weights before the last."""
        for folder in (self.folder / f"run-{number}" / "predictions", self.folder / f"run-{number - 1}"):
            shutil.rmtree(folder, ignore_errors=True)


def mark(dataset: Dataset, case: Case, strokes: list[Stroke]) -> None:
    labels: Image = dataset.sparse_labels(case)
    if strokes or case.marks.exists():
        write_marked(dataset, case, Marked(labels, None, tuple(strokes)))


def as_record(stroke: Stroke) -> list[float]:
    return [stroke.cls, *stroke.points[0].tolist()]


def as_stroke(record: list[float]) -> Stroke:
    return Stroke(int(record[0]), np.array([record[1:]]))


def clicks_to(rounds: list[dict[str, Any]], target: float) -> float | None:
    """Clicks at which the DSC first reaches the target, by straight lines between rounds; None if it never does."""
    points = [(one["clicks"], one["dsc"][ALL_CLASSES]) for one in rounds]
    if points and points[0][1] >= target:
        return points[0][0]
    for (fewer, low), (more, high) in pairwise(points):
        if high >= target > low:
            return round(fewer + (target - low) / (high - low) * (more - fewer), 1)
    return None


def recorded(path: Path, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What a results file holds; one of an experiment with other settings must not be written over."""
    if not path.exists():
        return []
    found = json.loads(path.read_bytes())
    results: list[dict[str, Any]] = found.pop("results")
    if found != json.loads(json.dumps(asked)):
        raise SystemExit(f"{path} holds results with other settings: {found}. Name another file with --record.")
    return results


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, help="folder of the raw ACDC files")
    parser.add_argument("out", type=Path)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES[:3])
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--method", default="entropy_min")
    parser.add_argument("--set", nargs="*", default=())
    parser.add_argument("--fold", type=int, default=1, help="fold 5 for whatever is chosen by looking at results")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", type=Path, default=RESULT, help="another file for trials")
    options = parser.parse_args()
    keep_freed_memory()
    source = options.out / "acdc"
    if not (source / "dataset.json").exists():
        import_acdc(options.data, source)
    asked = {name: getattr(options, name) for name in ("method", "set", "iterations", "rounds", "fold")}
    asked |= {"target": TARGET, "images": IMAGES, "clicks": CLICKS, "size": SIZE}
    results = recorded(options.record, asked)
    for seed in options.seeds:  # all strategies of a seed, so that what is there can be compared early
        for strategy in options.strategies:
            if any((one["strategy"], one["seed"]) == (strategy, seed) for one in results):
                continue
            rounds = Experiment(Dataset.open(source), options.out, strategy, seed, options).run()
            reached = clicks_to(rounds, TARGET)
            made_with = {"commit": code_version()["commit"], "processor": processor(), "threads": options.threads}
            results = recorded(options.record, asked)  # another process may have added to it
            results.append({"strategy": strategy, "seed": seed, "clicks": reached, **made_with, "rounds": rounds})
            results.sort(key=lambda one: (STRATEGIES.index(one["strategy"]), one["seed"]))
            write_json(options.record, {**asked, "results": results})
            print(f"{strategy}, seed {seed}: {reached} clicks to DSC {TARGET}", flush=True)


if __name__ == "__main__":
    main()
