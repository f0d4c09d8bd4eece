"""Every generator on hearts and nuclei: marks stay in their class and cover what scribbles cover."""

from __future__ import annotations

import io
import zipfile

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from pointillist.data.simulate import GENERATORS, draw
from pointillist.geometry.strokes import inside, rasterise, scale
from pointillist.types import IGNORE

pytestmark = [pytest.mark.real, pytest.mark.slow]

# Per cent of all pixels. Expert scribbles of the same hearts cover 1.07 %.
COVERAGE = {
    "random_point": (0.001, 0.02),
    "in_out_pairs": (0.003, 0.06),
    "word": (0.5, 4),
    "skeleton": (1, 8),
    "random_walk": (0.5, 5),
    "hull": (0.5, 4),
    "s2l": (0.2, 2),
    "full_slice": (5, 20),
}


@pytest.mark.parametrize("patient", ["patient001", "patient070"])
@pytest.mark.parametrize("name", GENERATORS)
def test_hearts(real_data, name, patient):
    path = sorted((real_data / "acdc" / patient).glob("*_gt.nii.gz"))[0]
    dense = np.asanyarray(nib.load(path).dataobj).astype(np.uint8)
    strokes = draw(dense, generator=name, seed=0, dataset="acdc", case=patient)
    marks = rasterise(strokes, dense.shape)
    assert ((marks == dense) | (marks == IGNORE)).all()
    low, high = COVERAGE[name]
    assert low < 100 * (marks != IGNORE).mean() < high
    if name != "full_slice":
        present = [[(dense[..., z] == cls).any() for cls in range(4)] for z in range(dense.shape[2])]
        marked = [[(marks[..., z] == cls).any() for cls in range(4)] for z in range(dense.shape[2])]
        assert marked == present
    small = (64, 64, dense.shape[2])
    assert inside(scale(strokes, dense.shape, small), small).all()


@pytest.mark.parametrize("name", GENERATORS)
def test_nuclei(real_data, name):
    with zipfile.ZipFile(real_data / "dsb2018" / "stage1_train.zip") as archive:
        first = archive.namelist()[0].split("/")[0]
        masks = [n for n in archive.namelist() if n.startswith(f"{first}/masks/") and n.endswith(".png")]
        loaded = [np.asarray(Image.open(io.BytesIO(archive.read(n)))) > 0 for n in masks]
    dense = np.any(loaded, axis=0).astype(np.uint8)
    marks = rasterise(draw(dense, generator=name, seed=0, dataset="dsb", case=first), dense.shape)
    assert ((marks == dense) | (marks == IGNORE)).all()
    assert set(np.unique(marks)) - {IGNORE} == {0, 1}
