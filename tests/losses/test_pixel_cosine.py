from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import pixel_cosine


def pair():
    g = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 2, 3, 4, 5, generator=g, dtype=torch.float64)
    return a.requires_grad_(), b.requires_grad_(), torch.rand(2, 4, 5, generator=g) > 0.4


def from_the_equation(a, b, mask):
    values = []
    for n, row, column in mask.nonzero().tolist():
        u, v = a[n, :, row, column].tolist(), b[n, :, row, column].tolist()
        dot = sum(x * y for x, y in zip(u, v, strict=True))
        values.append(1 - dot / math.hypot(*u) / math.hypot(*v))
    return sum(values) / len(values)


def test_equal_to_the_equation():
    a, b, mask = pair()
    assert pixel_cosine(a, b, mask).item() == pytest.approx(from_the_equation(a, b, mask), rel=1e-12)
    assert pixel_cosine(a, b).item() == pytest.approx(from_the_equation(a, b, mask | True), rel=1e-12)
    total = pixel_cosine(a, b, mask, reduction="sum").item()
    assert total == pytest.approx(from_the_equation(a, b, mask) * mask.sum().item(), rel=1e-12)
    assert torch.autograd.gradcheck(lambda a, b: pixel_cosine(a, b, mask), (a, b))


def test_by_hand():
    a = torch.tensor([[[3.0, 1.0, 0.0], [4.0, 0.0, 0.0]]])
    b = torch.tensor([[[4.0, 2.0, 1.0], [3.0, 0.0, 1.0]]])  # cosines 24/25, 1 and, with a vector of zeros, 0
    assert pixel_cosine(a, b).item() == pytest.approx((1 / 25 + 0 + 1) / 3, abs=1e-6)


def test_it_is_the_public_formulation_over_all_pixels():
    a, b, mask = pair()
    a = a * mask[:, None]  # cut-outs leave vectors of zeros
    torch.testing.assert_close(pixel_cosine(a, b), 1 - F.cosine_similarity(a, b, dim=1).mean())


def test_vectors_of_zeros_have_finite_gradients():
    a = torch.zeros(1, 3, 2, requires_grad=True)
    b = torch.zeros(1, 3, 2, requires_grad=True)
    value = pixel_cosine(a, b)
    value.backward()
    assert value.item() == 1
    assert a.grad.isfinite().all()


def test_an_empty_mask_gives_zero_connected_to_the_graph():
    a, b, mask = pair()
    value = pixel_cosine(a, b, mask & False)
    value.backward()
    assert value.item() == 0
    assert (a.grad == 0).all()


def test_wrong_inputs_are_named():
    a, b, mask = pair()
    with pytest.raises(
        ValueError, match=r"both predictions must have one shape, got \(2, 3, 4, 5\) and \(2, 3, 4, 4\)"
    ):
        pixel_cosine(a, b[..., :4])
    with pytest.raises(ValueError, match="mask must be a Boolean tensor"):
        pixel_cosine(a, b, mask.float())
    with pytest.raises(ValueError, match="reduction must be"):
        pixel_cosine(a, b, reduction="none")
    with pytest.raises(ValueError, match="second must be a floating tensor"):
        pixel_cosine(a, b.long())
