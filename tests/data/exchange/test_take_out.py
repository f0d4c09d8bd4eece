"""Marks out of a dataset and in again: nothing moves; what a format cannot hold is said."""

import csv
import json

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from roifile import roiread

from pointillist.data.dataset import Dataset
from pointillist.data.exchange.bring import BringOptions, bring_marks
from pointillist.data.exchange.take_out import take_out_marks
from pointillist.data.marked import Marked, read_marked, write_marked
from pointillist.errors import DatasetError, InputError
from pointillist.types import IGNORE, Stroke


def marked(dataset, name, strokes=(), base=None):
    case = dataset.case(name)
    now = read_marked(dataset, case)
    return write_marked(dataset, case, Marked(now.image, base, tuple(strokes)))


STROKES = (
    Stroke(1, np.array([[3.25, 5.0]]), author="ana", time="2026-01-02T03:04:05"),
    Stroke(2, np.array([[7.0, 2.5], [8.0, 9.0], [2.0, 9.0]]), 2.5),
    Stroke(0, np.array([[11.5, 19.5]])),
    Stroke(0, np.array([[0.0, 0.0]]), 3.0),
)


def with_hole():
    base = np.full((12, 20), IGNORE, np.uint8)
    base[1:6, 12:18], base[3, 14] = 1, IGNORE
    base[8, 1:5], base[9, 5] = 2, 2
    return base


def came_back(dataset, tmp_path, name, form, **options):
    out = tmp_path / f"out-{form}-{len(list(tmp_path.iterdir()))}"
    taken = take_out_marks(dataset, out, form, **options)
    before = dataset.sparse_labels(dataset.case(name)).array
    marked(dataset, name)
    bring_marks(dataset, [out], BringOptions(replace=True, **options))
    opened = Dataset.open(dataset.root)
    return taken, out, before, read_marked(opened, opened.case(name)), opened.sparse_labels(opened.case(name)).array


@pytest.mark.parametrize("form", ["qupath", "imagej", "napari", "labels"])
def test_pictures_come_back_as_they_were(pictures, tmp_path, form):
    marked(pictures, "slide1", STROKES, with_hole())
    taken, _, before, now, after = came_back(pictures, tmp_path, "slide1", form)
    assert taken.cases == 1
    if form in ("qupath", "labels"):
        assert (after == before).all()
    if form == "labels":
        assert "4" in " ".join(taken.notes)
        return
    assert (now.base == with_hole()).all()
    if form == "qupath":
        assert now.strokes == tuple(
            Stroke(one.cls, one.points, one.width_px, one.author or "QuPath", one.time) for one in STROKES
        )
        assert taken.notes == ()
    by_place = {(one.cls, one.points.tobytes()) for one in now.strokes}
    assert by_place == {(one.cls, one.points.tobytes()) for one in STROKES}
    if form == "imagej":
        assert taken.notes == ("points that lost their width: 1", "strokes that lost their author and time: 1")
        assert [one.width_px for one in now.strokes] == [1, 2.5, 1, 1]
    if form == "napari":
        assert "lines that lost their width: 1" in taken.notes
        assert sorted(one.width_px for one in now.strokes) == [1, 1, 1, 3]


coordinate = st.tuples(st.floats(-0.5, 11.5, width=32), st.floats(-0.5, 19.5, width=32))
stroke = st.builds(
    lambda cls, points: Stroke(cls, np.array(points, float)),
    st.integers(0, 2),
    st.lists(coordinate, min_size=1, max_size=4),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strokes=st.lists(stroke, min_size=1, max_size=6), form=st.sampled_from(["qupath", "imagej"]))
def test_no_vertex_moves(pictures, tmp_path, strokes, form):
    marked(pictures, "slide1", strokes)
    _, _, before, now, after = came_back(pictures, tmp_path, "slide1", form)
    tolerance = 0 if form == "imagej" else 1e-9  # half a pixel is added and taken away
    for one, other in zip(strokes, now.strokes, strict=True):
        assert one.cls == other.cls
        np.testing.assert_allclose(other.points, one.points, atol=tolerance)
    if form == "imagej":
        assert (after == before).all()


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), form=st.sampled_from(["qupath", "imagej", "napari", "labels"]))
def test_no_pixel_of_an_area_moves(pictures, tmp_path, seed, form):
    rng = np.random.default_rng(seed)
    base = np.where(rng.random((12, 20)) < 0.6, rng.integers(0, 3, (12, 20)), IGNORE).astype(np.uint8)
    marked(pictures, "slide1", (), base)
    _, _, before, now, after = came_back(pictures, tmp_path, "slide1", form)
    assert (now.base == base).all()
    assert (after == before).all()


VOLUME_STROKES = (
    Stroke(1, np.array([[3.0, 5.0, 2]])),
    Stroke(2, np.array([[1.0, 2.0, 0], [5.0, 7.0, 0]])),
    Stroke(0, np.array([[0.0, 0.0, 3]])),
)


@pytest.mark.parametrize("form", ["napari", "labels", "nrrd"])
def test_volumes_come_back_as_they_were(volumes, tmp_path, form):
    image = volumes.image(volumes.case("scan"))
    base = np.full(image.grid.shape, IGNORE, np.uint8)
    base[1:3, 2:4, 1:5] = 1
    marked(volumes, "scan", VOLUME_STROKES, base)
    _, _, before, now, after = came_back(volumes, tmp_path, "scan", form)
    assert (after == before).all()
    if form == "napari":
        assert {(one.cls, one.points.tobytes()) for one in now.strokes} == {
            (one.cls, one.points.tobytes()) for one in VOLUME_STROKES
        }


def test_napari_coordinates_point_at_voxels_of_the_file(volumes, tmp_path):
    marked(volumes, "scan", VOLUME_STROKES[:1])
    on_disk = np.asarray(nib.load(volumes.root / "labelsTr" / "scan.nii.gz").dataobj)
    for axes, turned in (("ijk", on_disk), ("kji", on_disk.transpose(2, 1, 0))):
        take_out_marks(volumes, tmp_path / axes, "napari", axes=axes)
        (row,) = csv.DictReader((tmp_path / axes / "scan-gland-points.csv").read_text().splitlines())
        assert turned[tuple(round(float(row[f"axis-{number}"])) for number in range(3))] == 1


def test_slicer_and_itk_read_the_same_voxels_and_names(volumes, tmp_path):
    marked(volumes, "scan", VOLUME_STROKES)
    take_out_marks(volumes, tmp_path / "o", "nrrd")
    path = tmp_path / "o" / "scan.seg.nrrd"
    read = SimpleITK.ReadImage(str(path))
    image = SimpleITK.ReadImage(str(volumes.case("scan").images[0]))
    for one, other in ((read.GetSpacing(), image.GetSpacing()), (read.GetOrigin(), image.GetOrigin())):
        np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(read.GetDirection(), image.GetDirection(), atol=1e-6)
    on_disk = np.asarray(nib.load(volumes.root / "labelsTr" / "scan.nii.gz").dataobj)
    values = SimpleITK.GetArrayFromImage(read).transpose(2, 1, 0)
    assert (values == np.array([3, 1, 2, 0])[on_disk]).all()  # background is 3 there, unmarked 0
    data, header = nrrd.read(str(path))
    assert (data == values).all()
    assert [header[f"Segment{n}_LabelValue"] for n in range(3)] == ["1", "2", "3"]
    assert [header[f"Segment{n}_Name"] for n in (0, 2)] == ["gland", "background"]
    assert "Tumör".encode() in path.read_bytes()


def test_itksnap_gets_the_names(volumes, tmp_path):
    marked(volumes, "scan", VOLUME_STROKES)
    take_out_marks(volumes, tmp_path / "o", "labels")
    rows = (tmp_path / "o" / "itksnap-labels.txt").read_text().splitlines()
    assert [(int(row.split()[0]), row.split('"')[1]) for row in rows] == [
        (0, "Clear Label"),
        (1, "gland"),
        (2, "Tumör"),
        (3, "background"),
    ]
    assert rows[1].split()[1:7] == ["230", "159", "0", "1", "1", "1"]


def test_other_programs_files_look_as_their_own(pictures, tmp_path):
    marked(pictures, "slide1", STROKES, with_hole())
    take_out_marks(pictures, tmp_path / "q", "qupath")
    features = json.loads((tmp_path / "q" / "slide1.geojson").read_text())["features"]
    assert [one["geometry"]["type"] for one in features] == [
        "Polygon",
        "Polygon",
        "Point",
        "LineString",
        "Point",
        "Point",
    ]
    assert features[2]["geometry"]["coordinates"] == [5.5, 3.75]  # x, y from the corner
    assert features[2]["properties"]["classification"]["name"] == "gland"
    assert len(features[0]["geometry"]["coordinates"]) == 2
    take_out_marks(pictures, tmp_path / "i", "imagej")
    rois = roiread(tmp_path / "i" / "slide1.zip")
    assert [one.name for one in rois] == ["gland-1", "Tumör-2", "gland-3", "Tumör-4", "background-5", "background-6"]
    assert rois[2].coordinates().tolist() == [[5.0, 3.25]]  # x, y from the centre
    assert len(rois[0].coordinates(multi=True)) == 2
    assert rois[1].coordinates().min() == 1.0  # the left edge of column 1


def test_what_cannot_be_written_is_refused_and_leaves_nothing(pictures, volumes, tmp_path):
    with pytest.raises(InputError, match="no marks to write"):
        take_out_marks(pictures, tmp_path / "o", "qupath")
    marked(pictures, "slide1", STROKES)
    marked(volumes, "scan", VOLUME_STROKES)
    for dataset, form in ((volumes, "qupath"), (volumes, "imagej"), (pictures, "nrrd")):
        with pytest.raises(InputError, match="alone"):
            take_out_marks(dataset, tmp_path / "o", form)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".o", "o"))]
    take_out_marks(pictures, tmp_path / "o", "qupath", cases=("slide1",))
    with pytest.raises(DatasetError, match="in the way"):
        take_out_marks(pictures, tmp_path / "o", "qupath")


def test_an_order_that_napari_loses_is_said(pictures, tmp_path):
    over = Stroke(1, np.array([[8.0, 9.0]])), Stroke(0, np.array([[8.0, 9.0]]))
    marked(pictures, "slide1", over)
    assert any("order" in note for note in take_out_marks(pictures, tmp_path / "a", "napari").notes)
    marked(pictures, "slide1", over[::-1])
    assert not any("order" in note for note in take_out_marks(pictures, tmp_path / "b", "napari").notes)


@pytest.mark.parametrize("form", ["qupath", "imagej", "napari"])
def test_what_was_written_is_known_when_it_comes_back(pictures, tmp_path, form):
    """Files round: 0.1 + 0.5 - 0.5 is not 0.1, and ImageJ has 32 bits."""
    rng = np.random.default_rng(3)
    strokes = [Stroke(int(rng.integers(3)), rng.random((int(rng.integers(1, 5)), 2)) * 11) for _ in range(40)]
    strokes += [Stroke(1, np.array([[0.1, 0.125], [5.5, 7.25]]))]
    marked(pictures, "slide1", strokes)
    take_out_marks(pictures, tmp_path / "o", form)
    assert bring_marks(pictures, [tmp_path / "o"]).notes == ("slide1: 41 strokes were there already",)
    assert len(read_marked(pictures, pictures.case("slide1")).strokes) == 41
