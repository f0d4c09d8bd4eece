"""What every generator promises, on random images."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pointillist.data.simulate import DEFAULTS, GENERATORS, draw
from pointillist.errors import GeometryError, InputError
from pointillist.geometry.strokes import rasterise
from pointillist.types import IGNORE

SCRIBBLES = [name for name, generator in GENERATORS.items() if generator.annotation == "scribbles"]
every_generator = pytest.mark.parametrize("name", GENERATORS)
FIXED = ("skeleton", "hull", "full_slice")
random_within_a_slice = pytest.mark.parametrize("name", [n for n in GENERATORS if n not in FIXED])
simulate = partial(draw, seed=1, dataset="toy", case="case_1")


def blobs(seed, shape, classes, smooth):
    noise = np.random.default_rng(seed).random(shape)
    field = ndimage.gaussian_filter(noise, smooth, mode="reflect")
    level = (field - field.min()) / max(np.ptp(field), 1e-12)
    return np.minimum(level * classes, classes - 1).astype(np.uint8)


images = st.builds(
    blobs,
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(1, 5),
    st.floats(0, 8),
)


def holds(strokes, dense, **kwargs):
    """Raster of the strokes, after making sure that no mark leaves its class."""
    marks = rasterise(strokes, dense.shape, **kwargs)
    assert ((marks == dense) | (marks == IGNORE)).all()
    return marks


@every_generator
@settings(max_examples=30, deadline=None)
@given(dense=images, width=st.sampled_from([None, 1, 2, 3, 5.5]))
def test_every_class_is_marked_and_only_within(name, dense, width):
    wide = {} if width is None or name == "full_slice" else {"width_px": width}
    marks = holds(simulate(dense, generator=name, **wide), dense)
    assert set(np.unique(marks)) - {IGNORE} == set(np.unique(dense))


@every_generator
@pytest.mark.parametrize(
    "dense",
    [
        np.zeros((20, 33), dtype=np.uint8),
        np.ones((7, 5), dtype=np.uint8),
        np.zeros((1, 1), dtype=np.uint8),
        np.pad(np.full((1, 1), 3, dtype=np.uint8), ((9, 20), (4, 4))),
        np.pad(np.ones((41, 60), dtype=np.uint8), ((0, 9), (0, 30))),
    ],
    ids=["background only", "no background", "one pixel", "class of one pixel", "at the border"],
)
def test_unusual_images(name, dense):
    marks = holds(simulate(dense, generator=name), dense)
    assert set(np.unique(marks)) - {IGNORE} == set(np.unique(dense))


@every_generator
def test_nothing_is_marked_where_nothing_is_known(name):
    assert simulate(np.full((6, 7), IGNORE, dtype=np.uint8), generator=name) == []
    dense = blobs(3, (50, 40), 3, 5)
    dense[:20] = IGNORE
    marks = rasterise(simulate(dense, generator=name), dense.shape)
    assert (marks[:20] == IGNORE).all()
    assert (marks[20:] != IGNORE).any()


@every_generator
def test_the_same_seed_draws_the_same_marks_in_any_order(name):
    volume = np.stack([blobs(i, (40, 50), 3, 4) for i in range(4)], axis=-1)
    alone = draw(volume, generator=name, seed=5, dataset="toy", case="b")
    for case in ("c", "a"):
        draw(volume, generator=name, seed=5, dataset="toy", case=case)
    assert draw(volume, generator=name, seed=5, dataset="toy", case="b") == alone
    assert alone[0].author == f"simulate:{name}"


@random_within_a_slice
@pytest.mark.parametrize("change", [{"seed": 6}, {"dataset": "other"}, {"case": "a"}])
def test_seed_data_set_and_case_change_the_marks(name, change):
    dense = blobs(1, (60, 50), 3, 6)
    key = {"seed": 5, "dataset": "toy", "case": "b"}
    here = rasterise(draw(dense, generator=name, **key), dense.shape)
    there = rasterise(draw(dense, generator=name, **(key | change)), dense.shape)
    assert (here != there).any()


def test_the_seed_changes_which_slices_are_labelled():
    volume = np.stack([blobs(i, (9, 9), 3, 3) for i in range(8)], axis=-1)
    key = {"generator": "full_slice", "dataset": "toy", "case": "b"}
    chosen = {draw(volume, seed=seed, **key)[0].points[0, 2] for seed in range(40)}
    assert len(chosen) > 4


@every_generator
@pytest.mark.parametrize("axis", [0, 1, 2, -2])
def test_slices_of_a_volume_are_drawn_along_its_axis(name, axis):
    volume = np.stack([blobs(i, (30, 40), 3, 4) for i in range(3)], axis=-1)
    turned = np.moveaxis(volume, -1, axis)
    marks = holds(simulate(turned, generator=name, slice_axis=axis), turned, slice_axis=axis)
    upright = holds(simulate(volume, generator=name), volume)
    assert (np.moveaxis(marks, axis, -1) == upright).all()


@random_within_a_slice
def test_slices_have_random_numbers_of_their_own(name):
    volume = np.stack([blobs(1, (60, 50), 3, 6)] * 6, axis=-1)
    marks = holds(simulate(volume, generator=name), volume)
    assert (marks != marks[:, :, :1]).any()


@pytest.mark.parametrize("name", SCRIBBLES)
def test_wider_scribbles_cover_more(name):
    dense = blobs(2, (80, 60), 3, 9)
    areas = [(holds(simulate(dense, generator=name, width_px=w), dense) != IGNORE).sum() for w in (1, 3, 7)]
    assert areas[0] < areas[1] < areas[2]


@pytest.mark.parametrize("name", SCRIBBLES)
def test_scribbles_are_sparse_and_the_published_width_is_the_default(name):
    dense = blobs(2, (128, 100), 3, 12)
    marks = holds(simulate(dense, generator=name), dense)
    assert 0.001 < (marks != IGNORE).mean() < 0.2


def test_each_kind_of_annotation_has_a_default():
    assert {kind: GENERATORS[name].annotation for kind, name in DEFAULTS.items()} == {k: k for k in DEFAULTS}
    assert set(DEFAULTS) == {generator.annotation for generator in GENERATORS.values()}


@every_generator
def test_settings_are_refused_by_generators_without_them(name):
    for setting, value in {"count": 2, "fraction": 0.5, "width_px": 2}.items():
        if setting in GENERATORS[name].takes:
            assert simulate(np.zeros((9, 9), dtype=np.uint8), generator=name, **{setting: value})
            continue
        with pytest.raises(InputError, match=setting) as caught:
            simulate(np.zeros((9, 9), dtype=np.uint8), generator=name, **{setting: value})
        assert caught.value.expected == ", ".join(GENERATORS[name].takes)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("random_point", "count", 0),
        ("random_point", "count", 1.5),
        ("random_point", "width_px", 0),
        ("random_point", "width_px", np.nan),
        ("skeleton", "width_px", np.inf),
        ("s2l", "fraction", 0),
        ("s2l", "fraction", 1.01),
    ],
)
def test_settings_out_of_range(name, setting, value):
    with pytest.raises(InputError, match="out of range"):
        simulate(np.zeros((9, 9), dtype=np.uint8), generator=name, **{setting: value})


def test_an_unknown_generator_names_the_nearest():
    with pytest.raises(InputError) as caught:
        simulate(np.zeros((9, 9), dtype=np.uint8), generator="randomwalk")
    assert caught.value.todo == "did you mean 'random_walk'?"
    assert "in_out_pairs" in caught.value.expected


@pytest.mark.parametrize(("shape", "axis"), [((4,), -1), ((4, 4, 4), 3), ((2, 2, 2, 2), 0)])
def test_only_images_and_volumes_are_drawn_on(shape, axis):
    with pytest.raises(GeometryError):
        simulate(np.zeros(shape, dtype=np.uint8), generator="random_point", slice_axis=axis)
