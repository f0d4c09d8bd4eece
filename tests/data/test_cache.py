import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pointillist.cli.cache import cache
from pointillist.data.cache import CacheSettings, SliceCache, build_cache, cached
from pointillist.data.cache.container import open_container, read_meta, write_container
from pointillist.data.cache.grids import index, placement, resize
from pointillist.data.cache.normalise import moments, normalise
from pointillist.data.cache.packing import pack_planes, unpack_planes
from pointillist.data.cache.samples import slice_samples
from pointillist.data.dataset import Dataset
from pointillist.data.image import Grid, Image
from pointillist.data.importers.acdc import import_acdc
from pointillist.data.importers.dsb2018 import import_dsb2018
from pointillist.data.marked import read_marked, write_marked
from pointillist.data.readers import read_label
from pointillist.data.simulate.dataset import Settings, simulate_dataset
from pointillist.data.writers import write_label
from pointillist.errors import DamagedFileError, DatasetError, GeometryError, InputError
from pointillist.geometry.strokes import rasterise
from pointillist.types import IGNORE, Stroke

ZOOMED = CacheSettings(32)


@pytest.fixture
def acdc(acdc_folder, tmp_path) -> Dataset:
    import_acdc(acdc_folder, tmp_path / "A")
    return Dataset.open(tmp_path / "A")


@pytest.fixture
def points(acdc, tmp_path) -> Dataset:
    simulate_dataset(acdc, tmp_path / "P", Settings("random_point"))
    return Dataset.open(tmp_path / "P")


@pytest.fixture
def cells(dsb_zip, tmp_path) -> Dataset:
    import_dsb2018(dsb_zip, tmp_path / "D")
    simulate_dataset(Dataset.open(tmp_path / "D"), tmp_path / "S", Settings("s2l"))
    return Dataset.open(tmp_path / "S")


# grids


def test_zoom0_is_the_grid_of_scipy():
    agreed = []
    for n_out in (128, 256):
        for n_in in (*range(150, 520, 7), 512):
            source = scipy.ndimage.zoom(np.arange(n_in, dtype=float), n_out / n_in, order=0)
            agreed.append((source == index("zoom0", n_in, n_out)).mean())
    assert min(agreed) >= 0.995
    assert np.mean(agreed) >= 0.9998


@given(st.sampled_from(["zoom0", "bilinear", "area"]), st.integers(1, 60), st.integers(2, 60))
def test_an_index_is_the_nearest_pixel_of_its_placement(grid, n_in, n_out):
    factor, shift = placement(grid, n_in, n_out)
    if factor:
        assert np.abs((np.arange(n_out) - shift) / factor - index(grid, n_in, n_out)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("n_in", "n_out"), [((30, 41), 16), ((9, 12), 24)])
def test_resizing_agrees_with_torch(n_in, n_out):
    image = np.random.default_rng(0).random(n_in)
    as_tensor = torch.from_numpy(image)[None, None]
    linear = torch.nn.functional.interpolate(as_tensor, size=(n_out, n_out), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resize(image, "bilinear", n_out), linear[0, 0], atol=1e-12)
    whole = np.random.default_rng(0).random((32, 48))
    area = torch.nn.functional.interpolate(torch.from_numpy(whole)[None, None], size=(16, 16), mode="area")
    np.testing.assert_allclose(resize(whole, "area", 16), area[0, 0], atol=1e-12)
    assert resize(image, "area", n_out).mean() == pytest.approx(image.mean())


# intensities


def image_of(array) -> Image:
    return Image(array, Grid(array.shape[:2] if array.shape[-1] == 3 else array.shape), where="here")


def test_acdc_clips_at_a_bin_centre_and_stretches_over_the_volume():
    values = np.random.default_rng(0).gamma(2.0, 50.0, (20, 20, 5))
    got = normalise(image_of(values), "acdc")
    counts, edges = np.histogram(values, 256)
    first = np.flatnonzero(np.cumsum(counts) / values.size >= 0.99)[0]
    clip = (edges[first] + edges[first + 1]) / 2
    np.testing.assert_allclose(got[..., 0], (np.minimum(values, clip) - values.min()) / (clip - values.min()))
    assert got.shape == (20, 20, 5, 1)
    assert (got.min(), got.max()) == (0, 1)


def test_other_normalisations():
    colour = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(normalise(image_of(colour), "unit"), colour / 255)
    assert normalise(image_of(np.full((4, 4, 4), 7)), "minmax").max() == 0
    assert moments("imagenet", 3)[0][0] == 0.485
    with pytest.raises(InputError, match="divides 8-bit values"):
        normalise(image_of(colour.astype(np.uint16)), "unit")
    with pytest.raises(InputError, match="clips Hounsfield units"):
        normalise(image_of(colour), "ct")
    with pytest.raises(InputError, match="colour images"):
        moments("imagenet", 1)


def test_ct_clips_to_soft_tissue_and_stretches_over_the_volume():
    values = np.array([-1000, -125, -25, 75, 275, 3000], np.int16).reshape(1, 2, 3)
    expected = [0, 0, 0.25, 0.5, 1, 1]
    np.testing.assert_allclose(normalise(image_of(np.stack([values] * 4, -1)[0]), "ct")[..., 0, 0].ravel(), expected)
    narrow = np.array([[[-25.0, 75.0, 175.0, 75.0]]])
    np.testing.assert_allclose(normalise(image_of(narrow), "ct").ravel(), [0, 0.5, 1, 0.5])


@pytest.mark.parametrize("wrong", [{"size": 4}, {"grid": "spline"}, {"normalisation": "z"}, {"stored": "int4"}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(InputError):
        CacheSettings(**{"size": 64} | wrong)


# strokes


@st.composite
def strokes_and_shape(draw):
    shape = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    vertex = st.tuples(*(st.floats(-0.5, n - 0.5) for n in shape))
    vertices = draw(st.lists(vertex, min_size=1, max_size=5))
    width = draw(st.sampled_from([0.5, 1.0, 2.0, 3.0, 5.5]))
    return Stroke(1, np.array(vertices), width), shape


def drawn(samples, shape):
    canvas = np.full(shape, IGNORE, dtype=np.uint8)
    pixels = np.floor(samples.points + 0.5).astype(int)
    canvas[tuple(pixels.T)] = samples.classes
    return canvas


@given(strokes_and_shape())
def test_unmoved_samples_give_the_raster_exactly(case):
    stroke, shape = case
    inside = Stroke(1, np.clip(stroke.points, 0, np.array(shape) - 1), stroke.width_px)
    samples = slice_samples([(0, inside)], shape, shape, "native")
    np.testing.assert_array_equal(drawn(samples, shape), rasterise([inside], shape))


@given(strokes_and_shape(), st.sampled_from(["zoom0", "bilinear", "area"]), st.integers(2, 80))
def test_a_stroke_inside_marks_a_pixel_at_any_size(case, grid, size):
    stroke, shape = case
    samples = slice_samples([(3, stroke)], shape, (size, size), grid)
    assert (drawn(samples, (size, size)) == 1).any()
    assert (samples.strokes == 3).all()


def test_samples_are_at_most_half_a_pixel_apart():
    line = Stroke(1, np.array([[2.0, 3.0], [30.0, 17.0], [5.0, 39.0]]))
    points = slice_samples([(0, line)], (40, 40), (40, 40), "native").points
    different = np.unique(points, axis=0)
    apart = np.abs(different[:, None] - different).max(axis=2) + np.eye(len(different)) * 9
    assert apart.min(axis=1).max() <= 0.5


# files


@given(st.integers(0, 5), st.integers(0, 2**32))
def test_arrays_come_back(parts, seed):
    import tempfile

    rng = np.random.default_rng(seed)
    kinds = (np.uint8, np.int32, np.float16, np.float32, np.uint64)
    arrays = {
        f"a{k}": [rng.integers(0, 99, (rng.integers(0, 5), k + 1)).astype(kind)] * 2 for k, kind in enumerate(kinds)
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        write_container(path, arrays, {"parts": parts})
        back = open_container(path)
        for name, one in arrays.items():
            np.testing.assert_array_equal(back.arrays[name], np.concatenate(one))
            assert back.arrays[name].dtype == one[0].dtype
        assert back.meta == read_meta(path) == {"parts": parts}
        assert [file.name for file in Path(folder).iterdir()] == ["x"]


def test_damage_anywhere_is_seen(tmp_path):
    path = tmp_path / "x"
    write_container(path, {"a": [np.arange(100, dtype=np.uint8)], "b": [np.ones(3, np.float32)]}, {"k": 1})
    good = path.read_bytes()
    padding = set(range(56, 64)) | set(range(164, 192)) | set(range(204, 204))
    for place in sorted(set(range(len(good))) - padding):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with pytest.raises(DamagedFileError):
            open_container(path)
    for length in (0, 7, 60, 150, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(DamagedFileError):
            open_container(path)
    path.write_bytes(good + b"!")
    with pytest.raises(DamagedFileError, match="damaged"):
        open_container(path)
    with pytest.raises(DamagedFileError, match="damaged"):
        open_container(tmp_path / "missing")


def test_packed_planes_are_exact(tmp_path):
    rng = np.random.default_rng(0)
    sizes = np.array([[9, 13], [1, 1], [20, 7]])
    pixels = rng.integers(0, 256, int(sizes.prod(axis=1).sum()), dtype=np.uint8)
    packed = pack_planes(pixels, sizes)
    np.testing.assert_array_equal(unpack_planes(packed, sizes, tmp_path), pixels)
    with pytest.raises(DamagedFileError, match="cannot be unpacked"):
        unpack_planes(packed, sizes[::-1], tmp_path)
    broken = packed.copy()
    broken[30:] = 0
    with pytest.raises(DamagedFileError, match="cannot be unpacked"):
        unpack_planes(broken, sizes, tmp_path)


# datasets


def test_slices_are_what_the_protocol_makes_of_them(acdc):
    made = cached(acdc, ZOOMED)
    assert [case.id for case in made.cases][:2] == ["patient001_frame01", "patient001_frame12"]
    assert len(made) == 8 * 4
    assert made.ids[5] == "patient001_frame12/1"
    case = acdc.case("patient021_frame01")
    volume = normalise(acdc.image(case), "acdc")[..., 0]
    record = made.case(case.id)
    assert (record.group, record.side, record.shape, record.slice_axis) == ("patient021", "Tr", (40, 36, 4), 2)
    assert record.spacing_mm == (1.5, 1.5, 8.0)
    for number, plane in zip(made.subset([case.id]), np.moveaxis(volume, 2, 0), strict=True):
        expected = scipy.ndimage.zoom(plane, (32 / 40, 32 / 36), order=0)
        assert np.abs(made.image(number)[0] / 255 - expected).max() <= 1 / 510 + 1e-12
    sparse = acdc.sparse_labels(case).array
    zoomed = sparse[index("zoom0", 40, 32)][:, index("zoom0", 36, 32), 2]
    np.testing.assert_array_equal(made.label(int(made.subset([case.id])[2])), zoomed)


def test_held_out_cases_have_images_alone(points):
    made = cached(points, ZOOMED)
    held_out = [case for case in made.cases if case.side == "Ts"]
    assert [case.id for case in held_out] == ["patient101_frame01", "patient101_frame12"]
    for number in made.subset([case.id for case in held_out]):
        assert (made.label(number) == IGNORE).all()
        assert made.mark_start[number] == made.mark_start[number + 1]
        assert made.image(number).max() > 0


def test_points_are_kept_as_coordinates(points):
    made = cached(points, ZOOMED)
    case = points.training[0]
    marks = points.read_marks(case)
    assert len(made.mark_points) == sum(len(points.read_marks(one).strokes) for one in points.training)
    first = marks.strokes[0].points[0, :2] * (31 / 39, 31 / 35)
    np.testing.assert_array_equal(made.mark_points[0], np.floor(first + 0.5))
    assert (made.labels == IGNORE).all()


def test_a_slice_whose_marks_were_erased_is_unmarked(points):
    case = points.training[0]
    marked = read_marked(points, case)
    number = int(marked.strokes[0].points[0, 2])
    eraser = Stroke(IGNORE, np.array([[20.0, 20.0, number]]), 200.0)
    write_marked(points, case, replace(marked, strokes=(*marked.strokes, eraser)))
    made = cached(points, ZOOMED)
    before = [int(stroke.points[0, 2]) for stroke in marked.strokes]
    assert made.mark_start[number] == made.mark_start[number + 1]
    other = next(one for one in before if one != number)
    assert made.mark_start[other] < made.mark_start[other + 1]


def test_dense_truth_is_neither_opened_nor_stored(points, monkeypatch):
    opened = []
    real = Path.open
    for name in ("open", "read_bytes"):
        method = getattr(Path, name)
        monkeypatch.setattr(Path, name, lambda self, *a, _m=method, **k: opened.append(self) or _m(self, *a, **k))
    made = cached(points, ZOOMED)
    monkeypatch.setattr(Path, "open", real)
    folders = {path.parent.name for path in opened}
    assert "imagesTr" in folders
    assert not folders & {"denseTr", "labelsTs", "instancesTr", "instancesTs"}
    assert made.truth is None
    assert not read_meta(made.path)["contains_dense_truth"]
    with pytest.raises(InputError, match="no dense truth"):
        made.native_truth(0)
    with pytest.raises(InputError, match="no dense truth"):
        made.resized_truth()


def test_dense_truth_on_request(points):
    made = cached(points, replace(ZOOMED, truth=True))
    assert read_meta(made.path)["contains_dense_truth"]
    case = points.training[2]
    dense = points.dense_labels(case).array
    number = int(made.subset([case.id])[1])
    np.testing.assert_array_equal(made.native_truth(number), dense[..., 1])
    begin = made.plane_start[number]
    zoomed = dense[index("zoom0", 40, 32)][:, index("zoom0", 36, 32), 1]
    np.testing.assert_array_equal(made.resized_truth()[begin : begin + 32 * 32].reshape(32, 32), zoomed)


def test_a_cache_is_used_again_until_something_changes(points):
    first = cached(points, ZOOMED)
    stamp = first.path.stat().st_mtime_ns
    assert cached(points, ZOOMED).path.stat().st_mtime_ns == stamp
    marks = points.training[0].marks
    content = json.loads(marks.read_text())
    content["strokes"][0]["class"] = 3
    marks.write_text(json.dumps(content))
    second = cached(points, ZOOMED)
    assert second.key != first.key
    assert second.mark_classes[0] == 3
    assert cached(points, replace(ZOOMED, size=16)).path != first.path


def test_a_damaged_cache_is_refused_and_made_anew(points):
    path = cached(points, ZOOMED).path
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(DamagedFileError, match="damaged"):
        SliceCache.open(path)
    np.testing.assert_array_equal(cached(points, ZOOMED).image(0), SliceCache.open(path).image(0))
    path.write_bytes(b"my thesis")
    with pytest.raises(InputError, match="in the way"):
        cached(points, ZOOMED)
    assert path.read_bytes() == b"my thesis"


def test_a_file_of_something_else_is_no_cache(tmp_path):
    write_container(tmp_path / "x", {}, {"kind": "targets", "version": 1})
    with pytest.raises(DamagedFileError, match="not a cache"):
        SliceCache.open(tmp_path / "x")


def test_labels_edited_elsewhere_lie_under_the_strokes(points):
    case = points.training[0]
    edited = read_label(case.sparse)
    array = edited.array.copy()
    array[:] = points.spec.ignore_on_disk
    array[:, :, 1] = 2
    write_label(case.sparse, array, edited.grid)
    made = cached(points, ZOOMED)
    assert (made.label(1) == 2).all()
    assert (made.label(0) == IGNORE).all()
    assert made.mark_start[1] > made.mark_start[0]


def test_marks_of_another_grid_are_refused(points):
    marks = points.training[0].marks
    content = json.loads(marks.read_text())
    marks.write_text(json.dumps(content | {"shape": [40, 36, 5]}))
    with pytest.raises(GeometryError, match="another grid"):
        cached(points, ZOOMED)
    assert not (points.root / "cache").exists()


def test_a_file_that_cannot_be_written_leaves_nothing(points, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        build_cache(points, ZOOMED, tmp_path / "file" / "x.slices")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        build_cache(points, ZOOMED, tmp_path / "out" / "x.slices")
    assert error.value.filename.endswith("x.slices")
    assert not list((tmp_path / "out").iterdir())


def test_a_dataset_without_cases_is_refused(points):
    with pytest.raises(DatasetError, match="no case"):
        build_cache(replace_cases(points), ZOOMED, points.root / "x.slices")


def replace_cases(dataset: Dataset) -> Dataset:
    empty = Dataset.open(dataset.root)
    vars(empty).update(training=(), testing=())
    return empty


def test_the_cache_needs_no_torch():
    code = "import sys, pointillist.data.cache, pointillist.cli.cache; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"


@pytest.mark.real
@pytest.mark.slow
def test_acdc_packs_into_a_file_that_can_be_carried(real_data, tmp_path):
    """At most 64 MiB for all 1,902 slices: eight patients stand for a hundred (all of them: 56.4 MiB)."""
    for patient in range(1, 9):
        (tmp_path / "acdc").mkdir(exist_ok=True)
        (tmp_path / "acdc" / f"patient{patient:03d}").symlink_to(real_data / "acdc" / f"patient{patient:03d}")
    import_acdc(tmp_path / "acdc", tmp_path / "A")
    dataset = Dataset.open(tmp_path / "A")
    packed = build_cache(dataset, CacheSettings(256, truth=True), tmp_path / "acdc.pack", packed=True)
    assert packed.path.stat().st_size / len(packed) <= (64 << 20) / 1902
    assert (packed.labels != IGNORE).mean() == pytest.approx(0.0107, abs=0.002)


@pytest.mark.parametrize("settings", [ZOOMED, CacheSettings(32, "area", truth=True)])
def test_a_packed_cache_holds_the_same(points, tmp_path, settings):
    plain, packed = cached(points, settings), build_cache(points, settings, tmp_path / "x.pack", packed=True)
    assert packed.path.stat().st_size < plain.path.stat().st_size / 2
    for name in ("sizes", "keys", "pixels", "labels", "mark_start", "mark_points", "mark_classes", "mark_strokes"):
        np.testing.assert_array_equal(getattr(packed, name), getattr(plain, name), strict=True)
    assert (packed.truth is None) == (plain.truth is None) == (not settings.truth)
    assert (packed.cases, packed.key, packed.spec, packed.ids) == (plain.cases, plain.key, plain.spec, plain.ids)
    with pytest.raises(InputError, match="only 8-bit"):
        build_cache(points, replace(settings, stored="float16"), tmp_path / "y.pack", packed=True)


def test_half_precision(acdc):
    made = cached(acdc, replace(ZOOMED, stored="float16"))
    whole = cached(acdc, ZOOMED)
    assert np.abs(made.image(3) - whole.image(3) / 255).max() <= 1 / 510 + 1e-3


def test_colour_images_keep_their_size(cells):
    made = cached(cells, CacheSettings(32, "native", "imagenet"))
    case = cells.training[1]
    number = int(made.subset([case.id])[0])
    np.testing.assert_array_equal(made.image(number), np.moveaxis(cells.image(case).array, -1, 0))
    assert made.ids[number] == case.id
    assert made.std == (0.229, 0.224, 0.225)
    drawn_from = slice(*made.mark_start[number : number + 2])
    canvas = np.full((64, 64), IGNORE, dtype=np.uint8)
    order = np.argsort(made.mark_strokes[drawn_from], kind="stable")
    pixels = np.floor(made.mark_points[drawn_from][order] + 0.5).astype(int)
    canvas[tuple(pixels.T)] = made.mark_classes[drawn_from][order]
    np.testing.assert_array_equal(canvas, cells.sparse_labels(case).array)


def test_an_unknown_case_is_named(points):
    with pytest.raises(InputError, match="no such case"):
        cached(points, ZOOMED).subset(["patient999"])


# command line


def run(*arguments):
    app = typer.Typer()
    app.command()(cache)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_the_command(points, tmp_path):
    out = run(points.root, "--size", 32).output
    assert "32 slices of 8 cases" in out
    assert "TRUTH" not in out
    done = run(points.root, "--size", 32, "--pack", "--with-truth", "--out", tmp_path / "x.pack", "--json")
    summary = json.loads(done.output)
    assert summary["contains_dense_truth"]
    assert SliceCache.open(tmp_path / "x.pack").truth is not None
    assert "DENSE TRUTH" in run(points.root, "--size", 32, "--with-truth").output


def test_the_command_for_images(cells):
    assert json.loads(run(cells.root, "--size", 32, "--grid", "native", "--json").output)["slices"] == len(
        cells.training
    )
