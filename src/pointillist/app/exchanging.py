"""In the worker: marks from and to other programs' files, segmentations for them, and small pictures."""

from __future__ import annotations

import base64
import gzip
import shutil
import zipfile
import zlib
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pointillist.app.places import thumbnail_path
from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.exchange.bring import BringOptions, bring_marks
from pointillist.data.exchange.take_out import take_out_marks
from pointillist.data.formats.geojson import encode_geojson
from pointillist.data.marked import Marked, labels_of
from pointillist.data.predicted import label_file
from pointillist.data.readers import read_label
from pointillist.data.writers import atomic_write_bytes, write_label
from pointillist.errors import DamagedFileError, PointillistError
from pointillist.geometry.objects import DEFAULT_RULES, objects_of
from pointillist.report.picture import marked_picture

_MOST_PICTURES = 12
_MOST_UNPACKED = 1 << 30
_PIECE = 1 << 20


def bring(dataset: Dataset, *, folder: str, names: list[str], options: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Read uploaded files of marks, and unless it is tried alone, add them to the dataset.

    Returns:
        What came, and pictures of the first cases with all marks that they then have.

    Raises:
        PointillistError: the first thing that is wrong, with the file's own name; nothing is changed then.
    """
    pictures: list[dict[str, str | int | None]] = []

    def show(case: Case, marked: Marked) -> None:
        if len(pictures) < _MOST_PICTURES:
            jpeg, number = marked_picture(dataset.image(case), labels_of(marked), dataset.spec)
            address = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
            pictures.append({"case": case.id, "slice": number, "image": address})

    known = BringOptions(**(options | {"class_map": tuple(options["class_map"])}))
    try:
        for name in names:
            _check_size(Path(folder, name))
        brought = bring_marks(dataset, [Path(folder, name) for name in names], known, dry_run=dry_run, on_case=show)
    except PointillistError as error:
        fields = {name: getattr(error, name).replace(f"{folder}/", "") for name in ("where", "received")}
        raise type(error)(error.what, expected=error.expected, todo=error.todo, **fields) from error
    return asdict(replace(brought, dataset=dataset.root)) | {
        "dataset": str(dataset.root),
        "dry_run": dry_run,
        "pictures": pictures,
    }


def _check_size(path: Path) -> None:
    """Refuse an upload that unpacks to more than a label image of any usual volume, before it takes that memory."""
    if path.suffix.lower() != ".gz":
        return
    unpacked = 0
    with gzip.open(path) as file, suppress(EOFError, OSError, zlib.error):  # the reader says what is wrong with it
        while unpacked <= _MOST_UNPACKED and (piece := file.read(_PIECE)):
            unpacked += len(piece)
    if unpacked > _MOST_UNPACKED:
        raise DamagedFileError(
            "the file decompresses to more than it may hold",
            where=path,
            expected=f"at most {_MOST_UNPACKED:,} bytes",
            received=f"more than that from {path.stat().st_size:,}",
            todo="get the file again from its source; larger label images go through `pointillist marks import`",
        )


def take(dataset: Dataset, *, folder: str, form: Any, cases: list[str], axes: Any) -> None:
    """Write marks in a format of another program, as ``FOLDER/all.zip``."""
    taken = take_out_marks(dataset, Path(folder, "all"), form, cases=cases, axes=axes)
    _pack(Path(folder), "".join(f"{note}\n" for note in taken.notes))


def take_found(dataset: Dataset, *, folder: str, form: str, predictions: str) -> None:
    """Write what a run found in the training cases, as ``FOLDER/all.zip``.

    Args:
        dataset: whose cases.
        folder: where to.
        form: an ending; ``predict --as`` gives the same files.
        predictions: of the run.
    """
    for case in dataset.training:
        source = label_file(Path(predictions), case.id, dataset.ending)
        target = Path(folder, "all", case.id + form)
        if not source.is_file():  # added since the run
            continue
        found = read_label(source)
        if form == ".geojson":
            atomic_write_bytes(target, encode_geojson(*objects_of(found.array, DEFAULT_RULES), dataset.spec))
        else:
            write_label(target, found.array, found.grid)
    _pack(Path(folder), "")


def _pack(folder: Path, notes: str) -> None:
    out = folder / "all"
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(out.iterdir()):
            archive.write(path, path.name)
        if notes:
            archive.writestr("notes.txt", notes)
    shutil.rmtree(out)


def thumbnail(dataset: Dataset, *, case: str, cache: str) -> None:
    """Draw the small picture of a case."""
    found = dataset.case(case)
    target = thumbnail_path(Path(cache), found)
    if not target.exists():
        for old in target.parent.glob(f"{case}.*.jpg"):
            if len(old.name) == len(target.name):
                old.unlink(missing_ok=True)
        labels = dataset.sparse_labels(found)
        jpeg, _ = marked_picture(dataset.image(found), labels.array, dataset.spec)
        atomic_write_bytes(target, jpeg)
