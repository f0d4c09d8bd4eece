"""In the worker: from the log of a case to marks/ and labelsTr, and from files that another program changed to the log.

``CASE.saved.json`` beside the log says up to which revision the files are saved, and which one is being written. Files
are ours if their strokes are those of one of the two; what else they hold, another program wrote, and it counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pointillist.app.answers import error_fields
from pointillist.app.log import new_log, read_log, split_log, sync_folder
from pointillist.app.places import Saved, log_folder, log_path, read_saved, saved_path
from pointillist.app.state import CaseState
from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.image import Grid, Image
from pointillist.data.label_health import LabelHealth, label_health
from pointillist.data.marked import Marked, read_base, write_marked
from pointillist.data.marks import Marks, raster_hash
from pointillist.data.writers import atomic_write_bytes, write_json
from pointillist.errors import PointillistError
from pointillist.types import IGNORE, LabelMap, Stroke


def save(dataset: Dataset, *, case: str) -> dict[str, Any]:
    """Write what the log holds to marks/ and labelsTr.

    Returns:
        ``{"changed": True}``, and nothing was written, if another program changed the files: the server then holds the
        log still and asks for ``adopt``. Otherwise the revision that is saved.
    """
    found = dataset.case(case)
    with _alone(dataset.root):
        log = log_path(dataset.root, case)
        log_bytes = _complete_bytes(log)
        saved = _saved(dataset.root, case, log)
        state, _ = split_log(log, float("inf"))
        marks = dataset.read_marks(found)
        if _is_foreign(marks, log, saved):
            return {"changed": True}
        labels = dataset.sparse_labels(found)
        base, edited = _base(dataset, found, labels, marks, saved)
        strokes, classes = state.marks(), len(dataset.spec.classes)
        if edited or marks is None or marks.strokes != strokes or saved.writing is not None:
            before = Saved(saved.revision, state.revision, raster_hash(labels.array), saved.log_bytes)
            write_json(saved_path(dataset.root, case), asdict(before))
            raster = write_marked(dataset, found, Marked(labels, base, strokes))
        else:
            raster = labels.array
        done = Saved(state.revision, None, raster_hash(raster), log_bytes)
        write_json(saved_path(dataset.root, case), asdict(done))
        counted = label_health(raster, dataset.read_marks(found), base, classes)
        return {"edited": edited, "summary": _summary(found.id, labels.grid, raster, base, counted, state)}


def adopt(dataset: Dataset, *, case: str) -> dict[str, Any]:
    """Take the files that another program changed as the new starting point; what was not saved comes after it.

    The old log stays beside the new one under a number. The caller lets nobody append meanwhile.

    Returns:
        The name of the old log, or None if the files were ours after all.
    """
    found = dataset.case(case)
    with _alone(dataset.root):
        log = log_path(dataset.root, case)
        saved = _saved(dataset.root, case, log)
        marks = dataset.read_marks(found)
        if not _is_foreign(marks, log, saved):
            return {"archived": None}
        state, later = split_log(log, saved.revision)
        start = state.adopt(() if marks is None else marks.strokes, read_log(log))
        archive = _archive(log)
        new_log(log, start, later)
        write_json(saved_path(dataset.root, case), asdict(Saved(start.revision)))
        return {"archived": archive.name}


def scan(dataset: Dataset, *, cases: list[str]) -> list[dict[str, Any]]:
    """What is known of cases without opening them: their grid, their marks counted, and the work done on them.

    Returns:
        One summary a case; one with ``error`` where the case cannot be read.
    """
    return [_scanned(dataset, dataset.case(case)) for case in cases]


def _scanned(dataset: Dataset, case: Case) -> dict[str, Any]:
    try:
        labels = dataset.sparse_labels(case)
        marks = dataset.read_marks(case)
        base = read_base(dataset, case, labels)
        counted = label_health(labels.array, marks, base, len(dataset.spec.classes))
        log = log_path(dataset.root, case.id)
        state = read_log(log) if log.exists() else CaseState.from_strokes(() if marks is None else marks.strokes)
    except PointillistError as error:
        return {"id": case.id, "error": error_fields(error)}
    under = labels.array if marks is None else base
    return _summary(case.id, labels.grid, labels.array, under, counted, state)


def _summary(
    case: str, grid: Grid, labels: LabelMap, base: LabelMap | None, counted: LabelHealth, state: CaseState
) -> dict[str, Any]:
    planes = _by_slice(labels, grid)
    foreground = ((planes != IGNORE) & (planes != 0)).any(axis=1)
    background_slices = int(((planes != IGNORE).any(axis=1) & ~foreground).sum())
    under = [] if base is None else np.flatnonzero((_by_slice(base, grid) != IGNORE).any(axis=1)).tolist()
    return {
        "id": case,
        "shape": list(grid.shape),
        "slice_axis": grid.slice_axis if len(grid.shape) == 3 else None,
        "spacing": None if grid.spacing_mm is None else list(grid.spacing_mm),
        "marked": any(counted.marked),
        "marked_slices": counted.slices - counted.unmarked_slices,
        "strokes": len(state.active),
        "seconds": round(state.seconds, 1),
        "done": state.done,
        "health": asdict(counted) | {"background_slices": background_slices},
        "base_slices": under,
    }


def _by_slice(labels: LabelMap, grid: Grid) -> LabelMap:
    """``(slices, pixels)``; a 2-D image is one slice."""
    if len(grid.shape) == 2:
        return labels.reshape(1, -1)
    return np.moveaxis(labels, grid.slice_axis, 0).reshape(grid.shape[grid.slice_axis], -1)


def _saved(root: Path, case: str, log: Path) -> Saved:
    """What is saved; a log that is newer than that said starts from the files."""
    start, _ = split_log(log, 0)
    saved = read_saved(root, case)
    return saved if saved is not None and saved.revision >= start.revision else Saved(start.revision)


def _is_foreign(marks: Marks | None, log: Path, saved: Saved) -> bool:
    """Whether the strokes in the file are neither the saved ones nor those that were being written."""
    strokes = () if marks is None else marks.strokes
    known = (saved.revision,) if saved.writing is None else (saved.revision, saved.writing)
    return all(strokes != _strokes_at(log, revision) for revision in known)


def _strokes_at(log: Path, revision: int) -> tuple[Stroke, ...]:
    state: CaseState = split_log(log, revision)[0]
    return state.marks()


def _base(
    dataset: Dataset, case: Case, labels: Image, marks: Marks | None, saved: Saved
) -> tuple[LabelMap | None, bool]:
    """The raster under the strokes, and whether it is a labelsTr that another program edited."""
    if marks is None:
        return (labels.array, False) if (labels.array != IGNORE).any() else (None, False)
    if raster_hash(labels.array) not in (marks.raster_sha256, saved.raster):
        return labels.array, True
    return read_base(dataset, case, labels), False


def _archive(log: Path) -> Path:
    """Copy a log to the first name old/CASE.N.jsonl that is free; in a folder, since ids may hold dots."""
    folder = log.parent / "old"
    number = 1
    while (path := folder / f"{log.name.removesuffix('.jsonl')}.{number}.jsonl").exists():
        number += 1
    atomic_write_bytes(path, log.read_bytes())
    return path


def _complete_bytes(log: Path) -> int:
    return log.read_bytes().rfind(b"\n") + 1


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let one process at a time write marks: a worker whose server was killed may still be at it."""
    if os.name == "nt":
        yield
        return
    import fcntl

    folder = log_folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".saving", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        sync_folder(folder)
    finally:
        os.close(handle)
