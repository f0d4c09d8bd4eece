import numpy as np
import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.importers.monuseg import import_monuseg
from pointillist.data.readers import read_label
from pointillist.errors import DamagedFileError, LabelError
from tests.data.conftest import tiff
from tests.data.importers.tissue import BOX, imagescope, moved, tissue

NAMES = ("TCGA-18-5592-01Z-00-DX1", "TCGA-18-5592-01Z-00-DX2", "TCGA-21-5784-01Z-00-DX1")


@pytest.fixture
def source(tmp_path):
    """Three training images of two patients, and a test image whose two files lie in one folder."""
    root = tmp_path / "monuseg"
    for seed, name in enumerate(NAMES):
        for folder, file, content in (
            ("Tissue Images", f"{name}.tif", tiff(tissue(seed), photometric="rgb", compression="zlib")),
            ("Annotations", f"{name}.xml", imagescope(BOX, moved(BOX, 12, seed))),
        ):
            path = root / "MoNuSeg 2018 Training Data" / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    test = root / "MoNuSegTestData"
    test.mkdir()
    (test / "TCGA-2Z-A9J9-01A-01-TS1.tif").write_bytes(tiff(tissue(7), photometric="rgb"))
    (test / "TCGA-2Z-A9J9-01A-01-TS1.xml").write_bytes(imagescope(BOX))
    return root


def one(root, name=NAMES[0], folder="Annotations", kind="xml"):
    return root / "MoNuSeg 2018 Training Data" / folder / f"{name}.{kind}"


def test_outlines_become_instances(source, tmp_path):
    done = import_monuseg(source, tmp_path / "out")
    assert (done.training, done.testing, done.folds, done.notes) == (3, 1, 2, ())
    dataset = Dataset.open(tmp_path / "out")
    case = dataset.case(NAMES[1])
    assert case.group == "TCGA-18-5592"
    expected = np.zeros((24, 30), int)
    expected[2:8, 3:9], expected[14:20, 4:10] = 1, 2
    assert (read_label(case.instances).array == expected).all()
    assert (dataset.dense_labels(case).array == (expected > 0)).all()
    (held_out,) = dataset.testing
    assert held_out.id == "TCGA-2Z-A9J9-01A-01-TS1"
    assert dataset.splits()[0].val == (NAMES[2],)


def test_the_first_outline_keeps_what_two_share_and_holes_are_cut_out(source, tmp_path):
    hole = [(3, 4), (3, 5), (4, 5), (4, 4)]
    covered, line = [(3, 4), (3, 7), (6, 7)], [(1, 1), (1, 9)]
    one(source).write_bytes(imagescope(BOX, moved(BOX, 3, 3), covered, line, hole=[hole]))
    done = import_monuseg(source, tmp_path / "out")
    assert set(done.notes) == {"overlap: 1 files", "empty-outline: 1 files", "negative-region: 1 files"}
    numbers = read_label(Dataset.open(tmp_path / "out").case(NAMES[0]).instances).array
    expected = np.zeros((24, 30), int)
    expected[5:11, 6:12] = 2
    expected[2:8, 3:9] = 1
    expected[3, 4] = 0
    assert (numbers == expected).all()


def test_an_outline_is_cut_off_at_the_border(source, tmp_path):
    one(source).write_bytes(imagescope([(-9, -9), (-9, 2), (2, 2), (2, -9)]))
    import_monuseg(source, tmp_path / "out")
    assert np.argwhere(read_label(Dataset.open(tmp_path / "out").case(NAMES[0]).instances).array).tolist() == [
        [0, 0], [0, 1], [1, 0], [1, 1],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "error", "what"),
    [
        (lambda root: one(root).unlink(), LabelError, "no annotation"),
        (lambda root: one(root).write_bytes(one(root).read_bytes()[:-20]), DamagedFileError, "no whole XML"),
        (
            lambda root: one(root).write_bytes(b'<!DOCTYPE a [<!ENTITY x "y">]>' + one(root).read_bytes()),
            DamagedFileError,
            "entities",
        ),
        (
            lambda root: one(root, folder="Tissue Images", kind="tif").write_bytes(tiff(tissue(0))[:900]),
            DamagedFileError,
            "decoded|outside",
        ),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(source, tmp_path, spoil, error, what):
    spoil(source)
    with pytest.raises(error, match=what):
        import_monuseg(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["monuseg"]


@pytest.mark.real
@pytest.mark.slow
def test_real_monuseg(real_data, tmp_path):
    done = import_monuseg(real_data / "monuseg", tmp_path / "out")
    assert (done.training, done.testing, done.folds) == (4, 2, 4)
    dataset = Dataset.open(tmp_path / "out")
    numbers = read_label(dataset.case("TCGA-21-5784-01Z-00-DX1").instances).array
    assert len(np.unique(numbers)) == 1 + 398
    for case in (*dataset.training, *dataset.testing):  # nuclei are darker than what is around them
        grey, nucleus = dataset.image(case).array.mean(axis=-1), dataset.dense_labels(case).array == 1
        assert grey[nucleus].mean() < grey[~nucleus].mean() - 30
