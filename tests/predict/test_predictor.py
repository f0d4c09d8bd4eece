from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pointillist.data.cache.grids import resize
from pointillist.data.cache.normalise import normalise
from pointillist.data.image import Grid, Image
from pointillist.errors import InputError
from pointillist.predict.device import choose_device, choose_precision
from pointillist.predict.predictor import Predictor
from tests.predict.nets import ByBrightness, decided_unet, described

RGB = {"channels": ("R", "G", "B"), "normalisation": "unit"}


def volume(shape, axis, seed=0):
    """A smooth volume whose widest spacing is along ``axis``."""
    rng = np.random.default_rng(seed)
    array = ndimage.gaussian_filter(rng.normal(size=shape), [0 if i == axis else 2 for i in range(3)])
    spacing = tuple(8.0 if i == axis else 1.5 for i in range(3))
    return Image(array, Grid(shape, spacing, np.diag([*spacing, 1]), np.array([[0, 1], [1, 1], [2, 1.0]])))


def flat(shape, seed=0):
    array = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return Image(array, Grid(shape[:2]))


def bands(image, classes=4):
    """The answer of :class:`ByBrightness` on every pixel of a one-channel image, without any resizing."""
    return np.minimum(normalise(image, "minmax")[..., 0] * classes, classes - 1).astype(np.uint8)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_of_any_slice_axis_comes_back_as_it_lay(axis):
    shape = tuple(np.insert([32, 32], axis, 5))
    image = volume(shape, axis)
    prediction = Predictor(ByBrightness(4), described()).predict(image, probabilities=True, uncertainty=True)
    assert prediction.labels.dtype == np.uint8
    assert (prediction.labels == bands(image)).all()
    assert prediction.probabilities.shape == (4, *shape)
    assert prediction.uncertainty.shape == shape
    assert (prediction.probabilities.argmax(0) == prediction.labels).mean() > 0.99


@pytest.mark.parametrize("shape", [(37, 51, 3), (19, 23, 1), (1, 40, 4), (64, 17, 2)])
@pytest.mark.parametrize("argmax", ["network", "native"])
def test_odd_sizes_come_back_on_their_own_grid(shape, argmax):
    image = volume(shape, 2)
    labels = Predictor(ByBrightness(4), described(), argmax=argmax).predict(image).labels
    assert labels.shape == shape
    assert (labels == bands(image)).mean() > 0.6


@pytest.mark.parametrize("shape", [(45, 39), (45, 39, 3), (1, 1, 3), (300, 7)])
def test_flat_images_grey_and_in_colour(shape):
    described_as = described(**RGB) if len(shape) == 3 else described(normalisation="unit")
    image = flat(shape)
    prediction = Predictor(ByBrightness(4), described_as).predict(image, probabilities=True, uncertainty=True)
    assert prediction.labels.shape == prediction.uncertainty.shape == shape[:2]
    assert prediction.probabilities.shape == (4, *shape[:2])


def test_several_channels_are_normalised_one_by_one():
    one = volume((32, 32, 2), 2)
    pair = Image(np.stack([one.array, 1000 * one.array + 7], axis=-1), one.grid)
    net = ByBrightness(4)
    both = Predictor(net, described(channels=("T1", "T2"))).predict(pair).labels
    assert (both == Predictor(net, described()).predict(one).labels).mean() > 0.999


def test_the_published_order_is_scipys_zoom_argmax_zoom():
    image = volume((45, 61, 3), 2)
    net, description = decided_unet(), described(normalisation="acdc", size=48)
    labels = Predictor(net, description, precision="fp32").predict(image).labels
    values = normalise(image, "acdc")[..., 0]
    for number in range(3):
        plane = values[:, :, number]
        small = ndimage.zoom(plane, (48 / 45, 48 / 61), order=0)
        with torch.inference_mode():
            found = net(torch.from_numpy(small[None, None]).float()).logits.softmax(1).argmax(1)[0].numpy()
        published = ndimage.zoom(found, (45 / 48, 61 / 48), order=0)
        assert len(np.unique(published)) > 2
        assert (labels[:, :, number] == published).mean() > 0.995


def test_argmax_on_the_native_grid_takes_enlarged_probabilities():
    image = flat((50, 70))
    net, description = ByBrightness(4), described(normalisation="unit", grid="bilinear")
    prediction = Predictor(net, description, argmax="native", precision="fp32").predict(image, probabilities=True)
    small = resize(image.array / 255, "bilinear", 32).astype(np.float32)
    with torch.inference_mode():
        answer = net(torch.from_numpy(small)[None, None]).logits.softmax(1)
    expected = torch.nn.functional.interpolate(answer, size=(50, 70), mode="bilinear", align_corners=False)[0]
    assert (prediction.labels == expected.argmax(0).numpy()).all()
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-3)


@settings(max_examples=20)
@given(batch=st.integers(2, 12), slices=st.integers(1, 9), seed=st.integers(0, 99), tiles=st.booleans())
def test_the_batch_changes_nothing_but_ties(batch, slices, seed, tiles):
    image = volume((37, 41, slices), 2, seed)
    net, description = decided_unet(), described(grid="native" if tiles else "zoom0", size=24)
    one, many = (
        Predictor(net, description, precision="fp32", batch=b).predict(image, probabilities=True) for b in (1, batch)
    )
    second, first = np.sort(one.probabilities, axis=0)[-2:]
    assert (one.labels == many.labels)[first != second].all()  # equal in float16, 0.0005 apart at most


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_slices_alone_are_as_in_their_volume(precision):
    image = volume((40, 40, 7), 2)
    image.array[:2, 0] = np.array([[-9.0], [9.0]])  # the same range in every slice
    predictor = Predictor(decided_unet(), described(), precision=precision)
    whole = predictor.predict(image)
    for number in range(7):
        part = Image(image.array[:, :, number : number + 1], volume((40, 40, 1), 2).grid)
        assert (predictor.predict(part).labels[:, :, 0] == whole.labels[:, :, number]).all()


def test_bfloat16_disagrees_near_borders_only():
    image = volume((64, 64, 6), 2)
    full, half = (Predictor(decided_unet(), described(size=64), precision=p).predict(image) for p in ("fp32", "bf16"))
    assert (full.labels == half.labels).mean() > 0.97


def test_probabilities_sum_to_one_and_uncertainty_is_their_entropy():
    prediction = Predictor(decided_unet(), described()).predict(
        volume((33, 35, 2), 2), probabilities=True, uncertainty=True
    )
    chances = prediction.probabilities.astype(np.float64)
    np.testing.assert_allclose(chances.sum(0), 1, atol=3e-3)
    entropy = -(chances * np.log(np.maximum(chances, 1e-12))).sum(0) / math.log(4)
    np.testing.assert_allclose(prediction.uncertainty, entropy, atol=5e-3)
    assert prediction.uncertainty.min() >= 0
    assert prediction.uncertainty.max() <= 1


def test_a_batch_is_a_bound_and_nothing_is_predicted_twice():
    net = ByBrightness(4)
    Predictor(net, described(), batch=3).predict(volume((32, 32, 8), 2))
    assert net.calls == [3, 3, 2]


def test_a_net_in_training_stays_in_training_and_gets_no_gradient():
    net = decided_unet().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    image = volume((32, 32, 2), 2)
    first, second = (Predictor(net, described()).predict(image).labels for _ in range(2))
    assert net.training
    assert (first == second).all(), "no dropout"
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_another_number_of_channels_is_refused():
    with pytest.raises(InputError, match="another number of channels") as caught:
        Predictor(ByBrightness(4), described()).predict(flat((20, 20, 3)))
    assert caught.value.expected == "1 (MRI)"


def test_values_that_the_normalisation_does_not_take_are_refused():
    with pytest.raises(InputError, match="8-bit"):
        Predictor(ByBrightness(4), described(normalisation="unit")).predict(volume((20, 20, 2), 2))


def test_an_empty_batch_is_refused():
    with pytest.raises(InputError, match="at least one slice"):
        Predictor(ByBrightness(4), described(), batch=0)


@pytest.mark.parametrize("name", ["cuda:99", "xpu", "toaster", "meta:0:1"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(InputError, match="no such device") as caught:
        choose_device(name)
    assert caught.value.received == name


def test_devices_and_precisions_by_name():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device().type in ("cpu", "cuda")
    assert choose_precision("fp32", torch.device("cpu")) == "fp32"
    assert choose_precision("auto", torch.device("cpu")) in ("fp32", "bf16")
    assert choose_precision("auto", torch.device("mps")) == "fp32"


@pytest.mark.parametrize(("slices", "columns"), [(2, 1), (1, 2), (0, 2)])
def test_the_border_is_background_and_certain(slices, columns):
    shape = tuple(np.insert([40, 40], slices, 3))
    image = volume(shape, slices)
    wanted = {"probabilities": True, "uncertainty": True}
    free = Predictor(ByBrightness(4), described()).predict(image, **wanted)
    found = Predictor(ByBrightness(4), described(), border=0.2).predict(image, **wanted)
    inside = np.zeros(shape, bool)
    inside[(slice(None),) * columns + (slice(8, 32),)] = True
    assert (free.labels[~inside] != 0).any()
    assert (found.labels == np.where(inside, free.labels, 0)).all()
    assert (found.uncertainty == np.where(inside, free.uncertainty, 0)).all()
    certain = np.zeros_like(free.probabilities)
    certain[0] = 1
    assert (found.probabilities == np.where(inside, free.probabilities, certain)).all()


@pytest.mark.parametrize("grid", ["zoom0", "native"])
def test_the_border_of_a_flat_image_is_columns(grid):
    image = flat((50, 30))
    as_described = described(normalisation="unit", grid=grid)
    free = Predictor(ByBrightness(4), as_described).predict(image).labels
    found = Predictor(ByBrightness(4), as_described, border=0.1).predict(image).labels
    expected = free.copy()
    expected[:, :3] = expected[:, 27:] = 0
    assert (found == expected).all()
    assert (free != expected).any()


@pytest.mark.parametrize("share", [-0.1, 0.5, math.nan])
def test_a_border_that_leaves_nothing_is_refused(share):
    with pytest.raises(InputError, match="leave nothing"):
        Predictor(ByBrightness(4), described(), border=share)
