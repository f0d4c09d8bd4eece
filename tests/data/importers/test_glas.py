import zipfile

import numpy as np
import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.importers.glas import import_glas
from pointillist.data.readers import read_label
from pointillist.errors import DatasetError, GeometryError, LabelError
from tests.data.importers.tissue import bmp, glands, tissue

PATIENTS = {"train_1": 2, "train_2": 2, "train_10": 5, "testA_1": 2, "testA_2": 7, "testB_1": 11, "train_3": 7}
FOLDER = "Warwick QU Dataset (Released 2016_07_08)"


def members(**changes):
    """The official archive's members: CR line ends, spaces after commas."""
    lines = ["name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)"]
    lines += [f"{name},{patient}, benign, adenomatous" for name, patient in PATIENTS.items()] + [
        "train_99,1, benign, x"
    ]
    content = {"Grade.csv": "\r".join(lines).encode()}
    for seed, name in enumerate(PATIENTS):
        content |= {f"{name}.bmp": bmp(tissue(seed)), f"{name}_anno.bmp": bmp(glands(1 + seed % 3))}
    content |= changes
    return {f"{FOLDER}/{name}": data for name, data in content.items() if data is not None}


@pytest.fixture
def imported(tmp_path):
    def run(**changes):
        path = tmp_path / "glas.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members(**changes).items():
                archive.writestr(name, data)
        return import_glas(path, tmp_path / "Dataset050_GlaS")

    return run


def test_glands_are_kept_and_folds_part_no_patient(imported):
    done = imported()
    assert (done.training, done.testing, done.marked, done.folds) == (7, 0, 0, 4)
    assert "7 images of 4 patients; folds part no patient" in done.notes
    dataset = Dataset.open(done.dataset)
    assert dataset.spec.classes == ("background", "gland")
    case = dataset.case("train_10")
    assert case.group == "patient05"
    assert (dataset.image(case).array == tissue(2)).all()
    assert (read_label(case.instances).array == glands(3)).all()
    assert (dataset.dense_labels(case).array == (glands(3) > 0)).all()
    held = [{dataset.groups[name] for name in split.val} for split in dataset.splits()]
    assert sorted(patient for patients in held for patient in patients) == [
        "patient02",
        "patient05",
        "patient07",
        "patient11",
    ]


@pytest.mark.parametrize(
    ("changes", "error", "what"),
    [
        ({"Grade.csv": None}, DatasetError, "cannot be found"),
        ({"copy/Grade.csv": b"name,patient ID"}, DatasetError, "several lists"),
        ({"Grade.csv": b"image,grade\r"}, DatasetError, "cannot be understood"),
        ({"Grade.csv": b"name,patient ID\rtrain_1,2\rtrain_2,\r"}, DatasetError, "lacks an image"),
        ({"train_2_anno.bmp": None}, LabelError, "no annotation"),
        ({"train_2_anno.bmp": bmp(glands(1)[:-1])}, GeometryError, "different shapes"),
        ({"train_2_anno.bmp": bmp(tissue(9))}, LabelError, "colour"),
        ({"copy/train_2.bmp": bmp(tissue(9))}, DatasetError, "two files"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(imported, tmp_path, changes, error, what):
    with pytest.raises(error, match=what):
        imported(**changes)
    assert [path.name for path in tmp_path.iterdir()] == ["glas.zip"]


def test_an_annotation_without_its_image_is_left_out_and_said(imported):
    done = imported(**{"train_2.bmp": None})
    assert done.training == 6
    assert "annotations without an image (left out): 1" in done.notes


@pytest.mark.real
@pytest.mark.slow
def test_real_glas(real_data, tmp_path):
    done = import_glas(real_data / "glas" / "warwick_qu_dataset.zip", tmp_path / "out")
    assert (done.training, done.folds) == (31, 4)
    assert "31 images of 13 patients; folds part no patient" in done.notes
    dataset = Dataset.open(tmp_path / "out")
    assert [len(split.val) for split in dataset.splits()] == [7, 8, 8, 8]
    assert sum(int(np.unique(read_label(case.instances).array).size) - 1 for case in dataset.training) == 359
