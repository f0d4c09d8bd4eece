"""Evaluate a folder of predictions into a long table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pointillist import __version__
from pointillist.data.image import HeaderRule, Image, same_grid
from pointillist.data.readers import read_label
from pointillist.errors import LabelError
from pointillist.evaluate.cases import auc_rows, case_counts, case_rows
from pointillist.evaluate.classes import Classes, find_classes, labels_in
from pointillist.evaluate.folders import Pair, Pairing, pair_files
from pointillist.evaluate.objects import object_rows
from pointillist.evaluate.pooled import CaseCounts, pooled
from pointillist.evaluate.protocol import SURFACE, Protocol
from pointillist.evaluate.scores import FOLDER
from pointillist.evaluate.summary import DEFINITION, RESAMPLES
from pointillist.evaluate.table import Evaluation, Row


def evaluate_folder(
    predictions: Path,
    reference: Path,
    protocol: Protocol,
    *,
    instances: bool = False,
    header_rule: HeaderRule = "auto",
    seed: int = 0,
) -> Evaluation:
    """Evaluate a folder of predictions.

    Args:
        predictions: as for ``pointillist.evaluate.folders.pair_files``.
        reference: likewise.
        protocol: what to compute.
        instances: compare objects instead of classes.
        header_rule: which side of a contradictory NIfTI header to believe.
        seed: of the bootstrap, recorded in the header.

    Returns:
        The table. Classes carry dataset.json's names where the reference folder, its parent or the folder of
        predictions has one, else their numbers.

    Raises:
        InputError, DatasetError: if files cannot be paired.
        LabelError: if a file holds values that no class has.
        GeometryError: if prediction and reference lie on different grids.
        DamagedFileError: if a file cannot be read.
    """
    pairing = pair_files(predictions, reference, instances=instances)
    classes = None
    if not instances:
        predicted_in = predictions if predictions.is_dir() else predictions.parent
        named = find_classes([reference, reference.parent, predicted_in])
        classes = named or _classes_by_number(pairing, header_rule)
    rows: list[Row] = []
    notes: Counter[str] = Counter()
    maps = _probability_maps(pairing, notes) if classes is not None else {}
    pool: list[CaseCounts] = []
    for pair in pairing.pairs:
        predicted, truth = _read(pair, header_rule)
        notes.update([*predicted.notes, *truth.notes, *same_grid(truth, predicted)])
        if classes is None:
            rows += object_rows(pair.case, predicted, truth)
            continue
        rows += case_rows(pair.case, predicted, truth, classes, protocol)
        pool.append(case_counts(predicted, truth, classes, maps.get(pair.case)))
        rows += auc_rows(pair.case, pool[-1])
    header = {
        "predictions": str(predictions),
        "reference": str(reference),
        "bootstrap": {"seed": seed, "resamples": RESAMPLES},
        **_header(rows, pairing, protocol, classes, notes),
    }
    return Evaluation(tuple(rows), header, tuple(pooled(pool, seed=seed)))


def _probability_maps(pairing: Pairing, notes: Counter[str]) -> dict[str, Path]:
    """Probabilities by case, if every case has them."""
    maps = {pair.case: pair.prediction.parent / FOLDER / f"{pair.case}.npz" for pair in pairing.pairs}
    there = {case: path for case, path in maps.items() if path.is_file()}
    if there and len(there) < len(maps):
        notes[f"auc: left out, {len(maps) - len(there)} of {len(maps)} predictions have no probabilities"] = 1
        return {}
    return there


def _read(pair: Pair, header_rule: HeaderRule) -> tuple[Image, Image]:
    return read_label(pair.prediction, header_rule=header_rule), read_label(pair.reference, header_rule=header_rule)


def _classes_by_number(pairing: Pairing, header_rule: HeaderRule) -> Classes:
    """Classes of files that no dataset.json describes: the labels found in any of them, named by their numbers."""
    predicted: set[int] = set()
    true: set[int] = set()
    for pair in pairing.pairs:
        for image, found in zip(_read(pair, header_rule), (predicted, true), strict=True):
            found |= labels_in(image.array, image.where) - {0}
    if (predicted or true) and (predicted & true or not predicted or not true):
        return Classes({value: str(value) for value in sorted(predicted | true)}, None, "labels found")
    raise LabelError(
        "predictions and references have no class in common",
        where=f"{pairing.pairs[0].prediction.parent} and {pairing.pairs[0].reference.parent}",
        expected=f"labels of the references: {sorted(true)}",
        received=f"labels of the predictions: {sorted(predicted)}",
        todo="relabel one side, or use --instances if the numbers are objects",
    )


def _header(
    rows: Iterable[Row],
    pairing: Pairing,
    protocol: Protocol,
    classes: Classes | None,
    notes: Counter[str],
) -> dict[str, Any]:
    metrics = dict.fromkeys(row.metric for row in rows)
    return {
        "pointillist": __version__,
        "definitions": {metric: protocol.definition(metric) for metric in metrics},
        "pooled": "over all voxels of all cases together, class against rest, with a bootstrap interval over cases",
        "surface": SURFACE,
        "summary": DEFINITION,
        "unit": protocol.unit,
        "published_rules": protocol.published,
        "classes": None if classes is None else {str(value): name for value, name in classes.names.items()},
        "cases": len(pairing.pairs),
        "references_without_prediction": list(pairing.without_prediction),
        "notes": [{"note": text, "files": files} for text, files in notes.items()],
    }
