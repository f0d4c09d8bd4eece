from __future__ import annotations

import pytest
import torch

from pointillist.nets.window_attention import DropPath, WindowBlock, joined, regions, split

WINDOW = 4


def block_of(shift):
    torch.manual_seed(0)
    block = WindowBlock(6, 2, window=WINDOW, shift=shift).double()
    torch.nn.init.normal_(block.attention.offset_bias)
    return block


def reference(block, x, shift):
    """Every pixel with every other one of the plane, of which only those of its window count."""
    b, h, w, c = x.shape
    attention = block.attention
    shifts = [shift if side > WINDOW else 0 for side in (h, w)]
    rows, columns = (i.flatten() for i in torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
    window = [(i - s).div(WINDOW, rounding_mode="floor") for i, s in zip((rows, columns), shifts, strict=True)]
    seen = (window[0][:, None] == window[0]) & (window[1][:, None] == window[1])
    offset = (rows[:, None] - rows + WINDOW - 1) * (2 * WINDOW - 1) + columns[:, None] - columns + WINDOW - 1
    bias = attention.offset_bias[offset.clamp(0, len(attention.offset_bias) - 1)]
    y = block.before_attention(x).reshape(b, h * w, c)
    query, key, value = (part.reshape(b, h * w, 2, 3) for part in attention.query_key_value(y).split(c, dim=-1))
    scores = torch.einsum("bihd,bjhd->bijh", query, key) / 3**0.5 + bias
    shares = scores.masked_fill(~seen[..., None], -torch.inf).softmax(2)
    x = x + attention.out(torch.einsum("bijh,bjhd->bihd", shares, value).reshape(b, h, w, c))
    return x + block.perceptron(block.before_perceptron(x))


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(8, 12), (9, 6), (4, 10), (3, 2)])
def test_pixels_see_their_window_and_no_padding(size, shift):
    block = block_of(shift)
    x = torch.randn(2, *size, 6, dtype=torch.float64)
    torch.testing.assert_close(block(x), reference(block, x, shift))


def test_split_and_joined_are_inverse():
    x = torch.arange(2 * 8 * 12 * 3.0).view(2, 8, 12, 3)
    assert split(x, 4).shape == (2, 6, 16, 3)
    assert torch.equal(split(x, 4)[0, 1], x[0, :4, 4:8].reshape(16, 3))
    assert torch.equal(joined(split(x, 4), 4, (8, 12)), x)


def test_regions_by_hand():
    assert regions(6, 4, 0).tolist() == [0, 0, 0, 0, 0, 0, 2, 2]
    assert regions(8, 4, 2).tolist() == [0, 0, 0, 0, 0, 0, 1, 1]
    assert regions(6, 4, 2).tolist() == [0, 0, 0, 0, 2, 2, 1, 1]


def test_images_skip_a_path_in_training_alone():
    torch.manual_seed(0)
    path, x = DropPath(0.25), torch.ones(4000, 2, 3)
    y = path(x)
    kept = y[:, 0, 0] != 0
    assert (y[kept] == 1 / 0.75).all()
    assert (y[~kept] == 0).all()
    assert abs(kept.float().mean() - 0.75) < 0.03
    assert torch.equal(path.eval()(x), x)
