from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from medpy.metric.binary import asd as medpy_asd
from medpy.metric.binary import assd as medpy_assd
from medpy.metric.binary import hd95 as medpy_hd95
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy.ndimage import gaussian_filter

from pointillist.errors import InputError
from pointillist.evaluate.surface import (
    assd_directed_mean,
    assd_pooled,
    hd95_max,
    hd95_pooled,
    hd95_pooled_bounded,
    nsd,
    volume_diagonal,
)
from pointillist.geometry.distance import SurfaceDistances, surface_distances

LENGTHS = [hd95_pooled, hd95_max, assd_pooled, assd_directed_mean]
SHAPES = [(9, 24, 20), (1, 16, 16), (18, 22), (12, 12, 12)]


@st.composite
def blob_pairs(draw):
    """Two smooth or speckled masks that are not empty; many touch the array's border, some are single voxels."""
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sigma = draw(st.sampled_from([0.0, 1.0, 2.5]))
    noise = rng.standard_normal((2, *shape))
    smooth = [gaussian_filter(image, sigma) for image in noise]
    keep = draw(st.tuples(*[st.sampled_from([1, 7, 200])] * 2))
    masks = [image >= np.sort(image.ravel())[-n] for image, n in zip(smooth, keep, strict=True)]
    spacing = draw(st.tuples(*[st.sampled_from([0.5, 1.0, 1.5625, 10.0])] * len(shape)))
    return *masks, spacing


def as_monai(mask):
    return torch.from_numpy(mask)[None, None].float()


@settings(max_examples=150, deadline=None)
@given(blob_pairs())
def test_equal_to_medpy(pair):
    first, second, spacing = pair
    distances = surface_distances(first, second, spacing)
    assert hd95_pooled(distances) == pytest.approx(medpy_hd95(first, second, spacing), rel=1e-12)
    assert assd_pooled(distances) == pytest.approx(medpy_assd(first, second, spacing), rel=1e-12)
    directed = medpy_asd(first, second, spacing), medpy_asd(second, first, spacing)
    assert assd_directed_mean(distances) == pytest.approx(np.mean(directed), rel=1e-12)


@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")
@settings(max_examples=60, deadline=None)
@given(blob_pairs(), st.sampled_from([0.0, 1.0, 1.6, 5.0]))
def test_equal_to_monai(pair, tolerance):
    first, second, spacing = pair
    distances = surface_distances(first, second, spacing)
    masks = as_monai(first), as_monai(second)
    distance = compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=spacing)
    assert hd95_max(distances) == pytest.approx(distance.item(), rel=1e-5)
    agreement = compute_surface_dice(*masks, [tolerance], include_background=True, spacing=spacing)
    assert nsd(distances, tolerance) == pytest.approx(agreement.item(), abs=1e-6)


@given(blob_pairs())
def test_symmetric_and_zero_on_itself(pair):
    first, second, spacing = pair
    there, back = surface_distances(first, second, spacing), surface_distances(second, first, spacing)
    itself = surface_distances(first, first, spacing)
    for metric in LENGTHS:
        assert metric(there) == pytest.approx(metric(back), rel=1e-12)
        assert metric(itself) == 0
    assert nsd(there, 1.5) == nsd(back, 1.5)
    assert nsd(itself, 0) == 1


@given(blob_pairs())
def test_lengths_scale_with_the_spacing_and_the_share_with_its_tolerance(pair):
    first, second, spacing = pair
    small = surface_distances(first, second, spacing)
    large = surface_distances(first, second, [4 * s for s in spacing])
    for metric in LENGTHS:
        assert metric(large) == pytest.approx(4 * metric(small), rel=1e-12)
    assert nsd(large, 8.0) == nsd(small, 2.0)


@given(blob_pairs())
def test_the_orders_that_must_hold(pair):
    first, second, spacing = pair
    distances = surface_distances(first, second, spacing)
    assert max(hd95_pooled(distances), hd95_max(distances)) <= np.concatenate(distances).max()
    assert np.concatenate(distances).max() < volume_diagonal(first.shape, spacing)
    assert nsd(distances, 0.4) <= nsd(distances, 1.0) <= nsd(distances, 1e9) == 1


def test_the_two_forms_by_hand():
    distances = SurfaceDistances(np.array([0.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 0.0, 8.0]))
    assert hd95_pooled(distances) == pytest.approx(8 * 0.65)  # between the 7th and the 8th of 8, at .95·7 = 6.65
    assert hd95_max(distances) == pytest.approx(8 * 0.8)  # at .95·4 = 3.8
    assert assd_pooled(distances) == pytest.approx(1.0)
    assert assd_directed_mean(distances) == pytest.approx(0.8)
    assert nsd(distances, 7.9) == pytest.approx(7 / 8)
    assert nsd(distances, 8.0) == 1


def test_a_distant_speck_parts_the_two_forms():
    reference = np.zeros((100, 100), bool)
    reference[5:45, 5:45] = True
    prediction = reference.copy()
    prediction[80:84, 80:84] = True
    distances = surface_distances(prediction, reference)
    assert hd95_pooled(distances) == 0
    assert hd95_max(distances) > 45


def test_two_empty_masks_agree():
    nothing = np.zeros((3, 4), bool)
    distances = surface_distances(nothing, nothing)
    assert [metric(distances) for metric in LENGTHS] == [0, 0, 0, 0]
    assert hd95_pooled_bounded(distances, 5.0) == 0
    assert nsd(distances, 2) == 1


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_mask_has_no_distance_and_no_agreement(swap):
    masks = [np.zeros((3, 4), bool), np.ones((3, 4), bool)]
    distances = surface_distances(*masks[:: -1 if swap else 1])
    assert all(math.isnan(metric(distances)) for metric in LENGTHS)
    assert hd95_pooled_bounded(distances, volume_diagonal((3, 4), (1, 1))) == 5
    assert nsd(distances, 1e9) == 0


def test_the_bound_leaves_defined_values_alone():
    assert hd95_pooled_bounded(SurfaceDistances(np.array([3.0]), np.array([3.0])), 100.0) == 3


def test_the_diagonal_goes_from_edge_to_edge_in_millimetres():
    assert volume_diagonal((10, 4, 4), (2.0, 10.0, 0.0)) == pytest.approx(math.hypot(20, 40))


def test_the_tolerance_forgives_rounding():
    first, second = np.zeros((1, 4), bool), np.zeros((1, 4), bool)
    first[0, 0] = second[0, 3] = True
    distances = surface_distances(first, second, (1.0, 0.1))
    assert distances.forward > 0.3
    assert nsd(distances, 0.3) == 1
    assert nsd(distances, 0.2999) == 0


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_must_be_a_length(tolerance):
    with pytest.raises(InputError, match="must be a length"):
        nsd(SurfaceDistances(np.zeros(1), np.zeros(1)), tolerance)
