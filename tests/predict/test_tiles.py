from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference

from pointillist.data.image import Grid, Image
from pointillist.predict.predictor import Predictor
from pointillist.predict.tiles import tile_starts, tiled
from tests.predict.nets import ByBrightness, decided_unet, described


def pixelwise(images):
    """Two classes whose probabilities are the pixel's value and what lacks to 1."""
    value = torch.from_numpy(images).float().mean(1, keepdim=True)
    return torch.cat([value, 1 - value], dim=1)


def joined(image, tile, forward, batch=4):
    return torch.cat([band for _, band in tiled(image, tile, forward, batch)], dim=1)


@given(st.integers(1, 2000), st.integers(16, 300))
def test_tiles_cover_everything_and_overlap_by_a_quarter(extra, tile):
    length = tile + extra - 1
    starts = tile_starts(length, tile)
    assert starts[0] == 0
    assert starts[-1] == length - tile
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= np.ceil(tile * 0.75)).all()


@given(
    height=st.integers(1, 70), width=st.integers(1, 70), channels=st.integers(1, 3), tile=st.integers(16, 40),
    batch=st.integers(1, 5),
)  # fmt: skip
def test_where_no_pixel_sees_another_tiles_leave_no_trace(height, width, channels, tile, batch):
    image = np.random.default_rng(height * width).random((height, width, channels))
    bands = list(tiled(image, tile, pixelwise, batch))
    rows = [np.arange(height)[band] for band, _ in bands]
    assert np.concatenate(rows).tolist() == list(range(height))
    values = torch.cat([band for _, band in bands], dim=1)
    np.testing.assert_allclose(values[0], image.mean(-1), atol=1e-5)
    np.testing.assert_allclose(values.sum(0), 1, atol=1e-5)


def test_an_image_of_one_tile_is_one_forward_pass():
    image = np.random.default_rng(0).random((32, 32, 1))
    net = decided_unet()

    def forward(images):
        with torch.inference_mode():
            return net(torch.from_numpy(images).float()).logits.softmax(1)

    assert torch.equal(joined(image, 32, forward).argmax(0), forward(image.transpose(2, 0, 1)[None])[0].argmax(0))


def test_the_seams_agree_with_monais_sliding_window():
    image = np.random.default_rng(0).random((96, 80, 1))
    net = decided_unet()

    def forward(images):
        with torch.no_grad():
            return net(torch.as_tensor(images).float()).logits.softmax(1)

    ours = joined(image, 48, forward)
    theirs = sliding_window_inference(
        torch.from_numpy(image.transpose(2, 0, 1)[None]), (48, 48), 4, forward, overlap=0.25, mode="gaussian"
    )[0]
    assert (ours.argmax(0) == theirs.argmax(0)).float().mean() > 0.9


def test_no_seam_shows_where_the_context_suffices():
    """Tiles of a net that looks 2 pixels around agree with the whole image away from the rim of the tiles."""
    image = np.random.default_rng(0).random((90, 110, 1))
    kernel = torch.ones(1, 1, 5, 5) / 25

    def forward(images):
        value = torch.nn.functional.conv2d(torch.from_numpy(images).float(), kernel, padding=2)
        return torch.cat([value, 1 - value], dim=1)

    whole = forward(image.transpose(2, 0, 1)[None])[0, 0]
    difference = (joined(image, 40, forward)[0] - whole).abs()
    assert difference.max() < 0.02, "a tile's own rim, where the net sees padding, hardly counts"
    assert difference.median() < 1e-6


@pytest.mark.parametrize("shape", [(70, 50), (9, 100), (100, 9), (1, 1)])
def test_the_predictor_cuts_large_images_into_tiles(shape):
    array = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    description = described(channels=("R", "G", "B"), normalisation="unit", grid="native", size=32)
    predictor = Predictor(ByBrightness(4), description, precision="fp32", batch=3)
    labels = predictor.predict(Image(array, Grid(shape))).labels
    brightness = array.astype(np.float32).mean(-1) / 255 * 4
    clear = np.abs(brightness - np.round(brightness)) > 1e-3
    assert (labels == np.minimum(brightness, 3).astype(np.uint8))[clear].all()


def test_memory_does_not_grow_with_the_height():
    def peak(height):
        image = np.zeros((height, 64, 1), np.float32)
        live = []
        for _, band in tiled(image, 32, pixelwise, 2):
            live.append(band.untyped_storage().nbytes())
        return max(live)

    assert peak(2048) == peak(128)


def test_bands_are_handed_on_one_by_one():
    image = np.zeros((1024, 512, 1), np.float32)
    tracemalloc.start()
    for _, _ in tiled(image, 64, pixelwise, 2):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * image.nbytes
