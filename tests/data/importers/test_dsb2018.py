import zipfile

import numpy as np
import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.importers.dsb2018 import import_dsb2018
from pointillist.data.readers import read_label
from pointillist.errors import GeometryError, InputError, LabelError
from pointillist.types import IGNORE
from tests.conftest import nuclei, png


@pytest.fixture
def target(tmp_path):
    return tmp_path / "Dataset030_DSB"


def test_instances_become_objects_and_a_class(dsb_zip, target):
    done = import_dsb2018(dsb_zip, target)
    assert (done.training, done.testing, done.marked, done.folds) == (10, 0, 0, 5)
    assert "alpha: 10 files" in done.notes
    dataset = Dataset.open(target)
    assert dataset.spec.classes == ("background", "nucleus")
    case = dataset.case("id3")
    image, masks = nuclei(3)
    assert (dataset.image(case).array == image[..., :3]).all()
    assert (dataset.dense_labels(case).array == np.any(masks, axis=0)).all()
    assert (dataset.sparse_labels(case).array == IGNORE).all()
    instances = read_label(case.instances).array
    assert [int((instances == i).sum()) for i in (1, 2, 3)] == [int(mask.sum()) for mask in masks]


def test_a_folder_imports_like_its_zip(dsb_zip, target, tmp_path):
    with zipfile.ZipFile(dsb_zip) as archive:
        archive.extractall(tmp_path / "folder")
    import_dsb2018(tmp_path / "folder", target)
    other = tmp_path / "Dataset031_DSB"
    import_dsb2018(dsb_zip, other)
    for path in sorted(target.rglob("*.png")):
        assert path.read_bytes() == (other / path.relative_to(target)).read_bytes()


@pytest.mark.parametrize(("subset", "count", "folds"), [("Fluo", 6, 5), ("BF", 4, 4)])
def test_modality_by_brightness_and_colour(dsb_zip, target, subset, count, folds):
    done = import_dsb2018(dsb_zip, target, subset=subset)
    assert (done.training, done.folds) == (count, folds)
    assert done.notes[-1] == "modality from brightness and colour"


def test_a_stated_modality_counts(dsb_zip, target):
    rows = "".join(f"id{i},{'BF' if i == 0 else 'Fluo'}\n" for i in range(10))
    (dsb_zip.parent / "subsets.csv").write_text("image_id,subset\n" + rows)
    done = import_dsb2018(dsb_zip, target, subset="BF")
    assert (done.training, done.folds) == (1, 0)
    assert done.notes[-1] == "modality from subsets.csv"


def test_a_subset_list_without_its_columns_is_refused(dsb_zip, target):
    (dsb_zip.parent / "subsets.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"subsets\.csv"):
        import_dsb2018(dsb_zip, target)


def test_a_modality_that_is_not_known_is_named(dsb_zip, target):
    (dsb_zip.parent / "subsets.csv").write_text("image_id,subset\nid0,Bright\nid1\n")
    with pytest.raises(InputError, match="not known") as error:
        import_dsb2018(dsb_zip, target)
    assert "Bright" in error.value.received


def test_a_modality_that_is_not_there_is_refused(tmp_path, target):
    archive = write(tmp_path, {"a/images/a.png": nuclei(0)[0], "a/masks/m.png": np.eye(64, dtype=np.uint8)})
    with pytest.raises(InputError, match="no image of this modality"):
        import_dsb2018(archive, target, subset="BF")
    assert not target.exists()


def write(folder, members):
    path = folder / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in members.items():
            archive.writestr(name, png(array))
    return path


def test_overlap_and_empty_masks_are_said(tmp_path, target):
    image, masks = nuclei(1)
    both = masks[0] | np.roll(masks[0], 3, axis=0)
    members = {"a/images/a.png": image, "a/masks/1.png": masks[0].astype(np.uint8) * 255}
    members |= {"a/masks/2.png": both.astype(np.uint8) * 255, "a/masks/3.png": np.zeros((64, 64), np.uint8)}
    done = import_dsb2018(write(tmp_path, members), target)
    assert "overlap: 1 files" in done.notes
    assert "empty-mask: 1 files" in done.notes
    case = Dataset.open(target).training[0]
    assert set(np.unique(read_label(case.instances).array)) == {0, 2}


def test_a_grey_image_becomes_colour(tmp_path, target):
    image, masks = nuclei(1)
    done = import_dsb2018(
        write(tmp_path, {"a/images/a.png": image[..., 0], "a/masks/1.png": masks[0].astype(np.uint8)}), target
    )
    assert done.training == 1
    dataset = Dataset.open(target)
    assert dataset.image(dataset.training[0]).array.shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ({"a/images/a.png": np.zeros((8, 8), np.uint8)}, LabelError, "no masks"),
        (
            {"a/images/a.png": np.zeros((8, 8), np.uint8), "a/masks/1.png": np.ones((8, 9), np.uint8)},
            GeometryError,
            "different shapes",
        ),
        ({"a/b/c.png": np.zeros((8, 8), np.uint8)}, InputError, "nothing of this kind"),
    ],
)
def test_incomplete_sources_are_refused(tmp_path, target, members, error, message):
    with pytest.raises(error, match=message):
        import_dsb2018(write(tmp_path, members), target)
    assert not target.exists()


@pytest.mark.real
@pytest.mark.slow
def test_real_dsb2018(real_data, target, tmp_path):
    source = real_data / "dsb2018" / "stage1_train.zip"
    bright = import_dsb2018(source, target, subset="BF")
    assert (bright.training, bright.folds) == (16, 4)
    assert [len(split.val) for split in Dataset.open(target).splits()] == [4] * 4
    # without the list, brightness and colour tell the modalities apart without a mistake
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "stage1_train.zip").symlink_to(source)
    guessed = import_dsb2018(tmp_path / "copy" / "stage1_train.zip", tmp_path / "Fluo", subset="Fluo")
    assert (guessed.training, guessed.folds) == (271, 5)
    assert guessed.notes[-1] == "modality from brightness and colour"
    assert [len(split.val) for split in Dataset.open(tmp_path / "Fluo").splits()] == [54, 54, 54, 54, 55]
