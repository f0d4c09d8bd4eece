from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, distance_transform_edt, generate_binary_structure

from pointillist.errors import GeometryError
from pointillist.geometry import distance
from pointillist.geometry.distance import surface, surface_distances


@st.composite
def mask_pairs(draw):
    """Two random masks on one small grid of 1, 2 or 3 axes: sparse, dense, empty and full ones, any at the border."""
    shape = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fill = draw(st.tuples(*[st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0])] * 2))
    masks = [rng.random(shape) < f for f in fill]
    spacing = draw(st.tuples(*[st.sampled_from([0.5, 1.0, 1.5625, 10.0])] * len(shape)))
    return *masks, spacing


def brute_force(source, target, spacing):
    """All distances between voxel centres of two surfaces, the smallest for each voxel of the first."""
    structure = generate_binary_structure(source.ndim, 1)
    edges = [np.argwhere(mask ^ binary_erosion(mask, structure)) * np.array(spacing) for mask in (source, target)]
    if not len(edges[1]):
        return np.full(len(edges[0]), np.inf)
    return np.linalg.norm(edges[0][:, None] - edges[1][None], axis=-1).min(axis=1)


@given(mask_pairs())
def test_surface_is_the_mask_without_its_erosion(pair):
    mask = pair[0]
    eroded = binary_erosion(mask, generate_binary_structure(mask.ndim, 1))
    np.testing.assert_array_equal(surface(mask), mask ^ eroded)


@pytest.mark.parametrize("voxels_per_point", [0, 12, 10**9], ids=["tree", "as shipped", "transform"])
@given(pair=mask_pairs())
def test_distances_equal_brute_force_by_either_algorithm(voxels_per_point, pair):
    first, second, spacing = pair
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distance, "_VOXELS_PER_POINT", voxels_per_point)
        found = surface_distances(first, second, spacing)
    np.testing.assert_allclose(found.forward, brute_force(first, second, spacing), rtol=1e-12)
    np.testing.assert_allclose(found.backward, brute_force(second, first, spacing), rtol=1e-12)


@given(mask_pairs())
def test_swapping_the_masks_swaps_the_sets(pair):
    first, second, spacing = pair
    there, back = surface_distances(first, second, spacing), surface_distances(second, first, spacing)
    np.testing.assert_array_equal(there.forward, back.backward)
    np.testing.assert_array_equal(there.backward, back.forward)


@given(mask_pairs())
def test_a_mask_is_at_distance_0_from_itself(pair):
    mask, _, spacing = pair
    found = surface_distances(mask, mask, spacing)
    assert found.forward.size == np.count_nonzero(surface(mask))
    assert not np.concatenate(found).any()


@given(mask_pairs(), st.integers(0, 3))
def test_room_around_the_masks_changes_nothing(pair, room):
    first, second, spacing = pair
    padded = surface_distances(np.pad(first, room), np.pad(second, room), spacing)
    for inside, outside in zip(surface_distances(first, second, spacing), padded, strict=True):
        np.testing.assert_array_equal(inside, outside)


@given(mask_pairs(), st.sampled_from([0.25, 2.0, 8.0]))
def test_distances_grow_with_the_spacing(pair, factor):
    first, second, spacing = pair
    larger = surface_distances(first, second, [factor * s for s in spacing])
    for small, large in zip(surface_distances(first, second, spacing), larger, strict=True):
        np.testing.assert_array_equal(large, factor * small)


@settings(max_examples=25)
@given(st.integers(0, 4), st.integers(0, 4), st.floats(0.1, 20))
def test_a_voxel_moved_along_z_is_k_spacings_away(z, k, spacing):
    first, second = np.zeros((9, 5, 5), bool), np.zeros((9, 5, 5), bool)
    first[z, 2, 2] = second[z + k, 2, 2] = True
    found = surface_distances(first, second, (spacing, 1.5, 1.5))
    assert found.forward == found.backward == pytest.approx(k * spacing, rel=1e-12)


def test_without_spacing_a_voxel_is_1_wide():
    first, second = np.zeros((4, 5), bool), np.zeros((4, 5), bool)
    first[0, 0] = second[3, 4] = True
    assert surface_distances(first, second).forward == [5.0]


def test_large_crops_use_the_tree_and_agree_with_the_transform():
    first, second = np.zeros((40, 60, 60), bool), np.zeros((40, 60, 60), bool)
    first[2:9, 3:9, 1:8] = second[30:36, 50:58, 51:57] = second[3:9, 3:9, 1:8] = True
    spacing = (3.0, 0.7, 1.3)
    found = surface_distances(first, second, spacing)
    expected = distance_transform_edt(~surface(first), sampling=spacing)[surface(second)]
    np.testing.assert_allclose(found.backward, expected, rtol=1e-12)


def test_masks_of_different_shape_are_refused():
    with pytest.raises(GeometryError, match="one grid"):
        surface_distances(np.ones((2, 3), bool), np.ones((3, 2), bool))


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, -2.0), (1.0, float("nan")), (1.0, float("inf"))])
def test_impossible_spacing_is_refused(spacing):
    with pytest.raises(GeometryError, match="spacing"):
        surface_distances(np.ones((2, 3), bool), np.ones((2, 3), bool), spacing)
