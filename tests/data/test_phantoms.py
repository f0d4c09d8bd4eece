from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import CLASSES, make_phantoms, phantom
from pointillist.errors import DatasetError, InputError
from pointillist.types import IGNORE

PATIENTS = range(1, 9)


def hashes(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset.open(make_phantoms(tmp_path_factory.mktemp("phantoms") / "hearts", training=2, testing=1, seed=0))


@pytest.mark.parametrize("contracted", [False, True])
def test_every_phantom_is_a_heart(contracted):
    for patient in PATIENTS:
        image, labels = phantom(patient, 0, contracted=contracted)
        assert image.array.shape == labels.shape == image.grid.shape
        assert all(96 <= n <= 128 for n in labels.shape[:2])
        assert 6 <= labels.shape[2] <= 8
        assert image.array.dtype == np.int16
        assert image.grid.slice_axis == 2
        assert set(np.unique(labels)) == {0, 1, 2, 3}
        for number in range(labels.shape[2]):
            plane = labels[:, :, number]
            ring, disc = plane == 2, plane == 3
            assert disc.any()
            assert ndimage.label(ring)[1] == 1
            assert (ndimage.binary_fill_holes(ring) & ~ring == disc).all(), "the ring closes around the disc"
            assert ndimage.label(plane == 1)[1] <= 1


def test_the_apex_is_smaller_than_the_base():
    for patient in PATIENTS:
        _, labels = phantom(patient, 0)
        for cls in (1, 2, 3):
            areas = (labels == cls).sum(axis=(0, 1))
            assert areas[-1] < areas[0] * 0.7


def test_a_contracted_heart_has_less_blood_and_more_muscle_to_it():
    for patient in PATIENTS:
        relaxed, contracted = (np.bincount(phantom(patient, 0, contracted=c)[1].ravel()) for c in (False, True))
        assert contracted[3] < relaxed[3]
        assert contracted[1] < relaxed[1]
        assert contracted[2] / contracted[3] > relaxed[2] / relaxed[3]


def test_patients_differ():
    assert len({phantom(patient, 0)[1].tobytes() for patient in PATIENTS}) == len(PATIENTS)


def test_neighbours_are_as_bright_as_the_classes():
    for patient in PATIENTS:
        image, labels = phantom(patient, 0)
        around = image.array[labels == 0]
        for cls in (1, 2, 3):
            low, high = np.quantile(image.array[labels == cls], [0.25, 0.75])
            assert ((around >= low) & (around <= high)).sum() > 0.2 * (labels == cls).sum()


def test_the_dataset_holds_marks_truth_and_held_out_cases(dataset):
    assert dataset.spec.classes == CLASSES
    assert len(dataset.training) == 4
    assert len(dataset.testing) == 2
    assert {case.group for case in dataset.training}.isdisjoint(case.group for case in dataset.testing)
    for case in dataset.training:
        sparse, dense = dataset.sparse_labels(case).array, dataset.dense_labels(case).array
        marked = sparse != IGNORE
        assert (sparse[marked] == dense[marked]).all()
        for number in range(dense.shape[2]):
            plane = dense[:, :, number]
            assert sorted(sparse[:, :, number][marked[:, :, number]]) == np.unique(plane).tolist()
    for case in dataset.testing:
        assert case.sparse is None
        assert dataset.dense_labels(case).array.any()


def test_a_seed_gives_the_same_files_and_another_gives_others(tmp_path):
    folders = [
        make_phantoms(tmp_path / name, training=1, testing=1, seed=seed)
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    ]
    first, again, other = (hashes(folder) for folder in folders)
    assert first == again
    image = "imagesTr/heart001_relaxed_0000.nii.gz"
    assert first[image] != other[image]


def test_more_patients_leave_the_first_as_they_are(tmp_path):
    few = hashes(make_phantoms(tmp_path / "few", training=1, testing=0, seed=0))
    many = hashes(make_phantoms(tmp_path / "many", training=2, testing=0, seed=0))
    assert {name for name in few if few[name] != many.get(name)} == {"dataset.json", "import.json"}


@pytest.mark.parametrize(("training", "testing"), [(0, 1), (-1, 0), (1, -1)])
def test_somebody_must_be_there_to_learn_from(tmp_path, training, testing):
    with pytest.raises(InputError, match="no patient"):
        make_phantoms(tmp_path / "none", training=training, testing=testing, seed=0)
    assert not (tmp_path / "none").exists()


def test_nothing_is_overwritten(dataset):
    with pytest.raises(DatasetError, match="in the way"):
        make_phantoms(dataset.root, training=1, testing=0, seed=0)
