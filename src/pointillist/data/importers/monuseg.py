"""MoNuSeg: nuclei in H&E images, ``NAME.tif`` and ImageScope's ``NAME.xml``."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.formats.imagescope import read_imagescope
from pointillist.data.importers._common import CaseReader, Imported, nothing_found, one_file_each, tally
from pointillist.data.importers._outlines import instances_of
from pointillist.data.source import Source, open_source
from pointillist.data.split import group_folds
from pointillist.errors import LabelError
from pointillist.spec import TaskSpec

SPEC = TaskSpec(("background", "nucleus"), ("R", "G", "B"))
FOLDS = 5
_SEED = 0

_FILE = re.compile(r"(?:.*/)?(?P<id>[^/]+)\.(?P<kind>tif|tiff|xml)", re.IGNORECASE)
_PATIENT = re.compile(r"TCGA-\w{2}-\w{4}")


def import_monuseg(source: Path, target: Path) -> Imported:
    """Import the nuclei of the MoNuSeg challenge.

    Images in or below a folder with ``test`` in its name (``MoNuSegTestData``) are held out from every fold; the others
    get five folds, no patient (``TCGA-XX-XXXX``) in two. Outlines become instances: pixels whose centre lies inside. A
    pixel of two nuclei belongs to the one that comes first in the file, as in the script that goes around with the
    data. Nothing is marked: draw marks with ``pointillist simulate``.

    Args:
        source: folder or zip archive, in any nesting.
        target: the new dataset.

    Raises:
        PointillistError: the first thing that is wrong; nothing is written then.
    """
    files = open_source(source)
    named = [(m, name) for name in files.names if (m := _FILE.fullmatch(name))]
    images = one_file_each(((m["id"], name) for m, name in named if m["kind"].lower() != "xml"), files)
    outlines = one_file_each(((m["id"], name) for m, name in named if m["kind"].lower() == "xml"), files)
    if not images:
        raise nothing_found(files, "Tissue Images/NAME.tif and Annotations/NAME.xml, as in the official release")
    notes: list[str] = []
    with DatasetBuilder(target, name="MoNuSeg", spec=SPEC, ending=".png", kind="monuseg") as builder:
        for case, name in sorted(images.items()):
            new = _read_case(case, name, outlines.get(case), files)
            notes += new.notes
            builder.add(new)
        groups = builder.training_groups()
        folds = min(FOLDS, len(set(groups.values())))
        splits = group_folds(groups, folds, _SEED) if folds >= 2 else []
        left_over = len(outlines.keys() - images.keys())
        summary = (*tally(notes), *([f"annotations without an image (left out): {left_over}"] if left_over else []))
        builder.finish(splits, summary)
    return Imported(target, len(groups), len(images) - len(groups), 0, len(splits), summary)


def _read_case(case: str, image_name: str, outline: str | None, files: Source) -> NewCase:
    reader = CaseReader(files)
    image = reader.image(image_name)
    if outline is None:
        raise LabelError(
            "an image has no annotation",
            where=image.where,
            expected=f"{case}.xml",
            received="nothing",
            todo="complete the copy of the data, or remove this image",
        )
    polygons = read_imagescope(reader.bytes(outline), reader.path(outline))
    instances, said = instances_of(polygons, image.grid.shape, outline)
    match = _PATIENT.match(case)
    return NewCase(
        id=case,
        image=image,
        group=match[0] if match else case,
        dense=(instances > 0).astype(np.uint8),
        instances=instances,
        side=_side(image_name, files),
        files=reader.files,
        notes=(*reader.notes, *said),
    )


def _side(name: str, files: Source) -> Literal["Tr", "Ts"]:
    folders = PurePosixPath(files.root.name, name).parts[:-1]
    return "Ts" if any("test" in folder.lower() for folder in folders) else "Tr"
