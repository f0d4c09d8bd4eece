import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.importers.chaos import import_chaos
from pointillist.types import IGNORE
from tests.conftest import png, save_nifti
from tests.data.importers.abdomen import GREYS, abdomen, as_slices, dicom, write_subject

MR = Path("Train_Sets") / "MR"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "Dataset040_CHAOS"


@pytest.fixture
def official(tmp_path):
    """Three training subjects, one a fold, and one of the official test set."""
    root = tmp_path / "chaos"
    for number, ground in ((1, True), (15, True), (39, True), (4, False)):
        write_subject(root, number, ground=ground)
    return root


@pytest.fixture
def pairs(tmp_path):
    """Three subjects as NIfTI pairs."""
    root = tmp_path / "pairs"
    for number in (2, 19, 20):
        image, truth = abdomen(number)
        save_nifti(root / f"image_{number}.nii.gz", image[::-1, ::-1])  # its axes run to the left and to the back
        save_nifti(root / f"label_{number}.nii.gz", truth[::-1, ::-1])
    return root


@pytest.mark.parametrize(
    ("sequence", "added", "by_order"), [(None, 0, 0), ("t1-in", 0, 0), ("t1-out", 1, 4), ("t2", 2, 0)]
)
def test_the_official_layout(official, target, sequence, added, by_order):
    done = import_chaos(official, target, sequence=sequence)
    assert (done.training, done.testing, done.marked, done.folds) == (3, 1, 0, 3)
    assert "images without dense truth: 1" in done.notes
    assert any(note.startswith("paired-by-order: 3 files") for note in done.notes) == bool(by_order)
    dataset = Dataset.open(target)
    assert dataset.spec.classes == ("background", "liver", "right kidney", "left kidney", "spleen")
    assert [split.val for split in dataset.splits()] == [("subject01",), ("subject15",), ("subject39",)]
    for case in dataset.training:
        image, truth = abdomen(int(case.id.removeprefix("subject")))
        assert (dataset.image(case).array == image + added).all()
        assert (dataset.dense_labels(case).array == truth).all()
        assert (dataset.sparse_labels(case).array == IGNORE).all()
        assert np.allclose(dataset.image(case).grid.spacing_mm, (1.25, 1.5, 7.7))
    (test,) = dataset.testing
    assert test.id == "subject04"
    assert test.dense is None


def test_names_are_paired_in_the_order_of_their_numbers(official, target):
    for path in [*official.rglob("T1DUAL/**/*.dcm"), *official.rglob("T1DUAL/**/*.png")]:
        path.rename(path.with_stem(f"IMG-{int(path.stem[-5:])}"))
    dataset = Dataset.open(import_chaos(official, target, sequence="t1-out").dataset)
    assert (dataset.dense_labels(dataset.case("subject15")).array == abdomen(15)[1]).all()


def test_a_zip_archive_imports_like_its_folder(official, target, tmp_path):
    archive = tmp_path / "CHAOS_Train_Sets.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in official.rglob("*.*"):
            file.write(path, path.relative_to(official))
    import_chaos(archive, target, sequence="t2")
    other = tmp_path / "other"
    import_chaos(official, other, sequence="t2")
    paths = sorted(target.rglob("*.nii.gz"))
    assert len(paths) == 10
    for path in paths:
        assert path.read_bytes() == (other / path.relative_to(target)).read_bytes()


def test_every_grey_of_the_organisers_ranges_counts(official, target):
    _, truth = abdomen(1)
    low, high = np.array([0, 56, 111, 176, 241], np.uint8), np.array([0, 70, 135, 200, 255], np.uint8)
    for greys in (low, high):
        for z, labels in enumerate(as_slices(truth)):
            name = f"IMG-0004-{6 - z:05d}.png"
            (official / MR / "1" / "T2SPIR" / "Ground" / name).write_bytes(png(greys[labels]))
        dataset = Dataset.open(import_chaos(official, target, sequence="t2").dataset)
        assert (dataset.dense_labels(dataset.case("subject01")).array == truth).all()
        shutil.rmtree(target)


def test_nifti_pairs(pairs, target):
    done = import_chaos(pairs, target)
    assert (done.training, done.testing, done.folds, done.notes) == (3, 0, 3, ())
    dataset = Dataset.open(target)
    assert [split.val for split in dataset.splits()] == [("subject02",), ("subject19", "subject20"), ()]
    case = dataset.case("subject19")
    assert (dataset.image(case).array == abdomen(19)[0]).all()
    assert (dataset.dense_labels(case).array == abdomen(19)[1]).all()


def test_other_subjects_get_folds_of_equal_size(pairs, target):
    for kind in ("image", "label"):
        (pairs / f"{kind}_2.nii.gz").rename(pairs / f"{kind}_77.nii.gz")
    done = import_chaos(pairs, target)
    assert [len(split.val) for split in Dataset.open(done.dataset).splits()] == [1, 1, 1]


def test_a_header_that_points_the_wrong_way_is_told(pairs, target):
    image, truth = abdomen(2)
    save_nifti(pairs / "image_2.nii.gz", image[::-1])  # front and back are not what the header says
    save_nifti(pairs / "label_2.nii.gz", truth[::-1])
    save_nifti(pairs / "image_19.nii.gz", image[:, ::-1, ::-1])
    save_nifti(pairs / "label_19.nii.gz", truth[:, ::-1, ::-1])
    done = import_chaos(pairs, target)
    assert done.notes == (
        "front-back-exchanged: 1 files",
        "head-foot-exchanged: 1 files",
        "left-right-exchanged: 1 files",
    )
    assert (Dataset.open(target).image(Dataset.open(target).case("subject02")).array == image[:, ::-1]).all()


def spoil_slice(root: Path, content: bytes) -> None:
    (root / MR / "15" / "T2SPIR" / "DICOM_anon" / "IMG-0004-00003.dcm").write_bytes(content)


def spoil_ground(root: Path, content: bytes) -> None:
    (root / MR / "15" / "T2SPIR" / "Ground" / "IMG-0004-00003.png").write_bytes(content)


def labels_of(z: int) -> np.ndarray:
    return as_slices(abdomen(15)[1])[z]


def exchange(root: Path) -> None:
    """Liver and spleen coded the wrong way round."""
    for path in (root / MR / "15" / "T2SPIR" / "Ground").iterdir():
        labels = labels_of(6 - int(path.stem[-5:]))
        path.write_bytes(png(GREYS[[0, 4, 2, 3, 1]][labels]))


DAMAGE = {
    "slice-cut": (lambda root: spoil_slice(root, dicom(labels_of(3), (-15, -12, 123.1))[:-9]), "cannot be read"),
    "slice-missing": (
        lambda root: (root / MR / "15" / "T2SPIR" / "DICOM_anon" / "IMG-0004-00003.dcm").unlink(),
        "evenly spaced",
    ),
    "slice-of-another-size": (
        lambda root: spoil_slice(root, dicom(labels_of(3).T, (-15, -12, 123.1))),
        "differ in their size",
    ),
    "ground-cut": (lambda root: spoil_ground(root, png(GREYS[labels_of(3)])[:-20]), "IMG-0004-00003.png"),
    "ground-missing": (
        lambda root: (root / MR / "15" / "T2SPIR" / "Ground" / "IMG-0004-00003.png").unlink(),
        "do not belong together",
    ),
    "ground-of-another-size": (lambda root: spoil_ground(root, png(GREYS[labels_of(3).T])), "another size"),
    "ground-of-another-release": (
        lambda root: spoil_ground(root, png(np.array([0, 80, 160, 240, 255], np.uint8)[labels_of(3)])),
        "greys that no organ has",
    ),
    "ground-of-16-bits": (
        lambda root: spoil_ground(root, png(labels_of(3).astype(np.uint16) * 300)),
        "greys that no organ has",
    ),
    "organs-exchanged": (exchange, "do not lie where they belong"),
    "subject-twice": (
        lambda root: shutil.copytree(root / MR / "15", root / "copy" / "15"),
        "two folders claim to be the same subject",
    ),
    "sequence-missing": (lambda root: shutil.rmtree(root / MR / "15" / "T2SPIR"), "lacks the sequence"),
    "nifti-too": (lambda root: save_nifti(root / "image_1.nii.gz", abdomen()[0]), "do not say their sequence"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_refused_with_one_message(official, target, refuses, kind):
    spoil, message = DAMAGE[kind]
    spoil(official)
    said = refuses("import", "chaos", official, target, "--sequence", "t2", target=target)
    assert message in said
    assert "what to do" in said


PAIR_DAMAGE = {
    "another-grid": (lambda root: save_nifti(root / "label_19.nii.gz", abdomen()[1][:-1]), "different shapes"),
    "values": (lambda root: save_nifti(root / "label_19.nii.gz", abdomen()[1] + np.uint8(4)), "no class has"),
    "one-number-twice": (lambda root: save_nifti(root / "image_019.nii.gz", abdomen()[0]), "two files claim"),
    "nothing": (lambda root: [path.unlink() for path in root.iterdir()], "nothing of this kind"),
}


@pytest.mark.parametrize("kind", PAIR_DAMAGE)
def test_damaged_pairs_are_refused_with_one_message(pairs, target, refuses, kind):
    spoil, message = PAIR_DAMAGE[kind]
    spoil(pairs)
    assert message in refuses("import", "chaos", pairs, target, target=target)


def test_a_sequence_cannot_be_chosen_of_pairs(pairs, target, refuses):
    assert "--sequence t2" in refuses("import", "chaos", pairs, target, "--sequence", "t2", target=target)


@pytest.mark.real
@pytest.mark.slow
def test_real_chaos(real_data, target):
    done = import_chaos(real_data / "chaos_t2", target)
    assert (done.training, done.testing, done.folds, done.notes) == (10, 0, 3, ())
    dataset = Dataset.open(target)
    assert dataset.splits()[1].val == ("subject15", "subject19", "subject20")
    assert all(set(np.unique(dataset.dense_labels(case).array)) == set(range(5)) for case in dataset.training)
