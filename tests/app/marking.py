"""Operations, and small datasets to mark."""

import itertools
import json
import shutil

import numpy as np

from pointillist.app.ops import Batch, read_batch
from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.dataset import Dataset
from pointillist.data.image import Grid, Image
from pointillist.spec import TaskSpec

_numbers = itertools.count()


def op(kind, **fields):
    return {"op": kind, "id": f"op-{next(_numbers)}", **fields}


def draw(name, cls=1, points=((2, 2), (2, 8)), width=1.0):
    stroke = {"id": name, "class": cls, "points": [list(point) for point in points], "width_px": width}
    return op("draw", stroke=stroke)


def batch(*ops) -> Batch:
    return read_batch(json.dumps({"ops": list(ops)}).encode(), "case")


def pictures(root, count=2, shape=(12, 20), *, colour=False, base=None, name="pic"):
    """A dataset of 2-D images."""
    rng = np.random.default_rng(0)
    spec = TaskSpec(("background", "gland", "tumour"), ("R", "G", "B") if colour else ("grey",))
    with DatasetBuilder(root, name="Mine", spec=spec, ending=".png", kind="test") as builder:
        for number in range(count):
            array = rng.integers(0, 255, (*shape, 3) if colour else shape, dtype=np.uint8)
            builder.add(NewCase(f"{name}{number}", Image(array, Grid(shape)), f"{name}{number}", base=base))
        builder.finish([])
    return Dataset.open(root)


def many(root, count, shape):
    """A dataset of so many 2-D images, copies of one."""
    pictures(root, 1, shape)
    for folder, ending in (("imagesTr", "_0000.png"), ("labelsTr", ".png")):
        for number in range(1, count):
            shutil.copyfile(root / folder / f"pic0{ending}", root / folder / f"pic{number}{ending}")
    content = json.loads((root / "dataset.json").read_bytes())
    (root / "dataset.json").write_text(json.dumps(content | {"numTraining": count}))
    return root
