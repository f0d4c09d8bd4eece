"""Read a trained model: with the BatchNorm statistics it was trained with, and with re-estimated ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pointillist.data.augment.recipes import augmentation_named
from pointillist.data.augment.source import SliceSource
from pointillist.data.cache.build import cached
from pointillist.data.cache.settings import CacheSettings
from pointillist.data.cache.slices import SliceCache
from pointillist.data.dataset import Dataset
from pointillist.errors import PointillistError
from pointillist.evaluate.evaluation import evaluate_folder
from pointillist.evaluate.objects import OBJECTS
from pointillist.evaluate.protocol import Protocol
from pointillist.evaluate.summary import summarise
from pointillist.evaluate.table import Row
from pointillist.predict.cases import find_cases
from pointillist.predict.model import load_model, save_model
from pointillist.predict.predictor import Predictor
from pointillist.predict.stream import Output, predict_stream
from pointillist.runtime.events import read_events
from pointillist.runtime.memory import keep_freed_memory
from pointillist.train.batchnorm import recalibrate, training_images
from pointillist.train.plan import Plan, split_of
from pointillist.train.run import KEPT, new_method

_DIGITS = 6
_OF_CLASSES = ("dsc", "hd95_pooled", "hd95_pooled_bounded")
_OF_REGIONS = ("accuracy", "precision", "recall", "kappa", "auc")


@dataclass(frozen=True)
class Wanted:
    """What is evaluated besides DSC and HD95.

    Attributes:
        instances: objects.
        regions: accuracy, precision, recall, Cohen's κ and AUC, a case and pooled; probabilities are written for that.
        border: share of the columns that a third reading makes background at either end; 0 = there is none.
    """

    instances: bool = False
    regions: bool = False
    border: float = 0.0


def measure(run: Path, plan: Plan, wanted: Wanted) -> dict[str, Any]:
    """Predict and evaluate the cases that training never saw, twice; with a border, three times.

    Predictions are computed in float32, whatever the precision of training. The model with re-estimated statistics
    is kept in ``run/recalibrated``, predictions in ``run/predictions``.

    Args:
        run: a finished run.
        plan: of the run.
        wanted: what is evaluated.

    Returns:
        ``plain``, ``bordered`` where there is a border (statistics as in ``plain``) and ``recalibrated``, each with
        ``summary`` (as ``pointillist.evaluate.summary.summarise``), ``cases`` (``columns`` and ``rows``) and, for
        regions, ``pooled`` (as ``pointillist.evaluate.pooled.pooled``).

    Raises:
        PointillistError: if a case cannot be predicted or evaluated.
    """
    torch.set_num_threads(plan.threads)
    keep_freed_memory()
    dataset = Dataset.open(Path(plan.dataset))
    net, description = load_model(run, plan.device)
    predictions = run / "predictions"
    plain = Predictor(net, description, precision="fp32")
    readings = {"plain": _reading(plain, predictions / "plain", plan, dataset, wanted)}
    if wanted.border:
        bordered = Predictor(net, description, precision="fp32", border=wanted.border)
        readings["bordered"] = _reading(bordered, predictions / "bordered", plan, dataset, wanted)
    recalibrate(net, _training_images(plan, dataset))
    provenance = description.provenance | {"recalibrated_bn": True}
    description = save_model(run / "recalibrated", net, description.model_copy(update={"provenance": provenance}))
    recalibrated = Predictor(net, description, precision="fp32")
    return readings | {"recalibrated": _reading(recalibrated, predictions / "recalibrated", plan, dataset, wanted)}


def measure_kept(run: Path, plan: Plan) -> list[dict[str, Any]]:
    """Evaluate the models that a run kept on the way, each as it was trained.

    Returns:
        Of each, in order: ``step``, ``partial_ce`` on the held-out marks (None where none were held out), and
        ``summary`` of the cases that training never saw.
    """
    events = [event for event in read_events(run / "events.jsonl") if event["event"] == "validation"]
    marks = {event["step"]: event["partial_ce"] for event in events}
    dataset, found = Dataset.open(Path(plan.dataset)), []
    for folder in sorted((run / KEPT).glob("step_*")):
        predictor = Predictor(*load_model(folder, plan.device), precision="fp32")
        reading = _reading(predictor, run / "predictions" / folder.name, plan, dataset, Wanted())
        step = int(folder.name.removeprefix("step_"))
        found.append({"step": step, "partial_ce": marks.get(step), "summary": reading["summary"]})
    return found


def cache_of(plan: Plan, dataset: Dataset) -> SliceCache:
    """The cache that the plan's method trains from, made if need be."""
    truth = new_method(plan, dataset).needs.dense_truth
    return cached(dataset, CacheSettings(plan.size, plan.grid, plan.normalisation, truth=truth))


def _training_images(plan: Plan, dataset: Dataset) -> Iterator[Tensor]:
    """The images that the run was trained on."""
    source = SliceSource.open(cache_of(plan, dataset), plan.device)
    slices = source.cache.subset(split_of(plan, dataset)[0].train)
    images = training_images(source, slices, augmentation_named(plan.augmentation), batch=plan.batch, seed=plan.seed)
    return (image.to(plan.device) for image in images)


def _reading(predictor: Predictor, out: Path, plan: Plan, dataset: Dataset, wanted: Wanted) -> dict[str, Any]:
    cases = find_cases([dataset.root], len(predictor.description.channels), fold=plan.fold)
    for outcome in predict_stream(predictor, cases, out, Output(probabilities=wanted.regions)):
        if outcome.error is not None:
            raise PointillistError(
                "a case could not be predicted",
                where=outcome.case,
                expected="a prediction of every held-out case",
                received=outcome.error,
                todo="mend the case, then run the same command again",
            )
    rows, pool = _rows(out, dataset, wanted)
    reading = {"summary": [_rounded(line) for line in summarise(rows)], "cases": _table(rows)}
    return reading | ({"pooled": [_rounded(line) for line in pool]} if wanted.regions else {})


def _rows(predictions: Path, dataset: Dataset, wanted: Wanted) -> tuple[list[Row], tuple[dict[str, Any], ...]]:
    """Every case and class, lengths in millimetres (where there are any) and in voxels; objects; pooled metrics."""
    by_unit = [evaluate_folder(predictions, dataset.root, Protocol(unit)) for unit in ("mm", "voxel")]
    metrics = (*_OF_CLASSES, *(_OF_REGIONS if wanted.regions else ()))
    rows = dict.fromkeys(row for one in by_unit for row in one.rows if row.metric in metrics)
    objects = evaluate_folder(predictions, dataset.root, Protocol(), instances=True).rows if wanted.instances else ()
    return [*rows, *objects], by_unit[0].pooled


def _table(rows: list[Row]) -> dict[str, Any]:
    """One line a case and class."""
    columns = list(dict.fromkeys(_column(row) for row in rows))
    lines: dict[tuple[str, str], dict[str, float | None]] = {}
    for row in rows:
        value = None if row.value is None else round(row.value, _DIGITS)
        lines.setdefault((row.case, row.cls), {})[_column(row)] = value
    table = [[case, cls, *(values.get(name) for name in columns)] for (case, cls), values in lines.items()]
    return {"columns": ["case", "class", *columns], "rows": table}


def _column(row: Row) -> str:
    return row.metric if row.unit == "1" else f"{row.metric}_{row.unit}"


def _rounded(line: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, _DIGITS) if isinstance(value, float) else value for key, value in line.items()}


def headline(reading: dict[str, Any]) -> float | None:
    """Mean DSC of a reading: over the classes where there are several."""
    lines = [line for line in reading["summary"] if line["metric"] == "dsc" and line["class"] != OBJECTS]
    value: float | None = lines[-1]["mean"]
    return value
