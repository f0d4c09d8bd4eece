from __future__ import annotations

import math

import pytest
import torch

from pointillist.losses import total_variation

EPS = 1e-3


def example(k=3, shape=(5, 6), dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    return torch.randn(2, k, *shape, generator=g, dtype=dtype).softmax(1).requires_grad_()


def from_the_equation(p, isotropic):
    b, k, h, w = p.shape
    total = 0.0
    for n, c, y, x in ((n, c, y, x) for n in range(b) for c in range(1, k) for y in range(h) for x in range(w)):
        down = p[n, c, y + 1, x] - p[n, c, y, x] if y + 1 < h else 0.0
        right = p[n, c, y, x + 1] - p[n, c, y, x] if x + 1 < w else 0.0
        total = total + ((down**2 + right**2 + EPS**2) ** 0.5 - EPS if isotropic else abs(down) + abs(right))
    return total / (b * (k - 1) * h * w)


def square(side, size=16, at=4):
    """One class besides the background, a square of ones."""
    p = torch.zeros(1, 2, size, size, dtype=torch.float64)
    p[:, 1, at : at + side, at : at + side] = 1
    p[:, 0] = 1 - p[:, 1]
    return p


@pytest.mark.parametrize("isotropic", [False, True])
def test_value_and_gradient_equal_the_equation(isotropic):
    p = example()
    value, slow = total_variation(p, isotropic=isotropic, eps=EPS), from_the_equation(p, isotropic)
    torch.testing.assert_close(value, slow, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(x, p)[0] for x in (value, slow)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


def test_by_hand():
    p = torch.tensor([[[0.4, 0.1], [0.1, 0.3]], [[0.6, 0.9], [0.9, 0.7]]]).unsqueeze(0)
    # the foreground's four pairs differ by 0.3, 0.2, 0.3 and 0.2; 4 pixels
    assert total_variation(p).item() == pytest.approx(1.0 / 4)


@pytest.mark.parametrize("side", [1, 2, 3, 7])
def test_a_square_has_its_circumference(side):
    p = square(side)
    assert total_variation(p).item() * 16**2 == pytest.approx(4 * side)
    # the corner pixel inside, bottom right, has both differences: √2 instead of 2
    round_corner = 4 * side - 2 + math.sqrt(2)
    assert total_variation(p, isotropic=True, eps=1e-9).item() * 16**2 == pytest.approx(round_corner)


@pytest.mark.parametrize("isotropic", [False, True])
def test_a_constant_prediction_costs_exactly_nothing(isotropic):
    p = torch.tensor([0.2, 0.3, 0.5]).view(1, 3, 1, 1).expand(2, 3, 5, 6)
    assert total_variation(p, isotropic=isotropic, eps=EPS).item() == 0


def test_the_background_and_the_images_border_do_not_count():
    p = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    other = p.clone()
    other[:, 0] = 7
    assert torch.equal(total_variation(p), total_variation(other))
    assert total_variation(square(16, at=0)).item() == 0


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("shape", [(7,), (4, 5), (3, 4, 5)])
def test_gradcheck_in_any_dimension(isotropic, shape):
    p = example(shape=shape)
    assert torch.autograd.gradcheck(lambda p: total_variation(p, isotropic=isotropic), (p,))


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (2, 3, 1, 1)])
def test_nothing_to_vary_gives_zero_connected_to_the_graph(isotropic, shape):
    p = torch.ones(shape, requires_grad=True)
    value = total_variation(p, isotropic=isotropic)
    value.backward()
    assert value.item() == 0
    assert (p.grad == 0).all()


@pytest.mark.parametrize("isotropic", [False, True])
def test_flat_predictions_have_finite_gradients(isotropic):
    p = square(4).requires_grad_()
    total_variation(p, isotropic=isotropic, eps=1e-9).backward()
    assert p.grad.isfinite().all()


def test_layout_and_bfloat16():
    exact = total_variation(example(dtype=torch.float32))
    last = example(dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(total_variation(last), exact)
    with torch.autocast("cpu", torch.bfloat16):
        value = total_variation(last.bfloat16())
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=1e-2, atol=0)


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="probabilities must be a floating tensor"):
        total_variation(torch.zeros(1, 2, 3, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="eps must be positive, got 0"):
        total_variation(torch.zeros(1, 2, 3, 3), eps=0)
