from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import contour


def example(b=3, k=3, shape=(7, 6), dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    return torch.randn(b, k, *shape, generator=g, dtype=dtype).softmax(1).requires_grad_()


def from_the_equation(p):
    """Mean of C over all channels of p."""
    *_, h, w = p.shape
    window = {
        (y, x): [(v, u) for v in range(max(y - 1, 0), min(y + 2, h)) for u in range(max(x - 1, 0), min(x + 2, w))]
        for y in range(h)
        for x in range(w)
    }
    total = 0.0
    for plane in p.flatten(0, 1):
        eroded = {at: torch.stack([plane[near] for near in window[at]]).min() for at in window}
        for at in window:
            dilated = torch.stack([eroded[near] for near in window[at]]).max()
            total = total + torch.relu(dilated - eroded[at])
    return total / p.numel()


def pooled(p):
    """The public form."""
    eroded = -F.max_pool2d(-p, 3, 1, 1)
    return torch.relu(F.max_pool2d(eroded, 3, 1, 1) - eroded).mean()


def rectangle(height, width, at=(5, 5), size=20):
    p = torch.zeros(1, 2, size, size, dtype=torch.float64)
    p[:, 1, at[0] : at[0] + height, at[1] : at[1] + width] = 1
    p[:, 0] = 1 - p[:, 1]
    return p


def length(p):
    return contour(p).item() * p[:, 1:].numel()


def agree(value, other, p):
    torch.testing.assert_close(value, other, rtol=1e-12, atol=1e-15)
    gradients = [torch.autograd.grad(x, p)[0] for x in (value, other)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


def test_value_and_gradient_equal_the_equation():
    p = example()
    agree(contour(p), from_the_equation(p[:, 1:]), p)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (2, 2), (40, 33)])
def test_value_and_gradient_equal_pooling(shape):
    p = example(shape=shape)
    agree(contour(p), pooled(p[:, 1:]), p)


def test_by_hand():
    p = torch.zeros(1, 2, 1, 5)
    p[0, 1, 0] = torch.tensor([0.9, 0.8, 0.7, 0.2, 0.1])
    # eroded .8 .7 .2 .1 .1, dilated .8 .8 .7 .2 .1: C = 0 .1 .5 .1 0
    assert contour(p).item() == pytest.approx(0.7 / 5)


@pytest.mark.parametrize("side", [3, 4, 5, 9])
def test_a_square_has_its_inner_boundary(side):
    assert length(rectangle(side, side)) == pytest.approx(4 * side - 4)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("height", [1, 2, 9])
def test_what_is_two_pixels_wide_costs_nothing(height, width):
    assert length(rectangle(height, width)) == 0
    assert length(rectangle(width, height)) == 0


def test_there_is_no_contour_along_the_images_border():
    assert length(rectangle(4, 4, at=(0, 0))) == pytest.approx(2 * 4 - 1)
    assert length(rectangle(4, 4, at=(16, 5))) == pytest.approx(3 * 4 - 2)
    assert length(rectangle(20, 20, at=(0, 0))) == 0


def test_the_reading_leaves_out_the_background_and_the_literal_form_the_first_image():
    p = example()
    agree(contour(p), pooled(p[:, 1:]), p)
    agree(contour(p, literal=True), pooled(p[1:]), p)
    assert contour(p).item() == pytest.approx(0.047015, abs=1e-6)
    assert contour(p, literal=True).item() == pytest.approx(0.052861, abs=1e-6)
    background, first = torch.autograd.grad(contour(p), p)[0][:, 0], torch.autograd.grad(contour(p, literal=True), p)[0]
    assert (background == 0).all()
    assert (first[0] == 0).all()
    assert (first[1:, 0] != 0).any()


@pytest.mark.parametrize(("shape", "literal"), [((1, 3, 4, 5), True), ((2, 1, 4, 5), False)])
def test_nothing_left_gives_zero_connected_to_the_graph(shape, literal):
    p = torch.rand(shape, requires_grad=True)
    value = contour(p, literal=literal)
    value.backward()
    assert value.item() == 0
    assert (p.grad == 0).all()


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("shape", [(9,), (5, 6), (3, 4, 5)])
def test_gradcheck_in_any_dimension(literal, shape):
    p = example(b=2, shape=shape)
    assert torch.autograd.gradcheck(lambda p: contour(p, literal=literal), (p,), eps=1e-8, atol=1e-5)


def test_a_saturated_prediction_is_pulled_as_a_whole_and_by_as_much():
    p = rectangle(5, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(contour(p), p)
    assert gradient.isfinite().all()
    # every contour pixel adds a pull of one up on the inside, and down on the outside, of the boundary
    assert gradient[p == 1].sum() * p[:, 1].numel() == pytest.approx(16)
    assert gradient.sum() == pytest.approx(0, abs=1e-12)


def test_ties_pull_at_nobody_off_the_contour():
    p = rectangle(9, 9).requires_grad_()
    (gradient,) = torch.autograd.grad(contour(p), p)
    away = torch.zeros_like(p, dtype=torch.bool)
    away[..., 8:11, 8:11] = away[..., :3] = True  # further than two pixels from the boundary
    assert (gradient[away] == 0).all()


def test_layout_and_bfloat16():
    exact = contour(example(dtype=torch.float32))
    last = example(dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(contour(last), exact)
    with torch.autocast("cpu", torch.bfloat16):
        value = contour(last.bfloat16())
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=2e-2, atol=0)


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="probabilities must be a floating tensor"):
        contour(torch.zeros(1, 2, 3, 3, dtype=torch.long))
