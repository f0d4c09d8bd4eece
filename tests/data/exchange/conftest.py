"""Small datasets to bring marks into: two pictures, and two volumes whose files are not in canonical order."""

import nibabel as nib
import numpy as np
import pytest

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.dataset import Dataset
from pointillist.data.image import Grid, Image
from pointillist.data.readers import read_image
from pointillist.spec import TaskSpec

SHAPE = (12, 20)


def built(root, cases, ending, channels=("image",)):
    spec = TaskSpec(("background", "gland", "Tumör"), channels)
    with DatasetBuilder(root, name="Mine", spec=spec, ending=ending, kind="test") as builder:
        for case in cases:
            builder.add(case)
        builder.finish([])
    return Dataset.open(root)


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    cases = [
        NewCase(name, Image(rng.integers(0, 255, SHAPE, dtype=np.uint8), Grid(SHAPE)), name)
        for name in ("slide1", "slide10")
    ]
    return built(tmp_path / "D2", cases, ".png")


@pytest.fixture
def volumes(tmp_path):
    """Slices along the first axis of the file, which runs from front to back; nothing is symmetric."""
    affine = np.array([[0, 0, -1.5, 40], [-6.0, 0, 0, 70], [0, 2.0, 0, -30], [0, 0, 0, 1]])
    array = np.random.default_rng(1).integers(0, 999, (4, 9, 7)).astype(np.int16)
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(array, affine), path)
    return built(tmp_path / "D3", [NewCase("scan", read_image(path), "scan")], ".nii.gz")


@pytest.fixture
def labels_of():
    """Class indices as training sees them, 255 where unmarked."""

    def read(dataset, case):
        opened = Dataset.open(dataset.root)
        return opened.sparse_labels(opened.case(case)).array

    return read
