import numpy as np
import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.importers.btcv import import_btcv
from tests.conftest import save_nifti
from tests.data.importers.abdomen import abdomen

BTCV_IDS = np.array([0, 6, 2, 3, 1], np.uint8)  # of the phantom's liver, kidneys and spleen


def ct(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """HU and BTCV's 13 organs; RAS+."""
    image, organs = abdomen(seed)
    truth = BTCV_IDS[organs]
    for place, organ in enumerate((4, 5, 7, 8, 9, 10, 11, 12, 13)):
        truth[10, place, 0] = organ
    return (image.astype(np.int16) - 500), truth


def write(root, names, *, windowed=False, truth=True):
    for seed, (image_name, label_name) in enumerate(names):
        image, labels = ct(seed)
        image = np.clip(image // 4 + 100, 0, 255).astype(np.uint8) if windowed else image
        save_nifti(root / "img" / f"{image_name}.nii.gz", image[::-1, ::-1])
        if truth:
            save_nifti(root / "label" / f"{label_name}.nii.gz", labels[::-1, ::-1])


@pytest.fixture
def target(tmp_path):
    return tmp_path / "Dataset041_BTCV"


@pytest.fixture
def official(tmp_path):
    root = tmp_path / "RawData"
    write(root / "Training", [(f"img{n:04d}", f"label{n:04d}") for n in (1, 5, 38, 40)])
    write(root / "Testing", [("img0061", "")], truth=False)
    return root


@pytest.fixture
def numbered(tmp_path):
    root = tmp_path / "pairs"
    write(root, [(f"image_{n}", f"label_{n}") for n in range(11)], windowed=True)
    return root


def test_the_official_layout(official, target):
    done = import_btcv(official, target)
    assert (done.training, done.testing, done.marked, done.folds) == (4, 1, 0, 1)
    assert done.notes == (
        "intensities are Hounsfield units: train with --normalisation ct",
        "images without dense truth: 1",
    )
    dataset = Dataset.open(target)
    (split,) = dataset.splits()
    assert split.train == ("case0005", "case0040")
    assert split.val == ("case0001", "case0038")
    assert [case.id for case in dataset.testing] == ["case0061"]
    image, truth = ct(1)
    case = dataset.case("case0005")
    assert (dataset.image(case).array == image).all()
    expected = np.select([truth == organ for organ in (1, 2, 3, 4, 6, 7, 8, 11)], range(1, 9), 0)
    assert (dataset.dense_labels(case).array == expected).all()
    assert dataset.spec.classes[1:6] == ("spleen", "right kidney", "left kidney", "gallbladder", "liver")


def test_numbered_pairs_have_folds_of_consecutive_numbers(numbered, target):
    done = import_btcv(numbered, target)
    assert (done.training, done.testing, done.folds) == (11, 0, 4)
    assert done.notes == ("intensities are 8-bit, windowed before: train with --normalisation unit",)
    folds = [split.val for split in Dataset.open(target).splits()]
    assert folds[0] == ("volume09", "volume10")
    assert folds[3] == ("volume00", "volume01", "volume02")
    assert len({case for fold in folds for case in fold}) == sum(len(fold) for fold in folds) == 11


def mixed(root):
    save_nifti(root / "img" / "image_3.nii.gz", ct(3)[0][::-1, ::-1])


def exchanged(root):
    """CHAOS's coding: 1 is the liver, 4 the spleen."""
    save_nifti(root / "label" / "label_3.nii.gz", abdomen(3)[1][::-1, ::-1])


DAMAGE = {
    "units": (mixed, "some were windowed before"),
    "chaos": (exchanged, "do not lie where they belong"),
    "values": (
        lambda root: save_nifti(root / "label" / "label_3.nii.gz", np.full((24, 20, 6), 14, np.uint8)),
        "no class has",
    ),
    "twice": (lambda root: save_nifti(root / "img0001.nii.gz", ct(0)[0]), "holds BTCV twice"),
    "cut": (
        lambda root: (root / "img" / "image_3.nii.gz").write_bytes(
            (root / "img" / "image_3.nii.gz").read_bytes()[:-30]
        ),
        "cut off",
    ),
    "nothing": (lambda root: [path.unlink() for path in root.rglob("*.gz")], "nothing of this kind"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_refused_with_one_message(numbered, target, refuses, kind):
    spoil, message = DAMAGE[kind]
    spoil(numbered)
    said = refuses("import", "btcv", numbered, target, target=target)
    assert message in said
    assert "what to do" in said


def test_a_case_without_kidneys_is_taken_as_it_is(numbered, target):
    save_nifti(numbered / "label" / "label_3.nii.gz", np.zeros((24, 20, 6), np.uint8))
    assert import_btcv(numbered, target).training == 11


@pytest.mark.real
@pytest.mark.slow
def test_real_btcv(real_data, target):
    done = import_btcv(real_data / "btcv", target)
    assert (done.training, done.testing, done.folds) == (8, 0, 4)
    assert "front-back-exchanged: 8 files" in done.notes  # seen: the table lies above the patient
    dataset = Dataset.open(target)
    assert dataset.splits()[0].val == ("volume06", "volume07")
    assert all(set(np.unique(dataset.dense_labels(case).array)) == set(range(9)) for case in dataset.training)
