import shutil

import numpy as np
import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.importers.mscmr import import_mscmr
from pointillist.types import IGNORE
from tests.conftest import heart, save_nifti

OFFICIAL = np.array([0, 600, 200, 500], np.int16)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "Dataset042_MSCMR"


@pytest.fixture
def cyclemix(tmp_path):
    """Two training subjects with scribbles, one of the validation and one of the test set with truth."""
    root = tmp_path / "MSCMR_dataset"
    for number, folder in ((13, "train"), (6, "train"), (29, "val"), (3, "TestSet")):
        image, truth, scribble = heart(seed=number)
        save_nifti(root / folder / "images" / f"subject{number}_DE.nii.gz", image)
        kind, labels = ("scribble", scribble) if folder == "train" else ("manual", truth)
        save_nifti(root / folder / "labels" / f"subject{number}_DE_{kind}.nii.gz", labels)
    return root


@pytest.fixture
def organisers(tmp_path):
    root = tmp_path / "MSCMRSeg"
    for number in range(1, 7):
        image, truth, _ = heart(seed=number)
        save_nifti(root / f"patient{number}_LGE.nii.gz", image)
        save_nifti(root / f"patient{number}_LGE_manual.nii.gz", OFFICIAL[truth])
        save_nifti(root / f"patient{number}_C0.nii.gz", image)
    return root


def test_cyclemix_layout(cyclemix, target):
    done = import_mscmr(cyclemix, target)
    assert (done.training, done.testing, done.marked, done.folds) == (3, 1, 2, 1)
    dataset = Dataset.open(target)
    assert dataset.spec.classes == ("background", "RV", "Myo", "LV")
    (split,) = dataset.splits()
    assert (split.train, split.val) == (("subject13", "subject6"), ("subject29",))
    case = dataset.case("subject13")
    scribble = heart(seed=13)[2][::-1, ::-1]
    assert (dataset.sparse_labels(case).array == np.where(scribble == 4, IGNORE, scribble)).all()
    assert case.dense is None
    assert (dataset.dense_labels(dataset.testing[0]).array == heart(seed=3)[1][::-1, ::-1]).all()


@pytest.mark.parametrize("suffix", ["_scribble", ""])
def test_scribbles_in_a_second_folder(cyclemix, target, tmp_path, suffix):
    (tmp_path / "MSCMR_scribbles").mkdir()
    for path in cyclemix.rglob("*_scribble.nii.gz"):
        shutil.move(path, tmp_path / "MSCMR_scribbles" / path.name.replace("_scribble", suffix))
    assert import_mscmr(cyclemix, target, scribbles=tmp_path / "MSCMR_scribbles").marked == 2


def test_the_organisers_layout_and_coding(organisers, target):
    done = import_mscmr(organisers, target)
    assert (done.training, done.testing, done.marked, done.folds) == (6, 0, 0, 5)
    dataset = Dataset.open(target)
    assert (dataset.dense_labels(dataset.case("patient2")).array == heart(seed=2)[1][::-1, ::-1]).all()


def spoil(name, labels):
    return lambda root: save_nifti(next(root.rglob(name)), labels)


TRUTH, SCRIBBLE = heart(seed=29)[1], heart(seed=13)[2]
DAMAGE = {
    "ventricles-exchanged": (
        spoil("subject29_DE_manual.nii.gz", np.array([0, 3, 2, 1], np.uint8)[TRUTH]),
        "ventricles are exchanged",
    ),
    "other-coding": (spoil("subject29_DE_manual.nii.gz", TRUTH.astype(np.int16) * 100), "no class has"),
    "scribble-value": (spoil("subject13_DE_scribble.nii.gz", SCRIBBLE + np.uint8(1)), "no class has"),
    "scribble-grid": (spoil("subject13_DE_scribble.nii.gz", SCRIBBLE[:-1]), "different shapes"),
    "scribble-twice": (
        lambda root: shutil.copy(next(root.rglob("subject13_DE_scribble.nii.gz")), root / "subject13_DE_scribble.nii"),
        "two files claim",
    ),
    "scribble-of-another": (
        lambda root: save_nifti(root / "subject29_DE_scribble.nii.gz", np.where(TRUTH == 1, 2, 4).astype(np.uint8)),
        "do not belong",
    ),
    "nothing": (lambda root: [path.unlink() for path in root.rglob("*.gz")], "nothing of this kind"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_refused_with_one_message(cyclemix, target, refuses, kind):
    change, message = DAMAGE[kind]
    change(cyclemix)
    said = refuses("import", "mscmr", cyclemix, target, target=target)
    assert message in said
    assert "what to do" in said


def test_an_empty_scribble_folder_is_refused(cyclemix, target, tmp_path, refuses):
    (tmp_path / "empty").mkdir()
    said = refuses("import", "mscmr", cyclemix, target, "--scribbles", tmp_path / "empty", target=target)
    assert "nothing of this kind" in said
