import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from pointillist.data.check import check_dataset
from pointillist.data.dataset import Dataset
from pointillist.data.importers.acdc import import_acdc
from pointillist.data.marks import Marks, write_marks
from pointillist.data.readers import read_label
from pointillist.data.simulate.dataset import Settings, simulate_dataset
from pointillist.data.writers import write_label
from pointillist.types import Stroke
from tests.conftest import heart, save_nifti

CASE = "patient001_frame01"


@pytest.fixture
def scribbles(acdc_folder, tmp_path):
    return Dataset.open(import_acdc(acdc_folder, tmp_path / "Dataset027_ACDC").dataset)


@pytest.fixture
def points(scribbles, tmp_path):
    return Dataset.open(simulate_dataset(scribbles, tmp_path / "P", Settings("random_point")).dataset)


def rules(dataset, **options):
    return {
        (finding.severity, finding.rule, finding.where)
        for finding in check_dataset(Dataset.open(dataset.root), **options).findings
    }


def test_a_sound_dataset_has_only_the_record_of_its_import(scribbles, points):
    assert {rule for _, rule, _ in rules(scribbles)} == {"import"}
    assert {rule for _, rule, _ in rules(points)} == {"import"}
    result = check_dataset(points)
    assert result.ok
    health = result.health[CASE]
    assert sum(health.marked) == len(points.read_marks(points.case(CASE)).strokes)
    assert (health.slices, health.unmarked_slices, health.contradictory) == (4, 0, 0)


def test_every_case_is_shown_once(scribbles):
    seen = []
    check_dataset(scribbles, on_case=lambda checked: seen.append(checked.case.id))
    assert seen == [case.id for case in (*scribbles.training, *scribbles.testing)]


def damage_image(root):
    path = root / "imagesTr" / f"{CASE}_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:-100])


def contradict_header(root):
    image, *_ = heart(seed=101)
    save_nifti(root / "imagesTr" / f"{CASE}_0000.nii.gz", image, unit_columns=True)


def use_unknown_value(root):
    path = root / "labelsTr" / f"{CASE}.nii.gz"
    label = read_label(path)
    write_label(path, np.full_like(label.array, 9), label.grid)


def move_label(root):
    path = root / "labelsTr" / f"{CASE}.nii.gz"
    label = read_label(path)
    shifted = nib.Nifti1Image(label.array, np.diag([1.5, 1.5, 9.0, 1.0]))
    nib.save(shifted, path)


def remove_label(root):
    (root / "labelsTr" / f"{CASE}.nii.gz").unlink()


def damage_truth(root):
    path = root / "denseTr" / f"{CASE}.nii.gz"
    path.write_bytes(path.read_bytes()[:50])


def break_marks(root):
    (root / "marks" / f"{CASE}.json").write_text("{}")


def swap_marks(root):
    marks = Dataset.open(root).read_marks(Dataset.open(root).case(CASE))
    write_marks(root / "marks" / f"{CASE}.json", CASE, Marks(marks.strokes, (9, 9, 9), 2, marks.raster_sha256))


def edit_label(root):
    path = root / "labelsTr" / f"{CASE}.nii.gz"
    label = read_label(path)
    label.array[:2, :2, 0] = 1
    write_label(path, label.array, label.grid)


def unmark(root):
    path = root / "labelsTr" / f"{CASE}.nii.gz"
    label = read_label(path)
    write_label(path, np.full_like(label.array, 4), label.grid)
    (root / "marks" / f"{CASE}.json").unlink()


def unmark_background(root):
    path = root / "labelsTr" / f"{CASE}.nii.gz"
    label = read_label(path)
    write_label(path, np.where(label.array == 0, 4, label.array), label.grid)
    (root / "marks" / f"{CASE}.json").unlink()


def redraw(root, *strokes):
    dataset = Dataset.open(root)
    marks = dataset.read_marks(dataset.case(CASE))
    changed = Marks((*marks.strokes, *strokes), marks.shape, marks.slice_axis, marks.raster_sha256)
    write_marks(root / "marks" / f"{CASE}.json", CASE, changed)


def draw_outside(root):
    redraw(root, Stroke(1, np.array([[500.0, 500.0, 0.0]])))


def draw_unknown_class(root):
    redraw(root, Stroke(8, np.array([[5.0, 5.0, 0.0]])))


def contradict_marks(root):
    stroke = Dataset.open(root).read_marks(Dataset.open(root).case(CASE)).strokes[0]
    redraw(root, Stroke((stroke.cls + 1) % 4, stroke.points))


def copy_patient(root):
    for folder, name in (("imagesTr", "{}_0000.nii.gz"), ("labelsTr", "{}.nii.gz")):
        shutil.copy(root / folder / name.format(CASE), root / folder / name.format("patient002_frame01"))


def miscount(root):
    content = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(content | {"numTraining": 7}))


def part_patient(root):
    content = json.loads((root / "splits_final.json").read_text())
    content[0]["train"].append(content[0]["val"].pop())
    (root / "splits_final.json").write_text(json.dumps(content))


def add_stray_label(root):
    shutil.copy(root / "labelsTr" / f"{CASE}.nii.gz", root / "labelsTr" / "stranger.nii.gz")


def drop_class(root):
    for path in (root / "labelsTr").glob("*.nii.gz"):
        label = read_label(path)
        write_label(path, np.where(label.array == 2, 4, label.array), label.grid)
    shutil.rmtree(root / "marks")


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (damage_image, ("error", "damagedfile", CASE)),
        (contradict_header, ("warning", "unit-columns", CASE)),
        (use_unknown_value, ("error", "label", CASE)),
        (move_label, ("error", "geometry", CASE)),
        (remove_label, ("error", "dataset", CASE)),
        (damage_truth, ("error", "damagedfile", CASE)),
        (break_marks, ("error", "damagedfile", CASE)),
        (swap_marks, ("error", "geometry", CASE)),
        (edit_label, ("warning", "edited-labels", CASE)),
        (unmark, ("warning", "unmarked", CASE)),
        (unmark_background, ("warning", "no-background", CASE)),
        (draw_outside, ("warning", "outside", CASE)),
        (draw_unknown_class, ("error", "unknown-class", CASE)),
        (contradict_marks, ("warning", "contradictory", CASE)),
        (copy_patient, ("warning", "same-image", "patient002_frame01")),
        (miscount, ("error", "complete", "dataset.json")),
        (part_patient, ("error", "complete", "ACDC")),
        (add_stray_label, ("warning", "complete", "stranger.nii.gz")),
        (drop_class, ("warning", "never-marked", "Myo")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_wrong_is_found(points, spoil, finding):
    assert finding not in rules(points)
    spoil(points.root)
    assert finding in rules(points)


def test_a_missing_channel_is_an_error_not_an_exception(points):
    (points.root / "imagesTr" / f"{CASE}_0000.nii.gz").rename(points.root / "imagesTr" / f"{CASE}_0001.nii.gz")
    assert ("error", "complete", "ACDC") in rules(points)


def test_edited_labels_become_the_base(points):
    edit_label(points.root)
    case = points.case(CASE)
    assert ("note", "edited-labels", CASE) in rules(points, mend=True)
    assert case.base.read_bytes() == case.sparse.read_bytes()
    assert len(points.read_marks(case).strokes) > 0
    assert {rule for _, rule, _ in rules(points)} == {"import"}


def test_without_mending_nothing_is_written(points):
    edit_label(points.root)
    before = {path: path.read_bytes() for path in points.root.rglob("*.*")}
    rules(points)
    assert before == {path: path.read_bytes() for path in points.root.rglob("*.*")}
