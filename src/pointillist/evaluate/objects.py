"""Every instance metric of one case."""

from __future__ import annotations

import numpy as np

from pointillist.data.image import Image
from pointillist.errors import GeometryError, LabelError
from pointillist.evaluate import instance, overlap
from pointillist.evaluate.table import Row, make_row
from pointillist.types import AnyArray

OBJECTS = "objects"
"""What the class column says in rows of instance metrics."""


def object_rows(case: str, prediction: Image, reference: Image) -> list[Row]:
    """Instance metrics of one case.

    A prediction without ids (one value besides 0) is a mask, and is split as
    ``published_instances`` does; ``mdice_published`` always goes by the mask.

    Args:
        case: its name.
        prediction: ``(h, w)`` instance ids, or a mask.
        reference: ``(h, w)`` instance ids.

    Raises:
        GeometryError: if the images are not 2-D.
        LabelError: if an id is negative.
    """
    for image in (prediction, reference):
        _check(image)
    split = instance.published_instances(prediction.array > 0)
    objects = prediction.array if _count(prediction.array) > 1 else split
    n_ref, n_pred, n_split = (_count(ids) for ids in (reference.array, objects, split))
    binary = overlap.iou(overlap.confusion(prediction.array > 0, reference.array > 0))
    reason = "all reference objects are under 20 pixels"
    values = (
        ("iou", binary, n_pred),
        ("mdice_strict", instance.mdice_strict(objects, reference.array), n_pred),
        ("mdice_published", instance.mdice_published(split, reference.array), n_split),
        ("aji", instance.aji(objects, reference.array), n_pred),
    )
    return [make_row(case, OBJECTS, metric, value, "1", (n_ref, n), reason) for metric, value, n in values]


def _check(image: Image) -> None:
    if image.array.ndim != 2:
        raise GeometryError(
            "objects are compared in 2-D images",
            where=image.where,
            expected="(h, w)",
            received=image.array.shape,
            todo="evaluate volumes without --instances",
        )
    if image.array.min() < 0:
        raise LabelError(
            "an instance map holds negative numbers",
            where=image.where,
            expected="0 for background, then ids",
            received=int(image.array.min()),
            todo="number the objects 1, 2, … and the background 0",
        )


def _count(ids: AnyArray) -> int:
    return int(np.unique(ids[ids > 0]).size)
