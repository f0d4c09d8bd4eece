"""Marks from other programs' files: where they land, to the pixel, and what is refused."""

import json

import nibabel as nib
import numpy as np
import pytest
import tifffile
from roifile import ROI_TYPE, ImagejRoi

from pointillist.data.check import check_dataset
from pointillist.data.dataset import Dataset
from pointillist.data.exchange.bring import BringOptions, bring_marks
from pointillist.data.marks import raster_hash, read_marks
from pointillist.data.writers import write_label
from pointillist.errors import GeometryError, InputError, LabelError
from pointillist.types import IGNORE


def feature(kind, coordinates, name="gland", **properties):
    classification = {"classification": {"name": name, "color": [1, 2, 3]}} if name else {}
    return {
        "type": "Feature",
        "id": "0a3f1c9e-5a58-4a4e-9f6e-2f1e3cf0a001",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", **classification, **properties},
    }


def geojson(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def placed(labels):
    return {
        cls: [tuple(map(int, place)) for place in np.argwhere(labels == cls)]
        for cls in np.unique(labels[labels != IGNORE])
    }


SQUARE = [[[4, 2], [7, 2], [7, 5], [4, 5], [4, 2]]]  # x, y of the corners: columns 4, 5, 6 and rows 2, 3, 4


def test_qupath_counts_from_the_corner_of_the_image(pictures, labels_of, tmp_path):
    """A click in the middle of pixel (row 3, column 5) is (5.5, 3.5) there, and one near its edge still that pixel."""
    file = geojson(
        tmp_path / "slide1.geojson",
        feature("Point", [5.5, 3.5]),
        feature("MultiPoint", [[0.01, 0.01], [19.99, 11.99]], "Tumör"),
        feature("LineString", [[2.5, 7.5], [4.5, 7.5]], "BACKGROUND"),
        feature("Polygon", [[[10, 6], [12, 6], [12, 8], [10, 8], [10, 6]]], "Tumör"),
    )
    bring_marks(pictures, [file])
    assert placed(labels_of(pictures, "slide1")) == {
        0: [(7, 2), (7, 3), (7, 4)],
        1: [(3, 5)],
        2: [(0, 0), (6, 10), (6, 11), (7, 10), (7, 11), (11, 19)],
    }


def test_a_hole_stays_a_hole(pictures, labels_of, tmp_path):
    ring, hole = SQUARE[0], [[5, 3], [6, 3], [6, 4], [5, 4], [5, 3]]
    bring_marks(pictures, [geojson(tmp_path / "slide1.geojson", feature("Polygon", [ring, hole]))])
    marked = labels_of(pictures, "slide1") == 1
    assert marked.sum() == 8
    assert not marked[3, 5]


def roi(kind, points, name="gland", **fields):
    made = ImagejRoi.frompoints(np.array(points), name=name)
    made.roitype = kind
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def test_imagej_counts_points_and_lines_from_centres_and_areas_from_corners(pictures, labels_of, tmp_path):
    roi(ROI_TYPE.POINT, [[5, 3]]).tofile(tmp_path / "slide1.zip")
    roi(ROI_TYPE.POLYLINE, [[2, 7], [4, 7]], "Background-1").tofile(tmp_path / "slide1.zip", mode="a")
    roi(ROI_TYPE.POLYGON, [[10, 6], [12, 6], [12, 8], [10, 8]], "tumör").tofile(tmp_path / "slide1.zip", mode="a")
    bring_marks(pictures, [tmp_path / "slide1.zip"])
    assert placed(labels_of(pictures, "slide1")) == {
        0: [(7, 2), (7, 3), (7, 4)],
        1: [(3, 5)],
        2: [(6, 10), (6, 11), (7, 10), (7, 11)],
    }


def test_napari_counts_from_centres(pictures, labels_of, tmp_path):
    """Files as napari writes them: index, axes; and index, type, vertex, axes. The class is the layer's name."""
    points, shapes = tmp_path / "slide1-gland.csv", tmp_path / "slide1 Tumör shapes.csv"
    points.write_text("index,axis-0,axis-1\r\n0.0,3.0,5.0\r\n1.0,3.4,7.49\r\n")
    rows = ["index,shape-type,vertex-index,axis-0,axis-1", "0,path,0,7.0,2.0", "0,path,1,7.0,4.0"]
    corners = [(5.6, 9.6), (5.6, 11.4), (7.4, 11.4), (7.4, 9.6)]
    rows += [f"1,polygon,{n},{row},{column}" for n, (row, column) in enumerate(corners)]
    shapes.write_text("\r\n".join(rows) + "\r\n")
    bring_marks(pictures, [points, shapes])
    assert placed(labels_of(pictures, "slide1")) == {
        1: [(3, 5), (3, 7)],
        2: [(6, 10), (6, 11), (7, 2), (7, 3), (7, 4), (7, 10), (7, 11)],
    }


def test_napari_label_images_mark_what_was_painted(pictures, labels_of, tmp_path):
    painted = np.zeros((12, 20), np.uint32)  # napari writes 32 bits
    painted[3, 5], painted[4, 6], painted[5, 7] = 1, 2, 3
    tifffile.imwrite(tmp_path / "slide1-labels.tif", painted)
    bring_marks(pictures, [tmp_path / "slide1-labels.tif"])
    assert placed(labels_of(pictures, "slide1")) == {0: [(5, 7)], 1: [(3, 5)], 2: [(4, 6)]}


def test_points_on_a_volume_are_in_the_order_of_its_file(volumes, labels_of, tmp_path):
    native = np.asarray(nib.load(volumes.case("scan").images[0]).dataobj)
    file = tmp_path / "scan_points.csv"
    file.write_text("index,axis-0,axis-1,axis-2,class\n0,2.0,8.0,1.0,gland\n1,0.0,3.0,6.0,Tumör\n")
    bring_marks(volumes, [file])
    image = volumes.image(volumes.case("scan")).array
    labels = labels_of(volumes, "scan")
    assert (labels != IGNORE).sum() == 2
    assert image[labels == 1] == native[2, 8, 1]
    assert image[labels == 2] == native[0, 3, 6]
    on_disk = np.asarray(nib.load(volumes.root / "labelsTr" / "scan.nii.gz").dataobj)
    assert on_disk[2, 8, 1] == 1
    file.write_text("index,axis-0,axis-1,axis-2,class\n0,1.0,8.0,2.0,gland\n1,6.0,3.0,0.0,Tumör\n")
    bring_marks(volumes, [file], BringOptions(axes="kji", replace=True))
    assert (labels_of(volumes, "scan") == labels).all()


def test_label_maps_lie_voxel_by_voxel(volumes, labels_of, tmp_path):
    image = nib.load(volumes.case("scan").images[0])
    painted = np.zeros(image.shape, np.uint8)
    painted[2, 8, 1], painted[0, 3, 6] = 1, 3
    nib.save(nib.Nifti1Image(painted, image.affine), tmp_path / "scan-seg.nii.gz")
    bring_marks(volumes, [tmp_path / "scan-seg.nii.gz"])
    on_disk = np.asarray(nib.load(volumes.root / "labelsTr" / "scan.nii.gz").dataobj)
    assert [tuple(place) for place in np.argwhere(on_disk != 3)] == [(0, 3, 6), (2, 8, 1)]
    assert (on_disk[0, 3, 6], on_disk[2, 8, 1]) == (0, 1)
    labels = labels_of(volumes, "scan")
    moved = image.affine.copy()
    moved[:3, 3] += 1
    nib.save(nib.Nifti1Image(painted, moved), tmp_path / "scan-seg.nii.gz")
    with pytest.raises(GeometryError, match="lies elsewhere"):
        bring_marks(volumes, [tmp_path / "scan-seg.nii.gz"])
    nib.save(nib.Nifti1Image(painted[:, :, :-1], image.affine), tmp_path / "scan-seg.nii.gz")
    with pytest.raises(GeometryError, match="different shapes"):
        bring_marks(volumes, [tmp_path / "scan-seg.nii.gz"])
    assert (labels_of(volumes, "scan") == labels).all()


def test_a_file_of_labels_where_most_is_background_asks(pictures, labels_of, tmp_path):
    labels = np.full((12, 20), 3, np.uint8)
    labels[3, 5], labels[0, 0] = 1, 0
    write_label(tmp_path / "slide1.png", labels, None)
    with pytest.raises(LabelError, match="not clear") as error:
        bring_marks(pictures, [tmp_path / "slide1.png"])
    assert "--unlabelled 3" in error.value.todo
    bring_marks(pictures, [tmp_path / "slide1.png"], BringOptions(unlabelled=3))
    assert placed(labels_of(pictures, "slide1")) == {0: [(0, 0)], 1: [(3, 5)]}


def test_files_stay_consistent_and_nothing_comes_twice(pictures, tmp_path):
    line = feature("LineString", [[2.5, 7.5], [4.5, 9.5]], "Tumör")
    file = geojson(tmp_path / "slide1.geojson", feature("Polygon", SQUARE), line, feature("Point", [5.5, 3.5], "Tumör"))
    first = bring_marks(pictures, [file], BringOptions(width_px=3.0))
    assert (first.points, first.lines, first.areas) == (1, 1, 1)
    assert first.classes == {"gland": 1, "Tumör": 2}
    case = pictures.case("slide1")
    marks = read_marks(case.marks)
    assert [stroke.author for stroke in marks.strokes] == ["QuPath", "QuPath"]
    assert marks.strokes[0].width_px == 3.0
    files = [path.read_bytes() for path in (case.marks, case.base, case.sparse)]
    again = bring_marks(pictures, [file], BringOptions(width_px=3.0))
    assert "slide1: 2 strokes were there already" in again.notes
    assert files == [path.read_bytes() for path in (case.marks, case.base, case.sparse)]
    result = check_dataset(Dataset.open(pictures.root), only=("slide1",))
    assert not [finding for finding in result.findings if finding.rule == "edited-labels"]
    assert read_marks(case.marks).raster_sha256 == raster_hash(pictures.sparse_labels(case).array)


def test_strokes_stay_over_areas(pictures, labels_of, tmp_path):
    bring_marks(pictures, [geojson(tmp_path / "slide1.geojson", feature("Point", [5.5, 3.5], "Tumör"))])
    bring_marks(pictures, [geojson(tmp_path / "slide1.geojson", feature("Polygon", SQUARE))])
    labels = labels_of(pictures, "slide1")
    assert labels[3, 5] == 2
    assert (labels == 1).sum() == 8
    bring_marks(
        pictures, [geojson(tmp_path / "slide1.geojson", feature("Point", [0.5, 0.5]))], BringOptions(replace=True)
    )
    assert placed(labels_of(pictures, "slide1")) == {1: [(0, 0)]}
    assert not pictures.case("slide1").base.exists()


def test_edited_labels_are_mended_first(pictures, tmp_path):
    file = geojson(tmp_path / "slide1.geojson", feature("Point", [5.5, 3.5]))
    bring_marks(pictures, [file])
    write_label(pictures.case("slide1").sparse, np.full((12, 20), 2, np.uint8), None)
    with pytest.raises(LabelError, match="edited by another tool"):
        bring_marks(pictures, [file])
    check_dataset(pictures, mend=True)
    bring_marks(pictures, [file])


@pytest.mark.parametrize("write", [1, 2])
def test_interrupted_between_its_files_it_says_so_and_goes_on(pictures, labels_of, tmp_path, monkeypatch, write):
    file = geojson(tmp_path / "slide1.geojson", feature("Polygon", SQUARE), feature("Point", [0.5, 0.5], "Tumör"))
    calls = []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == write:
            raise KeyboardInterrupt
        write_label(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pointillist.data.marked.write_label", killed)
        bring_marks(pictures, [file])
    with pytest.raises(LabelError, match="edited by another tool"):
        bring_marks(pictures, [file])
    result = check_dataset(Dataset.open(pictures.root), mend=True)
    assert "edited-labels" in {finding.rule for finding in result.findings}
    bring_marks(pictures, [file])
    assert {cls: len(places) for cls, places in placed(labels_of(pictures, "slide1")).items()} == {1: 9, 2: 1}


@pytest.mark.parametrize(
    ("shape", "kind", "message", "received"),
    [
        (feature("Point", [20.01, 3.5]), GeometryError, "outside the image", "(3, 19.51)"),
        (feature("LineString", [[2.5, 7.5], [4.5, -0.1]]), GeometryError, "outside the image", "(-0.6, 4)"),
        (feature("Polygon", [[[0, 0], [21, 0], [21, 9], [0, 0]]]), GeometryError, "outside the image", "(-0.5, 20.5)"),
        (feature("Point", [5, 3], "glend"), LabelError, "no class of this name", "glend"),
        (feature("Point", [5, 3], None), LabelError, "has no class", "no name"),
    ],
)
def test_what_cannot_be_a_mark_changes_nothing(pictures, labels_of, tmp_path, shape, kind, message, received):
    (tmp_path / "in").mkdir()
    geojson(tmp_path / "in" / "slide1.geojson", feature("Point", [5.5, 3.5]))
    geojson(tmp_path / "in" / "slide10.geojson", feature("Point", [5.5, 3.5]), shape)
    with pytest.raises(kind, match=message) as error:
        bring_marks(pictures, [tmp_path / "in"])
    assert error.value.received.startswith(received)
    assert "slide10.geojson, feature 2" in error.value.where
    assert (labels_of(pictures, "slide1") == IGNORE).all()
    assert not pictures.case("slide1").marks.exists()


def test_names_are_mapped_and_left_out(pictures, labels_of, tmp_path):
    file = geojson(
        tmp_path / "slide1.geojson",
        feature("Point", [0.5, 0.5], "Ignore*"),
        feature("Point", [1.5, 0.5], "stroma, other=thing"),
        feature("Point", [2.5, 0.5], None),
    )
    options = BringOptions(class_map=("Ignore*=ignore", "STROMA=background"), default_class="tumör")
    with pytest.raises(LabelError, match="no class of this name"):
        bring_marks(pictures, [file], options)
    file = geojson(
        tmp_path / "slide1.geojson",
        feature("Point", [0.5, 0.5], "Ignore*"),
        feature("Point", [1.5, 0.5], "stroma"),
        feature("Point", [2.5, 0.5], None),
    )
    brought = bring_marks(pictures, [file], options)
    assert placed(labels_of(pictures, "slide1")) == {0: [(0, 1)], 2: [(0, 2)]}
    assert any("'Ignore*' were left out" in note for note in brought.notes)


def test_files_find_their_cases(pictures, tmp_path):
    folder = tmp_path / "in"
    (folder / "slide1").mkdir(parents=True)
    for name in ("slide10_0000.png.geojson", "slide1/anything.geojson", "stranger.geojson", "notes.txt"):
        geojson(folder / name, feature("Point", [5.5, 3.5]))
    (folder / "slide1_0000.png").write_bytes(pictures.case("slide1").images[0].read_bytes())
    brought = bring_marks(pictures, [folder])
    assert brought.cases == ("slide1", "slide10")
    assert brought.files == 2
    assert any("2 files belong to no training case" in note for note in brought.notes)
    with pytest.raises(InputError, match="says no case"):
        bring_marks(pictures, [folder / "stranger.geojson"])
    assert bring_marks(pictures, [folder / "stranger.geojson"], BringOptions(case="slide10")).cases == ("slide10",)
    for paths, options in (([folder / "notes.txt"], None), ([folder], BringOptions(format="imagej"))):
        with pytest.raises(InputError, match=r"holds no marks|no files of marks"):
            bring_marks(pictures, paths, options)
    with pytest.raises(InputError, match="no such training case"):
        bring_marks(pictures, [folder], BringOptions(case="slide2"))


def test_a_line_through_slices_is_refused(volumes, tmp_path):
    file = tmp_path / "scan-gland-shapes.csv"
    head = "index,shape-type,vertex-index,axis-0,axis-1,axis-2\n"
    file.write_text(head + "0,path,0,1,8,1\n0,path,1,2,8,1\n")
    with pytest.raises(GeometryError, match="leaves its slice"):
        bring_marks(volumes, [file])
    file.write_text(head + "0,path,0,1,8,1\n0,path,1,1,9,1\n")
    with pytest.raises(GeometryError, match="outside the image") as error:
        bring_marks(volumes, [file])
    assert "4 × 9 × 7" in error.value.expected
    assert error.value.received.startswith("(1, 9, 1)")


def test_2d_marks_do_not_go_on_volumes(volumes, tmp_path):
    with pytest.raises(GeometryError, match="does not fit"):
        bring_marks(volumes, [geojson(tmp_path / "scan.geojson", feature("Point", [1, 1]))])


def test_a_contradictory_header_asks_for_a_rule(volumes, labels_of, tmp_path):
    image = nib.load(volumes.case("scan").images[0])
    painted = np.zeros(image.shape, np.uint8)
    painted[2, 8, 1] = 1
    raw = bytearray(nib.Nifti1Image(painted, image.affine).to_bytes())
    raw[88:92] = np.float32(3.0).tobytes()  # pixdim[3]; the affine says 1.5
    (tmp_path / "scan.nii").write_bytes(raw)
    with pytest.raises(GeometryError, match="contradicts itself"):
        bring_marks(volumes, [tmp_path / "scan.nii"])
    bring_marks(volumes, [tmp_path / "scan.nii"], BringOptions(header_rule="affine"))
    assert (labels_of(volumes, "scan") == 1).sum() == 1
