"""Thousands of files, one after the other: in bounded memory, resumable, and past those that fail."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pointillist.data.image import HeaderRule, Image
from pointillist.data.writers import write_json
from pointillist.errors import DatasetError, InputError, PointillistError
from pointillist.geometry.objects import DEFAULT_RULES, ObjectRules
from pointillist.predict.cases import CaseBytes, InputCase, read_case
from pointillist.predict.export import Form, Kind, ending_for, write_prediction
from pointillist.predict.found import Prediction
from pointillist.predict.predictor import Predictor
from pointillist.runtime.events import EventLog, read_events

MANIFEST = "predictions.jsonl"


@dataclass(frozen=True)
class Output:
    """What is written of every prediction.

    Attributes:
        kind: of label files; None takes NIfTI for volumes and PNG for 2-D images. ``geojson`` writes polygons in
            their place.
        probabilities: whether class probabilities are written.
        uncertainty: whether a map of uncertainty is written.
        header_rule: which side of a contradictory NIfTI header to believe.
        instances: whether images of object numbers are written.
        rules: what counts as an object, for those and for polygons.
    """

    kind: Kind | None = None
    probabilities: bool = False
    uncertainty: bool = False
    header_rule: HeaderRule = "auto"
    instances: bool = False
    rules: ObjectRules = DEFAULT_RULES


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        case: its id.
        status: ``predicted``, ``kept`` (finished by an earlier run, unchanged since) or ``failed``.
        files: what was written, relative to the folder of predictions.
        notes: repairs that reading the image applied.
        error: what is wrong, for a case that failed.
        seconds: that it took.
    """

    case: str
    status: Literal["predicted", "kept", "failed"]
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None
    seconds: float = 0.0


def predict_stream(
    predictor: Predictor, cases: Sequence[InputCase], out: Path, output: Output | None = None
) -> Iterator[Outcome]:
    """Predict cases one after the other into a folder.

    One case is in memory at a time. Its files are written atomically, and then recorded in ``predictions.jsonl`` with
    the hashes of the image, of the model with its settings, and of the files. A case whose hashes all agree is kept.
    ``dataset.json`` names the classes, for ``pointillist evaluate``.

    Args:
        predictor: the model.
        cases: from ``pointillist.predict.cases.find_cases``.
        out: the folder; made if need be.
        output: what is written.

    Yields:
        One outcome a case, in order. A case that fails leaves the others alone.

    Raises:
        InputError: if ``out`` holds an input.
        DatasetError: if ``out`` is a dataset, or holds predictions of other classes.
        OSError: if the disk is full or the folder cannot be written.
    """
    _refuse_inputs_in(out, cases)
    _describe(predictor, out)
    stream = _Stream(predictor, out, output or Output())
    with EventLog(out / MANIFEST) as log:
        for case in cases:
            begin = time.perf_counter()
            outcome, record = stream.one(case)
            if outcome.status != "kept":
                log.write(outcome.status, case=case.id, **record)
            yield replace(outcome, seconds=time.perf_counter() - begin)


class _Stream:
    def __init__(self, predictor: Predictor, out: Path, output: Output) -> None:
        self._predictor, self._out, self._output = predictor, out, output
        settings = {
            "model": predictor.description.sha256,
            "precision": predictor.precision,
            "argmax": predictor.argmax,
            "border": predictor.border,
            "output": asdict(output),
        }
        self._made_by = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        events = read_events(out / MANIFEST)
        self._finished = {event.get("case"): event for event in events if event["event"] == "predicted"}

    def one(self, case: InputCase) -> tuple[Outcome, dict[str, Any]]:
        """What became of a case, and what the manifest is to say of it."""
        earlier = self._finished.get(case.id, {})
        try:
            content = read_case(case)
            if self._unchanged(earlier, content):
                return Outcome(case.id, "kept", tuple(earlier["outputs"])), {}
            self._remove(earlier)
            prediction, image, form = self._predict(content)
        except (PointillistError, MemoryError, PermissionError) as error:
            self._remove(earlier)
            message = str(error) or type(error).__name__
            return Outcome(case.id, "failed", error=message), {"error": message}
        classes = self._predictor.description.classes
        paths = write_prediction(self._out, case.id, prediction, image.grid, classes, form)
        outputs = {path.relative_to(self._out).as_posix(): _sha256(path) for path in paths}
        record = {"inputs": content.hashes, "made_by": self._made_by, "outputs": outputs}
        return Outcome(case.id, "predicted", tuple(outputs), image.notes), record

    def _predict(self, content: CaseBytes) -> tuple[Prediction, Image, Form]:
        image = content.image(self._output.header_rule)
        output = self._output
        ending = ending_for(image.grid, output.kind, image.where, instances=output.instances)
        wanted = {"probabilities": output.probabilities, "uncertainty": output.uncertainty}
        return self._predictor.predict(image, **wanted), image, Form(ending, output.instances, output.rules)

    def _unchanged(self, earlier: dict[str, Any], content: CaseBytes) -> bool:
        """Whether an earlier run predicted the same bytes with the same model, and its files are still as written."""
        if (earlier.get("made_by"), earlier.get("inputs")) != (self._made_by, content.hashes):
            return False
        outputs = earlier.get("outputs", {})
        paths = {self._out / name: digest for name, digest in outputs.items()}
        return bool(paths) and all(path.is_file() and _sha256(path) == digest for path, digest in paths.items())

    def _remove(self, earlier: dict[str, Any]) -> None:
        """Remove what an earlier run wrote of a case that has changed: it belongs to another image or model."""
        for name in earlier.get("outputs", {}):
            path = self._out / name
            if path.resolve().is_relative_to(self._out.resolve()):
                path.unlink(missing_ok=True)


def _refuse_inputs_in(out: Path, cases: Sequence[InputCase]) -> None:
    inside = [path for case in cases for path in case.files if path.resolve().parent == out.resolve()]
    if inside:
        raise InputError(
            "predictions would lie among the images they are made from",
            where=out,
            expected="another folder",
            received=f"the folder of {inside[0].name}",
            todo="name a new folder for the predictions",
        )


def _describe(predictor: Predictor, out: Path) -> None:
    """Name the classes beside the predictions; refuse a folder that holds something else."""
    path, description = out / "dataset.json", predictor.description
    labels = {name: value for value, name in enumerate(description.classes)}
    content = {
        "name": out.resolve().name,
        "channel_names": {str(i): name for i, name in enumerate(description.channels)},
        "labels": labels,
        "pointillist": {"predictions": 1, "model": description.sha256},
    }
    if path.exists() and not _same_classes(path, labels):
        raise DatasetError(
            "the folder holds a dataset, or predictions of other classes",
            where=out,
            expected="a new folder, or one with predictions of the same classes",
            received="another dataset.json",
            todo="name another folder",
        )
    write_json(path, content)


def _same_classes(path: Path, labels: dict[str, int]) -> bool:
    try:
        content = json.loads(path.read_bytes())
        return bool(content["pointillist"]["predictions"] == 1 and content["labels"] == labels)
    except (ValueError, KeyError, TypeError):
        return False


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
