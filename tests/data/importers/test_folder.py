from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pointillist.data.dataset import Dataset
from pointillist.data.importers._pairing import find_cases
from pointillist.data.importers.folder import FolderOptions, import_folder
from pointillist.errors import InputError, LabelError
from pointillist.types import IGNORE
from tests.conftest import save_nifti

GREY = np.arange(30, dtype=np.uint8).reshape(5, 6)
COLOUR = np.stack([GREY, GREY + 1, GREY + 2], axis=-1)
LABEL = (GREY > 14).astype(np.uint8)


def put(root: Path, files: dict[str, np.ndarray]) -> Path:
    for name, array in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".nii", ".nii.gz")):
            save_nifti(path, array)
        else:
            Image.fromarray(array).save(path)
    return root


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "Dataset100_Mine"


def test_dense_labels_in_the_usual_folders(source, target):
    put(source, {f"images/p{i}.png": GREY for i in range(6)} | {f"masks/p{i}.png": LABEL * 255 for i in range(6)})
    done = import_folder(source, target)
    assert (done.training, done.marked, done.folds) == (6, 0, 5)
    assert "value 0 is class 0, background (50.00% of the label pixels)" in done.notes
    assert "value 255 is class 1, class_255 (50.00% of the label pixels)" in done.notes
    assert any("--group" in note for note in done.notes)
    dataset = Dataset.open(target)
    assert (dataset.name, dataset.ending) == ("Mine", ".png")
    assert (dataset.dense_labels(dataset.training[0]).array == LABEL).all()
    assert (dataset.sparse_labels(dataset.training[0]).array == IGNORE).all()


def test_sparse_labels_with_truth_beside_them(source, target):
    sparse = np.where(np.random.default_rng(0).random(GREY.shape) < 0.5, LABEL, 9).astype(np.uint8)
    put(source, {"img/a.png": GREY, "scribbles/a.png": sparse, "dense/a.png": LABEL})
    options = FolderOptions(truth="dense", unlabelled=9, classes=("background", "tumour"), folds=0, name="Given")
    done = import_folder(source, target, options)
    assert (done.marked, done.folds) == (1, 0)
    dataset = Dataset.open(target)
    assert dataset.name == "Given"
    case = dataset.training[0]
    assert (dataset.sparse_labels(case).array == np.where(sparse == 9, IGNORE, sparse)).all()
    assert (dataset.dense_labels(case).array == LABEL).all()


@pytest.mark.parametrize("stated", ["dense", "dense/", "./dense"])
def test_the_folder_of_truth_is_never_taken_for_images(source, target, stated):
    sparse = np.where(np.random.default_rng(0).random(GREY.shape) < 0.5, LABEL, 9).astype(np.uint8)
    put(source, {"a.png": GREY, "b.png": GREY + 1, "masks/a.png": sparse, "dense/a.png": LABEL, "dense/b.png": LABEL})
    done = import_folder(source, target, FolderOptions(truth=stated, unlabelled=9))
    assert [case.id for case in Dataset.open(target).training] == ["a", "b"]
    assert done.marked == 1


def test_a_folder_that_nobody_named_is_left_aside(source, target):
    put(source, {"a.png": GREY, "b.png": GREY + 1, "masks/a.png": LABEL, "dense/a.png": LABEL, "notes.txt.png": GREY})
    (source / "readme.txt").write_text("x")
    done = import_folder(source, target)
    assert [case.id for case in Dataset.open(target).training] == ["a", "b", "notes.txt"]
    assert "files left aside: 2, for example dense/a.png" in done.notes
    assert "5 folds asked for, 3 possible with 3 patients" in done.notes


def test_marks_of_another_image_are_refused(source, target):
    wrong = np.where(np.random.default_rng(0).random(GREY.shape) < 0.5, 1 - LABEL, 9).astype(np.uint8)
    put(source, {"images/a.png": GREY, "labels/a.png": wrong, "dense/a.png": LABEL})
    with pytest.raises(LabelError, match="do not belong"):
        import_folder(source, target, FolderOptions(truth="dense", unlabelled=9))
    assert not target.exists()


def test_label_files_beside_their_images(source, target):
    put(source, {"a.bmp": GREY, "a_mask.bmp": LABEL, "b.bmp": GREY, "b_mask.bmp": LABEL})
    assert import_folder(source, target).training == 2
    assert Dataset.open(target).ending == ".bmp"


def test_names_that_differ_in_all_but_their_number(source, target):
    files = {f"raw/IMG_{i:02d}_x.png": GREY + i for i in range(12)}
    files |= {f"done/annotation-{i:02d}.png": LABEL * (i > 5) for i in range(12)}
    put(source, files)
    import_folder(source, target, FolderOptions(images="raw", labels="done"))
    dataset = Dataset.open(target)
    assert [int(dataset.dense_labels(case).array.any()) for case in dataset.training] == [0] * 6 + [1] * 6


def test_images_alone(source, target):
    put(source, {"a.png": GREY, "b.png": GREY + 1})
    done = import_folder(source, target)
    assert (done.training, done.marked, done.folds) == (2, 0, 2)
    assert Dataset.open(target).spec.classes == ("background", "object")
    assert "images without a label image: 2" in done.notes


def test_mixed_kinds_become_colour_png(source, target):
    put(source, {"images/a.jpg": COLOUR, "images/b.png": GREY, "labels/a.png": LABEL, "labels/b.png": LABEL})
    done = import_folder(source, target)
    assert any(note.startswith("grey-to-colour") for note in done.notes)
    dataset = Dataset.open(target)
    assert dataset.ending == ".png"
    assert {dataset.image(case).array.shape for case in dataset.training} == {(5, 6, 3)}


def test_real_valued_images_become_tiff(source, target):
    put(source, {"images/a.tif": GREY.astype(np.float32) / 7, "labels/a.png": LABEL})
    import_folder(source, target)
    dataset = Dataset.open(target)
    assert dataset.ending == ".tif"
    assert (dataset.image(dataset.training[0]).array == GREY.astype(np.float32) / 7).all()


def test_volumes_grouped_by_patient(source, target):
    volume = np.repeat(GREY[..., None], 3, axis=-1).astype(np.int16)
    files = {f"images/pat{i}_t{t}_0000.nii.gz": volume for i in range(3) for t in range(2)}
    files |= {f"labels/pat{i}_t{t}.nii.gz": (volume > 14).astype(np.uint8) for i in range(3) for t in range(2)}
    put(source, files)
    done = import_folder(source, target, FolderOptions(group=r"pat\d+"))
    assert done.folds == 3
    dataset = Dataset.open(target)
    assert {case.group for case in dataset.training} == {"pat0", "pat1", "pat2"}
    assert all(len(split.val) == 2 for split in dataset.splits())


def test_subfolders_are_part_of_the_name(source, target):
    put(
        source,
        {f"images/p{i}/scan.png": GREY + i for i in range(2)} | {f"labels/p{i}/scan.png": LABEL for i in range(2)},
    )
    import_folder(source, target, FolderOptions(group="^(p[0-9])_"))
    assert [(case.id, case.group) for case in Dataset.open(target).training] == [("p0_scan", "p0"), ("p1_scan", "p1")]


@pytest.mark.parametrize(
    ("files", "options", "error", "message"),
    [
        ({}, {}, InputError, "nothing of this kind"),
        ({"images/a.png": GREY, "labels/z.png": LABEL, "labels/y.png": LABEL}, {}, InputError, "cannot be paired"),
        ({"images/a.png": GREY, "labels/a.png": LABEL}, {"images": "raw"}, InputError, "holds no image"),
        ({"images/a.png": GREY, "labels/a.png": GREY + 9}, {"classes": ("a=b=c",)}, InputError, "cannot be understood"),
        ({"images/a.png": GREY, "labels/a.png": LABEL}, {"classes": ("x", "7=y")}, LabelError, "no class has"),
        ({"images/a.png": GREY, "labels/a.png": LABEL}, {"classes": ("0=x", "0=y")}, InputError, "the same value"),
        (
            {"images/a.png": GREY, "labels/a.png": LABEL},
            {"classes": ("x", "y"), "unlabelled": 1},
            InputError,
            "mean unlabelled",
        ),
        ({"images/a.png": GREY, "labels/a.png": LABEL}, {"group": "("}, InputError, "regular expression"),
        ({"images/a.png": GREY, "labels/a.png": LABEL}, {"group": "zz"}, InputError, "does not match every case"),
        ({"images/a.png": GREY, "images/b.nii": GREY[..., None]}, {}, InputError, "cannot be one dataset"),
        (
            {"images/a.png": np.zeros((40, 40), np.uint8), "labels/a.png": np.arange(1600).reshape(40, 40) % 99},
            {},
            LabelError,
            "too many values",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused(source, target, files, options, error, message):
    source.mkdir()
    put(source, {name: array.astype(np.uint8) for name, array in files.items()})
    with pytest.raises(error, match=message):
        import_folder(source, target, FolderOptions(**options))
    assert not target.exists()


def test_pairing_does_not_depend_on_the_order_of_names():
    names = ["images/b1.png", "images/b10.png", "images/b2.png", "labels/x10.png", "labels/x1.png", "labels/x2.png"]
    for order in (names, names[::-1]):
        found = find_cases(order, images=None, labels=None, truth=None)
        assert [(t.image, t.label) for t in found] == [
            ("images/b1.png", "labels/x1.png"),
            ("images/b10.png", "labels/x10.png"),
            ("images/b2.png", "labels/x2.png"),
        ]
