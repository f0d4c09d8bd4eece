import json

import numpy as np
import pytest

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.dataset import Dataset, labels_from_disk, labels_to_disk
from pointillist.data.image import Grid, Image
from pointillist.data.split import Split
from pointillist.errors import DatasetError, InputError, LabelError
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE, Stroke

SPEC = TaskSpec(("background", "cell"), ("grey",))


def flat_case(name="a", **changes):
    image = Image(np.arange(48, dtype=np.uint8).reshape(6, 8), Grid((6, 8)))
    return NewCase(**{"id": name, "image": image, "group": name, **changes})


@pytest.fixture
def built(tmp_path):
    """Two cases: one with a raster of marks under a stroke, one without marks; one case held out."""
    target = tmp_path / "Dataset001_Cells"
    base = np.full((6, 8), IGNORE, np.uint8)
    base[0, :3] = 0
    dense = np.zeros((6, 8), np.uint8)
    dense[3:] = 1
    stroke = Stroke(1, np.array([[4.0, 1.0], [4.0, 5.0]]), author="ana", time="2026-01-01T10:00:00Z")
    with DatasetBuilder(target, name="Cells", spec=SPEC, ending=".png", kind="test") as builder:
        instances = dense.astype(np.int32)
        builder.add(flat_case("a", base=base, strokes=(stroke,), dense=dense, instances=instances, group="p1"))
        builder.add(flat_case("b"))
        builder.add(flat_case("c", dense=dense, side="Ts"))
        builder.finish([Split(("a",), ("b",))], ["tested"])
    return Dataset.open(target)


def test_what_was_built_is_read_back(built):
    assert (built.name, built.spec, built.ending, built.stated_training) == ("Cells", SPEC, ".png", 2)
    a, b = built.training
    (c,) = built.testing
    assert (a.id, a.group, b.group, c.id) == ("a", "p1", "b", "c")
    assert built.splits() == [Split(("a",), ("b",))]
    assert built.case("c") == c
    assert built.import_notes() == ["tested"]
    labels = built.sparse_labels(a).array
    assert labels[0].tolist() == [0, 0, 0] + [IGNORE] * 5
    assert labels[4].tolist() == [IGNORE, 1, 1, 1, 1, 1, IGNORE, IGNORE]
    assert (built.sparse_labels(b).array == IGNORE).all()
    assert built.dense_labels(a).array.sum() == 24
    assert built.dense_labels(c).array.sum() == 24
    marks = built.read_marks(a)
    assert marks.strokes[0].author == "ana"
    assert marks.slice_axis is None
    assert built.read_marks(b) is None
    assert a.base.exists()
    assert a.instances.exists()


def test_dataset_json_is_nnunets(built):
    content = json.loads((built.root / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "cell": 1, "ignore": 2}
    assert content["channel_names"] == {"0": "grey"}
    assert content["numTraining"] == 2


def test_missing_truth_labels_and_cases_are_named(built):
    a, b = built.training
    with pytest.raises(DatasetError, match="no dense truth"):
        built.dense_labels(b)
    with pytest.raises(InputError, match="no such case"):
        built.case("z")
    a.sparse.unlink()
    with pytest.raises(DatasetError, match="no label file"):
        built.sparse_labels(a)


def test_a_dataset_without_ignore_is_dense(built):
    path = built.root / "dataset.json"
    content = json.loads(path.read_text())
    del content["labels"]["ignore"]
    path.write_text(json.dumps(content))
    dense = Dataset.open(built.root)
    assert not dense.sparse
    assert dense.training[0].dense == dense.training[0].sparse
    with pytest.raises(LabelError, match="no class has"):
        dense.sparse_labels(dense.training[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"background": 0, "cell": 2}}, "not consecutive"),
        ({"labels": {"background": 0, "cell": 1, "ignore": 5}}, "not consecutive"),
        ({"labels": {"background": 0, "region": [1, 2]}}, "cannot be understood"),
        ({"file_ending": ".jpg"}, "do not use"),
        ({"numTraining": "many"}, "cannot be understood"),
    ],
)
def test_a_wrong_description_is_refused(built, change, message):
    path = built.root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DatasetError, match=message):
        Dataset.open(built.root)


def test_a_folder_without_description_is_not_a_dataset(tmp_path):
    with pytest.raises(DatasetError, match="not a dataset"):
        Dataset.open(tmp_path)
    with pytest.raises(DatasetError, match="not a dataset"):
        Dataset.open(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["[1, 2]", "{", '[{"train": ["a"]}]'])
def test_folds_that_cannot_be_understood_are_refused(built, text):
    (built.root / "splits_final.json").write_text(text)
    with pytest.raises(DatasetError, match="cannot be understood"):
        built.splits()


def test_a_dataset_without_folds_or_record_has_none(built):
    (built.root / "splits_final.json").unlink()
    (built.root / "import.json").write_text("{}")
    assert built.splits() == []
    with pytest.raises(DatasetError, match="record of the import"):
        built.import_notes()
    (built.root / "import.json").unlink()
    assert built.import_notes() == []


def test_a_case_with_a_missing_channel_is_refused(tmp_path):
    spec = TaskSpec(("background", "organ"), ("T1", "T2"))
    volume = Image(
        np.zeros((4, 5, 3, 2), np.int16),
        Grid((4, 5, 3), (1.0, 1.0, 3.0), np.diag([1.0, 1, 3, 1]), np.array([[0, 1], [1, 1], [2, 1.0]])),
    )
    target = tmp_path / "D"
    with DatasetBuilder(target, name="D", spec=spec, ending=".nii.gz", kind="test") as builder:
        builder.add(NewCase("a", volume, "a"))
        builder.finish([])
    dataset = Dataset.open(target)
    assert dataset.image(dataset.training[0]).array.shape == (4, 5, 3, 2)
    (target / "imagesTr" / "a_0001.nii.gz").unlink()
    with pytest.raises(DatasetError, match="lacks a channel"):
        _ = Dataset.open(target).training


def test_an_image_with_other_channels_is_refused(built):
    content = json.loads((built.root / "dataset.json").read_text())
    content["channel_names"] = {"0": "R", "1": "G", "2": "B"}
    (built.root / "dataset.json").write_text(json.dumps(content))
    dataset = Dataset.open(built.root)
    with pytest.raises(DatasetError, match="another number of channels"):
        dataset.image(dataset.training[0])


class TestBuilder:
    def test_nothing_is_left_after_a_failure(self, tmp_path):
        target = tmp_path / "D"
        with (
            pytest.raises(ZeroDivisionError),
            DatasetBuilder(target, name="D", spec=SPEC, ending=".png", kind="test") as builder,
        ):
            builder.add(flat_case())
            _ = 1 / 0
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_in_the_way_is_kept(self, tmp_path):
        (tmp_path / "precious.txt").write_text("x")
        with pytest.raises(DatasetError, match="in the way"):
            DatasetBuilder(tmp_path, name="D", spec=SPEC, ending=".png", kind="test")
        with pytest.raises(DatasetError, match="in the way"):
            DatasetBuilder(tmp_path / "precious.txt", name="D", spec=SPEC, ending=".png", kind="test")
        assert (tmp_path / "precious.txt").read_text() == "x"

    def test_an_empty_folder_is_filled(self, tmp_path):
        with DatasetBuilder(tmp_path, name="D", spec=SPEC, ending=".png", kind="test") as builder:
            builder.add(flat_case())
            builder.finish([])
        assert Dataset.open(tmp_path).training[0].id == "a"

    def test_no_case_is_no_dataset(self, tmp_path):
        target = tmp_path / "D"
        with (
            pytest.raises(DatasetError, match="no case"),
            DatasetBuilder(target, name="D", spec=SPEC, ending=".png", kind="test") as builder,
        ):
            builder.finish([])
        assert not target.exists()

    @pytest.mark.parametrize("name", ["../a", "a b", "", ".a", "a/b"])
    def test_a_name_that_is_no_file_name_is_refused(self, tmp_path, name):
        with (
            pytest.raises(InputError, match="name of its own"),
            DatasetBuilder(tmp_path / "D", name="D", spec=SPEC, ending=".png", kind="test") as builder,
        ):
            builder.add(flat_case(name))

    def test_a_name_twice_is_refused(self, tmp_path):
        with (
            pytest.raises(InputError, match="twice"),
            DatasetBuilder(tmp_path / "D", name="D", spec=SPEC, ending=".png", kind="test") as builder,
        ):
            builder.add(flat_case())
            builder.add(flat_case())

    def test_a_fold_that_parts_a_group_is_refused(self, tmp_path):
        with (
            pytest.raises(DatasetError, match="both sides"),
            DatasetBuilder(tmp_path / "D", name="D", spec=SPEC, ending=".png", kind="test") as builder,
        ):
            builder.add(flat_case("a", group="p"))
            builder.add(flat_case("b", group="p"))
            builder.finish([Split(("a",), ("b",))])


def test_labels_translate_there_and_back(tmp_path):
    labels = np.array([[0, 1, IGNORE]], np.uint8)
    disk = labels_to_disk(labels, SPEC)
    assert disk.tolist() == [[0, 1, 2]]
    assert (labels_from_disk(disk, SPEC, sparse=True, where=tmp_path) == labels).all()


def test_unknown_label_values_are_named(tmp_path):
    with pytest.raises(LabelError, match="no class has") as error:
        labels_from_disk(np.array([[0, 7]]), SPEC, sparse=True, where=tmp_path)
    assert "[7]" in error.value.received


@pytest.mark.parametrize(
    ("classes", "channels"), [(("a",), ("x",)), (("a", "a"), ("x",)), (("a", "ignore"), ("x",)), (("a", ""), ("x",))]
)
def test_a_task_needs_distinct_classes(classes, channels):
    with pytest.raises(InputError):
        TaskSpec(classes, channels)


def test_every_class_has_a_colour():
    spec = TaskSpec(tuple(f"c{i}" for i in range(20)), ("x",))
    assert len(spec.colours) == 20
    assert spec.colours[0] not in spec.colours[1:]
