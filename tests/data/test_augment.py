import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st

from pointillist.data.augment import (
    AUGMENTATIONS,
    Augmentation,
    SliceSource,
    augmentation_named,
    batches,
    epoch_order,
    make_batch,
    sweep,
)
from pointillist.data.augment.draws import Purpose, uniform
from pointillist.data.augment.geometry import draw_geometry, plain_geometry
from pointillist.data.augment.warp import draw_marks, gather, gather_smooth, move_maps, nearest_index
from pointillist.data.batch import MarkPoints
from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.cache import CacheSettings, cached
from pointillist.data.cache.grids import placement, resize_labels
from pointillist.data.dataset import Dataset
from pointillist.data.image import Grid, Image
from pointillist.data.readers import read_image
from pointillist.errors import InputError
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE, Stroke

ACDC = AUGMENTATIONS["acdc"]
TURN = Augmentation("turn", "test", turn=1.0, flip=1.0)
ROTATE = Augmentation("rotate", "test", rotate=1.0, degrees=20)


def some_keys(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def geometry_of(augmentation, key, native, grid="zoom0", size=64, seed=0):
    natives = np.array([native])
    places = np.array([[placement(grid, n, size) for n in native]])
    return draw_geometry(augmentation, key, natives, places, grid, size, seed=seed, epoch=0)


def warped(flat, geometry, shape):
    places, inside = geometry.sources(torch.device("cpu"), smooth=False)
    sizes = torch.tensor([shape], dtype=torch.int32)
    index = nearest_index(places, sizes)
    start, area = torch.zeros(1, dtype=torch.long), sizes.long().prod(dim=1)
    out = gather(torch.from_numpy(flat.reshape(-1)), start, index, 1, area)
    return np.where(inside[0].numpy(), out[0, 0].numpy(), 0), inside[0].numpy()


def published(native, size, key, augmentation, seed=0):
    """METHODS A1 in its order: augment the native slice by numpy and SciPy, then zoom it."""
    draws = uniform(seed, 0, key)[:, 0]
    if draws[Purpose.TURN] < augmentation.turn:
        turned = np.rot90(native, int(draws[Purpose.QUARTERS] * 4))
        moved = np.flip(turned, axis=int(draws[Purpose.FLIP_AXIS] * 2))
    elif draws[Purpose.ROTATE] < augmentation.rotate:
        angle = int(np.floor(draws[Purpose.DEGREES] * 40)) - 20
        moved = scipy.ndimage.rotate(native, angle, order=0, reshape=False)
    else:
        moved = native
    return scipy.ndimage.zoom(moved, (size / moved.shape[0], size / moved.shape[1]), order=0)


@pytest.mark.parametrize(
    ("augmentation", "native", "size", "least"),
    [
        (TURN, (50, 61), 64, 1.0),  # the cache kept every native pixel
        (TURN, (80, 97), 64, 0.98),
        (ROTATE, (50, 61), 64, 0.999),
        (ROTATE, (80, 97), 64, 0.5),  # nearest of the pixels that the cache kept; the values differ by one neighbour
    ],
)
def test_the_published_order_is_kept(augmentation, native, size, least):
    numbered = np.arange(1, 1 + native[0] * native[1], dtype=np.float32).reshape(native)
    cached = resize_labels(numbered, "zoom0", size)
    for key in some_keys(12):
        expected = published(numbered, size, np.array([key]), augmentation)
        got, _ = warped(cached, geometry_of(augmentation, np.array([key]), native, size=size), (size, size))
        assert (got == expected).mean() >= least
        apart = np.abs(
            np.stack(np.unravel_index(np.maximum(got - 1, 0).astype(int), native))
            - np.stack(np.unravel_index(np.maximum(expected - 1, 0).astype(int), native))
        )
        both = (got > 0) & (expected > 0)
        assert apart[:, both].max() <= 1
        assert ((got > 0) == (expected > 0)).mean() >= 0.999


@given(
    st.integers(0, 2**32),
    st.tuples(st.integers(32, 90), st.integers(32, 90)),
    st.sampled_from(["zoom0", "bilinear", "area"]),
    st.sampled_from([TURN, ROTATE]),
)
def test_a_mark_lands_where_its_pixel_lands(seed, native, grid, augmentation):
    size = 32
    rng = np.random.default_rng(seed)
    points = rng.integers(0, size, (20, 2))
    geometry = geometry_of(augmentation, rng.integers(0, 2**64, 1, dtype=np.uint64), native, grid, size)
    numbered = np.arange(size * size, dtype=np.float32).reshape(size, size)
    image, inside = warped(numbered, geometry, (size, size))
    moved = np.floor(geometry.moved(np.zeros(20, dtype=int), points.astype(np.float32)) + 0.5).astype(int)
    seen = ((moved >= 0) & (moved < size)).all(axis=1)
    seen[seen] = inside[tuple(moved[seen].T)]
    assert seen.all() or augmentation is ROTATE
    found = np.stack(np.unravel_index(image[tuple(moved[seen].T)].astype(int), (size, size)), axis=1)
    # exactly, but for a rotation's rounding to the nearest pixel, and for pixels half-way in the grid of zoom0
    slack = 0 if augmentation is TURN and grid != "zoom0" else 1
    assert np.abs(found - points[seen]).max(initial=0) <= slack


# random numbers


def test_draws_are_uniform_and_independent():
    keys = some_keys(20_000)
    draws = uniform(3, 5, keys)
    assert draws.shape == (len(Purpose), len(keys))
    assert ((draws >= 0) & (draws < 1)).all()
    for row in draws:
        counts = np.histogram(row, bins=50, range=(0, 1))[0]
        assert ((counts - 400) ** 2 / 400).sum() < 100  # 49 degrees of freedom: beyond 100 with probability 2·10⁻⁵
    others = np.concatenate([draws, uniform(3, 6, keys), uniform(4, 5, keys), uniform(3, 5, keys + np.uint64(1))])
    correlation = np.corrcoef(others) - np.eye(len(others))
    assert np.abs(correlation).max() < 0.035  # five standard deviations


def test_draws_of_neighbouring_seeds_epochs_and_keys_differ():
    first = uniform(0, 0, np.arange(64, dtype=np.uint64))
    assert len(np.unique(first)) == first.size
    assert not np.isin(first, uniform(0, 1, np.arange(64, dtype=np.uint64))).any()
    assert not np.isin(first, uniform(1, 0, np.arange(64, dtype=np.uint64))).any()
    np.testing.assert_array_equal(uniform(-1, 0, some_keys(3)), uniform(2**64 - 1, 0, some_keys(3)))
    assert uniform(7, 2, np.array([11], dtype=np.uint64))[Purpose.TURN, 0] == PINNED


PINNED = 0.44741345506488817  # the numbers must be the same on every machine and in every release


def test_the_three_coins_of_acdc():
    keys = some_keys(8000)
    natives = np.tile([[40, 50]], (8000, 1))
    places = np.tile([[[1.0, 0.0], [1.0, 0.0]]], (8000, 1, 1))
    matrix = draw_geometry(ACDC, keys, natives, places, "zoom0", 8, seed=0, epoch=0).matrix
    still = (matrix == np.eye(2)).all(axis=(1, 2))
    reflected = np.linalg.det(matrix) < 0
    whole = (np.abs(matrix) == np.round(np.abs(matrix))).all(axis=(1, 2))
    assert reflected.mean() == pytest.approx(0.5, abs=0.03)  # a flip always follows the turns
    assert (~whole).mean() == pytest.approx(0.25 * 39 / 40, abs=0.02)
    assert still.mean() == pytest.approx(0.25 + 0.25 / 40, abs=0.02)
    degrees = np.rad2deg(np.arctan2(matrix[~reflected, 0, 1], matrix[~reflected, 0, 0]))
    assert set(np.round(degrees, 6)) == set(range(-20, 20))


def test_chaos_never_flips():
    keys, natives = some_keys(500), np.tile([[40, 50]], (500, 1))
    places = np.tile([[[1.0, 0.0], [1.0, 0.0]]], (500, 1, 1))
    matrix = draw_geometry(AUGMENTATIONS["chaos"], keys, natives, places, "zoom0", 8, seed=0, epoch=0).matrix
    assert (matrix[:, 0, 0] > 0.9).all()
    assert (matrix != np.eye(2)).any(axis=(1, 2)).mean() == pytest.approx(0.25, abs=0.06)


def test_the_order_is_a_permutation_that_others_do_not_change():
    keys = some_keys(300)
    order = epoch_order(keys, 1, 0)
    assert sorted(order) == list(range(300))
    assert (order != epoch_order(keys, 1, 1)).any()
    half = epoch_order(keys[:150], 1, 0)
    np.testing.assert_array_equal(half, order[order < 150])


def test_an_unknown_augmentation_is_named():
    with pytest.raises(InputError, match="no such augmentation"):
        augmentation_named("elastic")


# batches


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> SliceSource:
    return SliceSource.open(scribbled(tmp_path_factory.mktemp("scribbles"), CacheSettings(32, truth=True)))


def scribbled(folder, settings):
    """A cache of two volumes of unlike shapes with a raster of scribbles and strokes over it."""
    spec = TaskSpec(("background", "a", "b"), ("MRI",))
    with DatasetBuilder(folder / "D", name="D", spec=spec, ending=".nii.gz", kind="test") as builder:
        for number, shape in enumerate([(40, 30, 4), (24, 36, 5)]):
            rng = np.random.default_rng(number)
            grid = Grid(shape, (1.0, 1.0, 5.0), np.diag([1.0, 1.0, 5.0, 1.0]), nibabel_orientation())
            base = np.where(rng.random(shape) < 0.05, rng.integers(0, 3, shape), IGNORE).astype(np.uint8)
            strokes = tuple(
                Stroke(
                    int(rng.integers(0, 3)), np.column_stack([rng.random((3, 2)) * 20, np.full(3, k)]), 1 + 2 * (k % 2)
                )
                for k in range(shape[2])
                for _ in range(3)
            )
            image = Image(rng.integers(0, 900, shape).astype(np.int16), grid)
            dense = rng.integers(0, 3, shape).astype(np.uint8)
            builder.add(NewCase(f"c{number}", image, f"g{number}", base=base, strokes=strokes, dense=dense))
        builder.finish([])
    return cached(Dataset.open(folder / "D"), settings)


def nibabel_orientation():
    return np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])


def every(source):
    return np.arange(len(source.cache))


def test_a_sweep_shows_the_cache_as_it_is(source):
    seen = list(sweep(source, every(source), 4))
    assert [len(batch) for batch in seen] == [4, 4, 1]
    assert sum((batch.ids for batch in seen), ()) == source.cache.ids
    number = 0
    for batch in seen:
        assert batch.valid.all()
        for image, label in zip(batch.image, batch.label, strict=True):
            np.testing.assert_allclose(image, source.cache.image(number) / 255, atol=1e-6)
            under = label.numpy()
            unmarked = (batch.label[0] == IGNORE).any()
            assert unmarked
            marks = source.cache.mark_start[number + 1] - source.cache.mark_start[number]
            assert (under != source.cache.label(number)).sum() <= marks
            number += 1


def test_later_strokes_win_in_a_batch():
    points = torch.tensor([[1.0, 1.0], [1.2, 0.9], [9.0, 9.0], [-1.0, 0.0], [2.0, 2.0]])
    marks = MarkPoints(
        torch.tensor([0, 0, 0, 1, 1]), points, torch.tensor([2, 1, 2, 2, 0]), torch.tensor([5, 3, 0, 9, 0])
    )
    label = draw_marks(torch.full((2, 4, 4), IGNORE, dtype=torch.uint8), marks)
    assert label[0, 1, 1] == 2
    assert label[1, 2, 2] == 0
    assert (label != IGNORE).sum() == 2
    nothing = MarkPoints(*(field[:0] for field in (marks.image, points, marks.classes, marks.strokes)))
    assert (draw_marks(label.clone(), nothing) == label).all()


def test_other_slices_of_a_batch_change_nothing(source):
    whole = make_batch(source, every(source), ACDC, seed=1, epoch=2)
    for number in (0, 5, 8):
        alone = make_batch(source, np.array([number]), ACDC, seed=1, epoch=2)
        assert torch.equal(alone.image[0], whole.image[number])
        assert torch.equal(alone.label[0], whole.label[number])
    assert not torch.equal(make_batch(source, every(source), ACDC, seed=1, epoch=3).image, whole.image)


def test_one_geometry_for_a_batch(source):
    same = make_batch(source, np.array([0, 1, 2, 3]), TURN, seed=0, epoch=0, shared_geometry=True)
    plain = next(iter(sweep(source, np.arange(4), 4)))
    candidates = [(k, axis) for k in range(4) for axis in (1, 2)]
    fits = [
        torch.equal(torch.rot90(plain.image[:, 0], k, (1, 2)).flip(axis), same.image[:, 0]) for k, axis in candidates
    ]
    assert sum(fits) >= 1


def test_an_epoch_visits_every_slice_once(source):
    seen = [batch.ids for batch in batches(source, every(source), 4, ACDC, seed=0, epoch=0)]
    assert sorted(sum(seen, ())) == sorted(source.cache.ids)
    assert [len(ids) for ids in seen] == [4, 4, 1]
    dropped = list(batches(source, every(source), 4, ACDC, seed=0, epoch=0, drop_last=True))
    assert [batch.ids for batch in dropped] == seen[:2]


def test_rotation_uncovers_a_margin_without_labels(source):
    batch = make_batch(source, every(source), ROTATE, seed=0, epoch=0)
    assert not batch.valid.all()
    assert (batch.image[:, 0][~batch.valid] == 0).all()
    assert (batch.label[~batch.valid] == IGNORE).all()
    assert batch.label.dtype == torch.int64
    assert batch.to("cpu").valid.equal(batch.valid)


def test_dense_truth_takes_no_strokes(source):
    full = SliceSource.open(source.cache, labels="truth")
    batch = next(iter(sweep(full, every(source), 9)))
    truth = source.cache.resized_truth().reshape(9, 32, 32)
    np.testing.assert_array_equal(batch.label.numpy(), truth)
    assert not len(batch.marks.image)


class Targets:
    """Targets that are the images themselves."""

    def __init__(self, source):
        self.source = source

    def get(self, ids):
        images = torch.stack([torch.from_numpy(self.source.cache.image(self.source.cache.ids.index(i))) for i in ids])
        return images.expand(-1, 3, -1, -1).float() / 255, torch.ones(len(ids), *images.shape[2:])


@pytest.mark.parametrize("augmentation", [TURN, ROTATE, AUGMENTATIONS["none"]])
def test_soft_targets_move_with_the_image(source, augmentation):
    batch = make_batch(source, every(source), augmentation, seed=0, epoch=0, targets=Targets(source))
    assert batch.soft.shape == (9, 3, 32, 32)
    assert (batch.soft_weight[~batch.valid] == 0).all()
    assert (batch.soft_weight[batch.valid] - 1).abs().max() < 1e-5
    apart = (batch.soft[:, :1] - batch.image)[batch.valid[:, None]].abs()
    assert apart.max() < 1e-4 or augmentation is ROTATE
    assert apart.mean() < 0.15
    assert batch.to("cpu").soft.equal(batch.soft)


def test_without_targets_yet_all_weights_are_zero(source):
    class Empty:
        def get(self, ids):
            assert ids == source.cache.ids

    batch = make_batch(source, every(source), ACDC, seed=0, epoch=0, targets=Empty())
    assert batch.soft.shape == (9, 3, 32, 32)
    assert not batch.soft_weight.any()


def test_smooth_gathering_agrees_with_torch():
    maps = torch.rand(1, 2, 7, 9)
    places = torch.rand(1, 2, 30, 30) * torch.tensor([7.0, 9.0])[:, None, None]
    got = gather_smooth(maps.flatten(), torch.zeros(1, dtype=torch.long), places, torch.tensor([[7, 9]]).int(), 2)
    torch.testing.assert_close(got, move_maps(maps, places), atol=1e-5, rtol=1e-5)


@pytest.fixture
def cells(tmp_path) -> SliceSource:
    """Colour images of unlike sizes, one of them smaller than a crop, whose first channel numbers columns."""
    spec = TaskSpec(("background", "nucleus"), ("R", "G", "B"))
    with DatasetBuilder(tmp_path / "C", name="C", spec=spec, ending=".png", kind="test") as builder:
        for number, shape in enumerate([(60, 80), (60, 80), (20, 90)]):
            row, column = np.indices(shape)
            image = Image(np.stack([row, column, row * 0 + 100], axis=-1).astype(np.uint8), Grid(shape))
            strokes = (Stroke(1, np.array([[10.0, 40.0]])), Stroke(0, np.array([[5.0, 5.0], [15.0, 70.0]])))
            builder.add(NewCase(f"c{number}", image, f"g{number}", strokes=strokes))
        builder.finish([])
    return SliceSource.open(cached(Dataset.open(tmp_path / "C"), CacheSettings(32, "native", "unit")))


def test_crops_stay_inside_and_differ(cells):
    corners = set()
    for epoch in range(60):
        batch = make_batch(cells, np.arange(2), AUGMENTATIONS["none"], seed=0, epoch=epoch)
        assert batch.valid.all()
        values = (batch.image * 255).round().int()
        assert (values[:, 0].diff(dim=1) == 1).all()
        assert (values[:, 1].diff(dim=2) == 1).all()
        assert (values[:, 2] == 100).all()
        corners |= {tuple(one[:2, 0, 0].tolist()) for one in values}
        image, row, column = batch.marks.image, *batch.marks.points.round().long().unbind(1)
        seen = ((batch.marks.points >= 0) & (batch.marks.points < 31.4)).all(dim=1)
        assert (batch.label[image[seen], row[seen], column[seen]] != IGNORE).all()
    rows, columns = zip(*corners, strict=True)
    assert 0 <= min(rows) < 4 < 24 < max(rows) <= 28
    assert 0 <= min(columns) < 6 < 42 < max(columns) <= 48


def test_an_image_smaller_than_the_crop_is_padded(cells):
    batch = make_batch(cells, np.array([2]), AUGMENTATIONS["none"], seed=0, epoch=0)
    assert batch.valid.sum() == 20 * 32
    assert (batch.label[~batch.valid] == IGNORE).all()


def test_cells_are_turned_and_scaled(cells):
    batch = make_batch(cells, np.arange(2), AUGMENTATIONS["cells"], seed=0, epoch=1)
    steps = [batch.image[:, 0].diff(dim=axis).abs().amax(dim=(1, 2)) * 255 for axis in (1, 2)]
    along = torch.maximum(*steps)
    assert ((along > 1 / 1.11) & (along < 1.11)).all()


def test_a_sweep_of_native_images_groups_them_by_size(cells):
    seen = list(sweep(cells, np.arange(3), 8))
    assert [tuple(batch.image.shape) for batch in seen] == [(2, 3, 60, 80), (1, 3, 20, 90)]
    np.testing.assert_allclose(seen[1].image[0], cells.cache.image(2) / 255, atol=1e-6)
    assert seen[0].label[0, 5, 5] == 0


def test_plain_geometry_is_the_identity():
    natives = np.array([[30, 50]])
    places = np.array([[placement("bilinear", n, 16) for n in (30, 50)]])
    places_of, inside = plain_geometry(natives, places, "bilinear", 16).sources(torch.device("cpu"), smooth=False)
    assert inside.all()
    np.testing.assert_array_equal(places_of[0, 0, :, 0].int(), np.arange(16))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("patients", "size", "augmentation", "image_at_least", "truth_at_least"),
    [
        ((1, 24), 256, TURN, 1.0, 1.0),  # slices of at most 256²: the cache kept every pixel
        ((1, 24), 256, ROTATE, 0.9999, 0.9999),
        ((1, 24, 57), 128, TURN, 1.0, 1.0),  # up to 428 × 512: the cache kept a quarter of the pixels or less
        ((1, 24, 57), 128, ROTATE, 0.4, 0.99),
    ],
)
def test_real_slices_in_the_published_order(real_data, patients, size, augmentation, image_at_least, truth_at_least):
    shares = {"": [], "_gt": []}
    for patient in patients:
        folder = real_data / "acdc" / f"patient{patient:03d}"
        stem = next(folder.glob("*_gt.nii.gz")).name.removesuffix("_gt.nii.gz")
        for kind, found in shares.items():
            native = read_image(folder / f"{stem}{kind}.nii.gz").array[:, :, 4].astype(np.float32)
            cached_slice = resize_labels(native, "zoom0", size)
            for key in some_keys(8, patient):
                geometry = geometry_of(augmentation, np.array([key]), native.shape, size=size)
                expected = published(native, size, np.array([key]), augmentation)
                found.append((warped(cached_slice, geometry, (size, size))[0] == expected).mean())
    assert np.mean(shares[""]) >= image_at_least
    assert np.mean(shares["_gt"]) >= truth_at_least
