import json
import shutil
import zipfile
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from pointillist.data.dataset import Dataset
from pointillist.data.importers.acdc import import_acdc
from pointillist.data.importers.acdc_hdf5 import import_acdc_hdf5
from pointillist.errors import DamagedFileError, DatasetError, GeometryError, InputError, LabelError
from pointillist.types import IGNORE
from tests.conftest import heart, save_nifti

FILE = "patient001/patient001_frame01"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "Dataset027_ACDC"


def test_the_official_layout_with_scribbles(acdc_folder, target):
    done = import_acdc(acdc_folder, target)
    assert (done.training, done.testing, done.marked, done.folds) == (6, 2, 6, 5)
    assert "unit-columns: 22 files" in done.notes
    dataset = Dataset.open(target)
    assert dataset.spec.classes == ("background", "RV", "Myo", "LV")
    assert [split.val for split in dataset.splits()] == [
        ("patient001_frame01", "patient001_frame12"),
        ("patient021_frame01", "patient021_frame12"),
        (),
        (),
        ("patient100_frame01", "patient100_frame12"),
    ]
    case = dataset.training[0]
    _, truth, scribble = heart(seed=101)
    assert (dataset.dense_labels(case).array == truth[::-1, ::-1]).all()
    expected = np.where(scribble == 4, IGNORE, scribble)
    assert (dataset.sparse_labels(case).array == expected[::-1, ::-1]).all()
    assert dataset.testing[0].id == "patient101_frame01"
    assert dataset.dense_labels(dataset.testing[0]).array.any()


def test_an_image_written_back_is_voxel_equal_with_a_consistent_header(acdc_folder, target):
    import_acdc(acdc_folder, target)
    before = nib.load(acdc_folder / f"{FILE}.nii.gz")
    after = nib.load(target / "imagesTr" / "patient001_frame01_0000.nii.gz")
    assert (np.asarray(before.dataobj) == np.asarray(after.dataobj)).all()
    assert after.get_data_dtype() == np.int16
    assert np.allclose(after.affine, np.diag([-1.5, -1.5, 8, 1]))
    assert np.allclose(after.get_sform(), after.get_qform())
    assert np.allclose(after.header.get_zooms(), (1.5, 1.5, 8))
    assert sitk.ReadImage(target / "imagesTr" / "patient001_frame01_0000.nii.gz").GetSpacing() == (1.5, 1.5, 8.0)


def test_the_record_names_every_file_and_repair(acdc_folder, target):
    import_acdc(acdc_folder, target)
    record = json.loads((target / "import.json").read_text())["cases"]["patient001_frame01"]
    assert sorted(record["files"]) == [f"{FILE}.nii.gz", f"{FILE}_gt.nii.gz", f"{FILE}_scribble.nii.gz"]
    assert all(len(digest) == 64 for digest in record["files"].values())
    assert record["notes"][0].startswith("unit-columns: pixdim [1.5, 1.5, 8.0] over affine columns [1.0, 1.0, 1.0]")


@pytest.mark.parametrize("suffix", ["_scribble", ""])
def test_scribbles_in_a_second_folder(acdc_folder, target, tmp_path, suffix):
    second = tmp_path / "scribbles"
    second.mkdir()
    for path in acdc_folder.rglob("*_scribble.nii.gz"):
        shutil.move(path, second / path.name.replace("_scribble", suffix))
    assert import_acdc(acdc_folder, target, scribbles=second).marked == 6


def test_without_scribbles_nothing_is_marked(acdc_folder, target):
    for path in acdc_folder.rglob("*_scribble.nii.gz"):
        path.unlink()
    done = import_acdc(acdc_folder, target)
    assert done.marked == 0
    assert "images without scribbles: 8" in done.notes
    dataset = Dataset.open(target)
    assert (dataset.sparse_labels(dataset.training[0]).array == IGNORE).all()


def test_a_zip_archive_imports_like_its_folder(acdc_folder, target, tmp_path):
    archive = tmp_path / "acdc.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in acdc_folder.rglob("*.*"):
            file.write(path, Path("ACDC") / path.relative_to(acdc_folder))
    import_acdc(archive, target)
    other = tmp_path / "Dataset028_ACDC"
    import_acdc(acdc_folder, other)
    for path in sorted(target.rglob("*.nii.gz")):
        assert path.read_bytes() == (other / path.relative_to(target)).read_bytes()


def refused(acdc_folder, target, error, message):
    with pytest.raises(error, match=message) as caught:
        import_acdc(acdc_folder, target)
    assert not target.exists()
    assert not list(target.parent.glob(".*partial"))
    return caught.value


def test_a_scribble_of_another_patient_is_refused(acdc_folder, target):
    _, truth, _ = heart(seed=101)
    wrong = np.where(np.random.default_rng(0).random(truth.shape) < 0.1, np.roll(truth, 15, axis=0), 4)
    save_nifti(acdc_folder / f"{FILE}_scribble.nii.gz", wrong.astype(np.uint8), unit_columns=True)
    error = refused(acdc_folder, target, LabelError, "do not belong")
    assert "frame01_scribble" in error.where


def test_a_label_on_another_grid_is_refused(acdc_folder, target):
    _, truth, _ = heart(seed=101)
    save_nifti(acdc_folder / f"{FILE}_gt.nii.gz", truth[:-1], unit_columns=True)
    refused(acdc_folder, target, GeometryError, "different shapes")
    save_nifti(acdc_folder / f"{FILE}_gt.nii.gz", truth, (1.5, 1.5, 9.0), unit_columns=True)
    refused(acdc_folder, target, GeometryError, "different spacing")


def test_a_value_no_class_has_is_refused(acdc_folder, target):
    _, truth, _ = heart(seed=101)
    save_nifti(acdc_folder / f"{FILE}_gt.nii.gz", truth + 4, unit_columns=True)
    error = refused(acdc_folder, target, LabelError, "no class has")
    assert "[4, 5, 6, 7]" in error.received


def test_an_image_in_the_place_of_a_label_is_refused(acdc_folder, target):
    image, *_ = heart(seed=101)
    save_nifti(acdc_folder / f"{FILE}_gt.nii.gz", image, unit_columns=True)
    refused(acdc_folder, target, LabelError, "no class has")


def test_the_same_case_twice_is_refused(acdc_folder, target):
    shutil.copytree(acdc_folder / "patient001", acdc_folder / "copy")
    refused(acdc_folder, target, DatasetError, "two files claim")


def test_an_empty_folder_is_refused(tmp_path, target):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing of this kind"):
        import_acdc(tmp_path / "empty", target)


def test_an_empty_scribble_folder_is_refused(acdc_folder, tmp_path, target):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing of this kind"):
        import_acdc(acdc_folder, target, scribbles=tmp_path / "empty")


@pytest.fixture
def hdf5_folder(tmp_path):
    root = tmp_path / "h5"
    (root / "ACDC_training_slices").mkdir(parents=True)
    image, truth, scribble = heart((40, 36, 11), seed=1)
    for index in range(11):
        with h5py.File(root / "ACDC_training_slices" / f"patient001_frame01_slice_{index}.h5", "w") as file:
            for key, array in (("image", image / 250.0), ("label", truth), ("scribble", scribble)):
                file[key] = array[:, :, index].T
    return root


class TestHdf5:
    def test_slices_are_stacked_in_the_order_of_their_numbers(self, hdf5_folder, target):
        done = import_acdc_hdf5(hdf5_folder, target)
        assert (done.training, done.marked, done.folds) == (1, 1, 5)
        assert "no spacing" in done.notes[0]
        dataset = Dataset.open(target)
        image, truth, _ = heart((40, 36, 11), seed=1)
        assert np.allclose(dataset.image(dataset.training[0]).array, image / 250.0)
        assert (dataset.dense_labels(dataset.training[0]).array == truth).all()

    def test_volumes_are_turned(self, tmp_path, target):
        image, _, scribble = heart(seed=3)
        (tmp_path / "v").mkdir()
        with h5py.File(tmp_path / "v" / "patient003_frame01.h5", "w") as file:
            file["image"], file["scribble"] = image.transpose(2, 1, 0) / 250.0, scribble.transpose(2, 1, 0)
        import_acdc_hdf5(tmp_path / "v", target)
        dataset = Dataset.open(target)
        assert np.allclose(dataset.image(dataset.training[0]).array, image / 250.0)
        assert dataset.training[0].dense is None

    def test_slices_of_different_shapes_are_refused(self, hdf5_folder, target):
        with h5py.File(hdf5_folder / "ACDC_training_slices" / "patient001_frame01_slice_11.h5", "w") as file:
            file["image"] = np.zeros((5, 5))
        with pytest.raises(GeometryError, match="different shapes"):
            import_acdc_hdf5(hdf5_folder, target)
        assert not target.exists()

    def test_a_missing_slice_is_refused(self, hdf5_folder, target):
        (hdf5_folder / "ACDC_training_slices" / "patient001_frame01_slice_4.h5").unlink()
        with pytest.raises(DatasetError, match="lacks slices") as error:
            import_acdc_hdf5(hdf5_folder, target)
        assert "[4]" in error.value.received

    def test_the_same_slice_twice_is_refused(self, hdf5_folder, target):
        folder = hdf5_folder / "ACDC_training_slices"
        shutil.copytree(folder, hdf5_folder / "copy")
        with pytest.raises(DatasetError, match="two files claim"):
            import_acdc_hdf5(hdf5_folder, target)

    def test_a_scribble_on_some_slices_alone_is_refused(self, hdf5_folder, target):
        with h5py.File(hdf5_folder / "ACDC_training_slices" / "patient001_frame01_slice_4.h5", "a") as file:
            del file["scribble"]
        with pytest.raises(DamagedFileError, match="some have none"):
            import_acdc_hdf5(hdf5_folder, target)

    def test_an_array_that_was_never_written_is_refused(self, tmp_path, target):
        (tmp_path / "v").mkdir()
        with h5py.File(tmp_path / "v" / "patient003_frame01.h5", "w") as file:
            file.create_dataset("image", (400, 500, 500), "f4", chunks=True)
        with pytest.raises(DamagedFileError, match="does not hold its own data"):
            import_acdc_hdf5(tmp_path / "v", target)

    def test_the_official_test_patients_are_held_out(self, tmp_path, target):
        (tmp_path / "v").mkdir()
        with h5py.File(tmp_path / "v" / "patient101_frame01.h5", "w") as file:
            file["image"] = np.zeros((3, 5, 6))
        done = import_acdc_hdf5(tmp_path / "v", target)
        assert (done.training, done.testing, done.folds) == (0, 1, 0)

    def test_a_label_of_another_shape_is_refused(self, tmp_path, target):
        (tmp_path / "v").mkdir()
        with h5py.File(tmp_path / "v" / "patient003_frame01.h5", "w") as file:
            file["image"], file["label"] = np.zeros((3, 5, 6)), np.zeros((3, 5, 5))
        with pytest.raises(GeometryError, match="image and label"):
            import_acdc_hdf5(tmp_path / "v", target)

    def test_nothing_found(self, tmp_path, target):
        (tmp_path / "v").mkdir()
        with pytest.raises(InputError, match="nothing of this kind"):
            import_acdc_hdf5(tmp_path / "v", target)


@pytest.mark.real
@pytest.mark.slow
def test_real_acdc(real_data, target):
    done = import_acdc(real_data / "acdc", target)
    assert (done.training, done.marked, done.folds) == (200, 200, 5)
    assert done.notes == ("unit-columns: 600 files",)
    dataset = Dataset.open(target)
    assert [len(split.val) for split in dataset.splits()] == [40] * 5
    for case in dataset.training[::29]:
        patient = case.group
        before = nib.load(real_data / "acdc" / patient / f"{case.id}.nii.gz")
        after = nib.load(case.images[0])
        assert (np.asarray(before.dataobj) == np.asarray(after.dataobj)).all()
        assert np.allclose(before.header.get_zooms(), after.header.get_zooms())
        assert np.allclose(np.linalg.norm(after.affine[:3, :3], axis=0), after.header.get_zooms())
        scribble = nib.load(real_data / "acdc" / patient / f"{case.id}_scribble.nii.gz")
        assert (np.asarray(scribble.dataobj) == np.asarray(nib.load(case.sparse).dataobj)).all()
