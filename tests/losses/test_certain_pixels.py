from __future__ import annotations

import math

import pytest
import torch

from pointillist.losses import certain_pixels


def predictions(k=4):
    z = 2 * torch.randn(2, k, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return z.softmax(1)


def from_the_equation(p, threshold, eps=0.0):
    found = torch.zeros(p.shape[0], *p.shape[2:], dtype=torch.bool)
    for n, row, column in (torch.ones_like(found)).nonzero().tolist():
        values = p[n, :, row, column].tolist()
        found[n, row, column] = -sum(x * math.log(x + eps) for x in values) < threshold
    return found


@pytest.mark.parametrize("share", [0.3, 0.75, 1.0])
def test_equal_to_the_equation(share):
    p = predictions()
    assert torch.equal(certain_pixels(p, share), from_the_equation(p, share * math.log(4)))
    assert torch.equal(certain_pixels(p, share, literal=True), from_the_equation(p, share * math.log(2), 1e-6))


def test_by_hand():
    # entropies: ln 2 = 0.5 ln 4, 0, ln 4
    p = torch.tensor([[[0.5, 1.0, 0.25], [0.5, 0.0, 0.25], [0.0, 0.0, 0.25], [0.0, 0.0, 0.25]]])
    assert certain_pixels(p, 0.51).tolist() == [[True, True, False]]
    assert certain_pixels(p, 0.49).tolist() == [[False, True, False]]
    assert certain_pixels(p, 1.0).tolist() == [[True, True, False]]
    assert certain_pixels(p, 0.99, literal=True).tolist() == [[False, True, False]]


def test_the_two_readings_agree_on_two_classes_and_differ_on_four():
    two, four = predictions(2), predictions(4)
    assert torch.equal(certain_pixels(two, 0.8), certain_pixels(two, 0.8, literal=True))
    ours, literal = (certain_pixels(four, 0.8, literal=flag).sum().item() for flag in (False, True))
    assert (ours, literal) == (69, 20)


def test_more_is_certain_as_the_share_grows():
    p = predictions()
    counts = [certain_pixels(p, share).sum().item() for share in (0.2, 0.5, 0.75, 1.0)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] == p[:, 0].numel()


def test_class_order_dtype_and_gradient():
    p = predictions().float()
    assert torch.equal(certain_pixels(p[:, [2, 0, 3, 1]], 0.8), certain_pixels(p, 0.8))
    low = p.bfloat16()
    assert torch.equal(certain_pixels(low, 0.8), certain_pixels(low.float(), 0.8))
    assert not certain_pixels(p.requires_grad_(), 0.8).requires_grad


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="certainty needs at least 2 classes"):
        certain_pixels(torch.ones(1, 1, 3), 0.8)
    with pytest.raises(ValueError, match="share must be positive, got 0"):
        certain_pixels(predictions(), 0)
    with pytest.raises(ValueError, match="probabilities must be a floating tensor"):
        certain_pixels(torch.ones(1, 2, 3, dtype=torch.long), 0.8)
