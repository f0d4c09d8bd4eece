import hashlib
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.importers.camelyon16 import import_camelyon16
from pointillist.data.slides import read_level
from pointillist.errors import DamagedFileError, InputError, LabelError
from pointillist.types import IGNORE
from tests.conftest import png
from tests.data.importers.tissue import BOX, asap, moved, pyramid, tissue

SQUARE = np.zeros((24, 30), np.uint8)
SQUARE[2:8, 3:9] = 1


@pytest.fixture
def crops(tmp_path):
    """Crops of five slides: placed by name, with outlines of their own, normal, and of a test slide."""
    root = tmp_path / "crops"
    root.mkdir()
    for seed, name in enumerate(
        (
            "tumor_001 [x=1000,y=2000,w=30,h=24]",
            "tumor_001 [d=4,x=1000,y=2000,w=120,h=96]",
            "tumor_002_crop1",
            "tumor_003_x5_y6_d2",
            "normal_001_x1_y1",
            "test_001_x0_y0",
        )
    ):
        (root / f"{name}.png").write_bytes(png(tissue(seed)))
    (root / "tumor_001.xml").write_bytes(asap(("_0", moved(BOX, 2000, 1000))))
    (root / "tumor_002_crop1.xml").write_bytes(asap(("Tumor", BOX), ("_2", [(3, 4), (3, 6), (5, 6), (5, 4)])))
    (root / "tumor_003.xml").write_bytes(asap(("_1", moved(moved(BOX, 3, 2.5), 0, 0, 2))))
    (root / "test_001.xml").write_bytes(asap())
    return root


def truth(dataset, case):
    return dataset.dense_labels(dataset.case(case)).array


def test_outlines_are_placed_in_crops(crops, tmp_path):
    done = import_camelyon16(crops, tmp_path / "out")
    assert (done.training, done.testing, done.folds) == (5, 1, 4)
    dataset = Dataset.open(tmp_path / "out")
    assert (truth(dataset, "tumor_001_x_1000_y_2000_w_30_h_24") == SQUARE).all()
    quarter = truth(dataset, "tumor_001_d_4_x_1000_y_2000_w_120_h_96")
    assert np.argwhere(quarter).tolist() == [
        [0, 1],
        [1, 1],
    ]  # corners: rows 0.5 … 2, columns 0.75 … 2.25
    cut = SQUARE.copy()
    cut[3:5, 4:6] = 0
    assert (truth(dataset, "tumor_002_crop1") == cut).all()
    assert (truth(dataset, "tumor_003_x5_y6_d2") == SQUARE).all()
    assert not truth(dataset, "normal_001_x1_y1").any()
    assert [case.id for case in dataset.testing] == ["test_001_x0_y0"]
    assert dataset.spec.classes == ("background", "tumour")


def test_crops_of_a_slide_are_never_parted(crops, tmp_path):
    import_camelyon16(crops, tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    assert len(dataset.splits()) == 4
    assert [case.group for case in dataset.training if case.id.startswith("tumor_001")] == ["tumor_001"] * 2
    for split in dataset.splits():
        assert not {dataset.groups[case] for case in split.train} & {dataset.groups[case] for case in split.val}
    assert sorted(len(split.val) for split in dataset.splits()) == [1, 1, 1, 2]


def test_what_lies_outside_of_a_slide_annotated_in_part_is_unknown(crops, tmp_path):
    import_camelyon16(crops, tmp_path / "out", partial=("tumor_002",))
    labels = truth(Dataset.open(tmp_path / "out"), "tumor_002_crop1")
    assert (labels[SQUARE == 0] == IGNORE).all()
    assert (labels[3:5, 4:6] == 0).all()
    with pytest.raises(InputError, match="not there"):
        import_camelyon16(crops, tmp_path / "other", partial=("tumor_009",))


def test_an_archive_of_crops(crops, tmp_path):
    with zipfile.ZipFile(tmp_path / "crops.zip", "w") as archive:
        for path in sorted(crops.iterdir()):
            archive.write(path, path.name)
    assert import_camelyon16(tmp_path / "crops.zip", tmp_path / "out").training == 5


@pytest.fixture
def slide(tmp_path):
    """A slide of 512 × 640 pixels; its tumour holds rows 128–255 and columns 64–191."""
    root = tmp_path / "slides"
    root.mkdir()
    base = np.repeat(np.repeat(tissue(0, (32, 40)), 16, axis=0), 16, axis=1)
    pyramid(root / "tumor_001.tif", base)
    (root / "tumor_001.xml").write_bytes(asap(("_0", [(128, 64), (128, 192), (256, 192), (256, 64)])))
    (root / "tumor_001_mask.tif").write_bytes(b"not read")
    return root


@pytest.mark.parametrize("downsample", [1, 2, 8])
def test_a_level_of_a_slide(slide, tmp_path, downsample):
    done = import_camelyon16(slide, tmp_path / "out", downsample=downsample)
    assert (done.training, done.folds) == (1, 0)
    assert "files left aside: 1" in done.notes
    dataset = Dataset.open(tmp_path / "out")
    image = dataset.image(dataset.case("tumor_001")).array
    assert image.shape == (512 // downsample, 640 // downsample, 3)
    assert (image[:: 16 // downsample, :: 16 // downsample] == tissue(0, (32, 40))).all()
    expected = np.zeros(image.shape[:2], int)
    expected[128 // downsample : 256 // downsample, 64 // downsample : 192 // downsample] = 1
    assert (truth(dataset, "tumor_001") == expected).all()
    record = json.loads((tmp_path / "out" / "import.json").read_text())["cases"]["tumor_001"]["files"]
    assert record["tumor_001.tif"] == hashlib.sha256((slide / "tumor_001.tif").read_bytes()).hexdigest()


def test_reading_a_level_holds_that_level_and_no_larger_one(tmp_path):
    base = np.zeros((4096, 4096, 3), np.uint8)
    pyramid(tmp_path / "tumor_001.tif", base, tile=(256, 256))
    tracemalloc.start()
    level = read_level(tmp_path / "tumor_001.tif", 8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert level.image.array.shape == (512, 512, 3)
    assert peak < base.nbytes / 3


def test_a_level_whose_sides_were_rounded_is_a_whole_number_of_times_smaller(tmp_path):
    pyramid(tmp_path / "tumor_001.tif", np.zeros((500, 630, 3), np.uint8))
    assert read_level(tmp_path / "tumor_001.tif", 8).downsample == 8.0  # 63 × 79 pixels


def test_a_level_that_is_not_there_or_too_large_is_named(slide, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no such level") as error:
        import_camelyon16(slide, tmp_path / "out")
    assert error.value.expected == "1 (512 × 640), 2 (256 × 320), 4 (128 × 160), 8 (64 × 80)"
    monkeypatch.setattr("pointillist.data.slides._MOST_BYTES", 200_000)
    with pytest.raises(InputError, match="too large"):
        import_camelyon16(slide, tmp_path / "out", downsample=2)
    assert not (tmp_path / "out").exists()


def test_a_damaged_slide_is_named(slide, tmp_path):
    path = slide / "tumor_001.tif"
    whole = path.read_bytes()
    for length in np.linspace(1, len(whole) - 1, 23).astype(int):
        path.write_bytes(whole[:length])
        with pytest.raises((DamagedFileError, InputError)):
            import_camelyon16(slide, tmp_path / "out", downsample=8)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "error", "what"),
    [
        (lambda root: (root / "tumor_001.xml").unlink(), LabelError, "no annotation"),
        (lambda root: (root / "tumor_002_crop1.xml").rename(root / "tumor_002.xml"), LabelError, "no annotation"),
        (lambda root: (root / "tumor_003.xml").write_bytes(asap(("unsure", BOX))), LabelError, "group"),
        (lambda root: [path.unlink() for path in root.glob("*.png")], InputError, "nothing of this kind"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(crops, tmp_path, spoil, error, what):
    spoil(crops)
    with pytest.raises(error, match=what):
        import_camelyon16(crops, tmp_path / "out")
    assert not (tmp_path / "out").exists()
