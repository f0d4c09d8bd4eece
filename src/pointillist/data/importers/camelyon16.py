"""CAMELYON16: metastases in lymph nodes, as exported crops or as levels of whole slides, with ASAP's outlines."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.flat import FLAT_ENDINGS, TIFF_ENDINGS
from pointillist.data.formats.asap import read_asap
from pointillist.data.formats.markup import Polygon
from pointillist.data.image import Image
from pointillist.data.importers._common import CaseReader, Imported, nothing_found, one_file_each, tally
from pointillist.data.importers._outlines import regions_of
from pointillist.data.readers import split_ending
from pointillist.data.slides import is_pyramid, read_level
from pointillist.data.source import Source, open_source
from pointillist.data.split import group_folds
from pointillist.errors import InputError, LabelError
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

SPEC = TaskSpec(("background", "tumour"), ("R", "G", "B"))
FOLDS = 4
DOWNSAMPLE = 32.0
_SEED = 0

_NAME = re.compile(r"(?P<slide>(?P<kind>tumor|normal|test)_\d+)(?P<rest>.*)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![A-Za-z])([xyd])=?(\d+(?:\.\d+)?)", re.IGNORECASE)
_GROUPS = {"_0": 1, "_1": 1, "tumor": 1, "tumour": 1, "metastases": 1, "_2": 0, "exclusion": 0, "normal": 0}


@dataclass(frozen=True)
class _Place:
    """Where an image lies in its slide: its corner, in pixels of the largest level, and how many one pixel spans."""

    x: float = 0.0
    y: float = 0.0
    downsample: float = 1.0

    def moved(self, polygon: Polygon) -> Polygon:
        """The outline in pixels of the image; corners are half a pixel from the centres of pixels at every size."""
        return replace(polygon, points=(polygon.points + 0.5 - (self.y, self.x)) / self.downsample - 0.5)


def import_camelyon16(
    source: Path, target: Path, *, downsample: float = DOWNSAMPLE, partial: Collection[str] = ()
) -> Imported:
    """Import crops or slides of CAMELYON16.

    Images are named after their slide (``tumor_001``, ``normal_001``, ``test_001``). A crop says in its name where it
    was cut, in pixels of the largest level, and how much it was shrunk, as QuPath does
    (``tumor_001 [d=2,x=1024,y=2048,w=4096,h=4096].png``) or shortly (``tumor_001_x1024_y2048_d2.png``); its outlines
    are then those of ``tumor_001.xml``. An ``.xml`` with the crop's own name holds outlines in the crop's pixels. A
    pyramidal TIFF is a whole slide, of which one level is read. Outlines of the groups ``_0``, ``_1`` and ``Tumor`` are
    tumour, those of ``_2`` and ``Exclusion`` are cut out of it; a normal slide needs none. Test slides are held out
    from every fold; the others get four folds that part no slide.

    Args:
        source: folder, or zip archive of crops.
        target: the new dataset.
        downsample: of whole slides: the level that is so many times smaller than the largest.
        partial: slides of which only a part was annotated: what is outside of their outlines is not known.

    Raises:
        PointillistError: the first thing that is wrong; nothing is written then.
    """
    files = open_source(source)
    stems = [(split_ending(Path(name)), name) for name in files.names]
    images = one_file_each(
        ((stem, name) for (stem, ending), name in stems if ending in FLAT_ENDINGS and _is_image(stem)), files
    )
    outlines = one_file_each(
        ((PurePosixPath(name).stem, name) for name in files.names if name.lower().endswith(".xml")), files
    )
    if not images:
        raise nothing_found(files, "tumor_001_x1024_y2048.png and tumor_001.xml, or slides tumor_001.tif")
    slides = {_match(stem)["slide"] for stem in images}
    _check_partial(partial, slides)
    notes: list[str] = []
    with DatasetBuilder(target, name="CAMELYON16", spec=SPEC, ending=".png", kind="camelyon16") as builder:
        for stem, name in sorted(images.items()):
            new = _read_case(stem, name, outlines, files, downsample, partial)
            notes += new.notes
            builder.add(new)
        groups = builder.training_groups()
        folds = min(FOLDS, len(set(groups.values())))
        splits = group_folds(groups, folds, _SEED) if folds >= 2 else []
        others = len(files.names) - len(images) - len(outlines)
        summary = (
            *tally(notes),
            f"{len(images)} images of {len(slides)} slides; folds part no slide",
            *([f"files left aside: {others}"] if others else []),
        )
        builder.finish(splits, summary)
    return Imported(target, len(groups), len(images) - len(groups), 0, len(splits), summary)


def _match(stem: str) -> re.Match[str]:
    match = _NAME.fullmatch(stem)
    assert match is not None, stem  # noqa: S101 - _is_image has seen to it
    return match


def _is_image(stem: str) -> bool:
    """Whether a file is a slide or a crop: the official masks, ``tumor_001_mask.tif``, are neither."""
    return _NAME.fullmatch(stem) is not None and not stem.lower().endswith("_mask")


def _read_case(
    stem: str, name: str, outlines: dict[str, str], files: Source, downsample: float, partial: Collection[str]
) -> NewCase:
    match, reader = _match(stem), CaseReader(files)
    slide, path = match["slide"], files.path(name)
    place: _Place | None
    if path.suffix.lower() in TIFF_ENDINGS and path.is_file() and is_pyramid(path):
        level = read_level(path, downsample)
        image, place = level.image, _Place(downsample=level.downsample)
        reader.files[name] = level.sha256
        reader.notes += [f"{note} ({name})" for note in image.notes]
        reader.notes.append(f"level: of a whole slide, {level.downsample:g} times smaller than the largest ({name})")
    else:
        image, place = reader.image(name), _Place() if stem in outlines else _stated_place(match["rest"])
    annotation = outlines.get(stem) or outlines.get(slide)
    polygons: list[Polygon] = []
    if annotation is not None and place is not None:
        polygons = [place.moved(one) for one in read_asap(reader.bytes(annotation), reader.path(annotation))]
    elif match["kind"].lower() != "normal":
        raise _without_outlines(image, stem, slide)
    where = image.where if annotation is None else str(reader.path(annotation))
    unmarked = IGNORE if slide in partial else 0
    dense = regions_of(polygons, lambda one: _class_of(one, where), image.grid.shape, unmarked)
    return NewCase(
        id=re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("_"),
        image=image,
        group=slide,
        dense=dense,
        side="Ts" if match["kind"].lower() == "test" else "Tr",
        files=reader.files,
        notes=tuple(reader.notes),
    )


def _stated_place(rest: str) -> _Place | None:
    """Where a crop's name says it lies, or None where it does not say."""
    stated = {key.lower(): float(value) for key, value in _NUMBER.findall(rest)}
    if not {"x", "y"} <= stated.keys():
        return None if rest else _Place()
    return _Place(stated["x"], stated["y"], stated.get("d", 1.0) or 1.0)


def _class_of(polygon: Polygon, where: str) -> int:
    group = polygon.group.lower()
    if group not in _GROUPS:
        raise LabelError(
            "an outline is of a group that is not known",
            where=where,
            expected="_0, _1 or Tumor for tumour; _2 or Exclusion for what is cut out of it",
            received=polygon.group or "no group",
            todo="move the outline to one of these groups in ASAP, or remove it",
        )
    return _GROUPS[group]


def _without_outlines(image: Image, stem: str, slide: str) -> LabelError:
    return LabelError(
        "an image has no annotation",
        where=image.where,
        expected=f"{stem}.xml in the image's own pixels, or {slide}.xml and a place in the name: {slide}_x1024_y2048",
        received="neither",
        todo="add the slide's file; for a slide without tumour, one without outlines",
    )


def _check_partial(partial: Collection[str], slides: Collection[str]) -> None:
    unknown = sorted(set(partial) - set(slides))
    if unknown:
        raise InputError(
            "a slide that is said to be annotated in part is not there",
            where="--partial",
            expected=", ".join(sorted(slides)[:8]),
            received=", ".join(unknown[:8]),
            todo="correct the name, or leave it out",
        )
