from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import certain_pixels, soft_consistency


@pytest.fixture
def given():
    g = torch.Generator().manual_seed(0)
    z, other = (torch.randn(2, 4, 3, 5, generator=g, dtype=torch.float64) for _ in range(2))
    return z.requires_grad_(), (3 * other).softmax(1), torch.rand(2, 3, 5, generator=g) > 0.4


def from_the_equation(z, q, mask):
    total, count = 0.0, 0
    for n, row, column in mask.nonzero().tolist():
        powers = [math.exp(s) for s in z[n, :, row, column].tolist()]
        p = [x / sum(powers) for x in powers]
        total += sum((a - b) ** 2 for a, b in zip(p, q[n, :, row, column].tolist(), strict=True)) / len(p)
        count += 1
    return total, count


def public(z, teacher, uncertainty, threshold):
    """What WSL4MIS computes, from logits of student and teacher and a map of entropies."""
    certain = (uncertainty < threshold).float().unsqueeze(1)
    distance = (F.softmax(z, dim=1) - F.softmax(teacher, dim=1)) ** 2
    return torch.sum(certain * distance) / (2 * torch.sum(certain) + 1e-16)


def test_equal_to_the_equation(given):
    total, count = from_the_equation(*given)
    assert soft_consistency(*given).item() == pytest.approx(total / count, rel=1e-12)
    assert soft_consistency(*given, reduction="sum").item() == pytest.approx(total, rel=1e-12)


def test_by_hand():
    z = torch.tensor([[[math.log(3), 0.0], [0.0, 9.0]]])  # P = (3/4, 1/4) in the first pixel
    q = torch.tensor([[[0.25, 0.0], [0.75, 1.0]]])
    first = torch.tensor([[True, False]])
    assert soft_consistency(z, q, first).item() == pytest.approx(0.25)  # (½² + ½²) / 2
    assert soft_consistency(z, q, first & False).item() == 0


def test_literal_is_the_public_formulation_and_differs(given):
    z, q, _ = given
    teacher, expected = q.log(), q.flip(2)
    uncertainty = -(expected * torch.log(expected + 1e-6)).sum(1)
    certain = certain_pixels(expected, 0.9, literal=True)
    assert 0 < certain.float().mean() < 1
    literal = soft_consistency(z, teacher.softmax(1), certain, literal=True)
    assert literal.item() == pytest.approx(public(z, teacher, uncertainty, 0.9 * math.log(2)).item(), rel=1e-12)
    ours = soft_consistency(z, teacher.softmax(1), certain)
    assert ours.item() == pytest.approx(literal.item() / 2, rel=1e-12)  # K = 4 in place of 2


def test_both_sides_are_pinned(given):
    assert soft_consistency(*given).item() == pytest.approx(0.144305760010, rel=1e-9)
    assert soft_consistency(*given, literal=True).item() == pytest.approx(0.288611520021, rel=1e-9)


def test_gradient_equals_finite_differences_and_spares_the_target(given):
    z, q, mask = given
    q.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: soft_consistency(z, q.detach(), mask), (z,))
    soft_consistency(z, q, mask).backward()
    assert q.grad is None
    assert (z.grad.movedim(1, -1)[~mask] == 0).all()


def test_equal_predictions_cost_nothing_and_opposite_ones_most():
    z = torch.tensor([[[40.0], [-40.0], [-40.0]]])
    everywhere = torch.tensor([[True]])
    assert soft_consistency(z, z.softmax(1), everywhere).item() == 0
    assert soft_consistency(z, z.flip(1).softmax(1), everywhere).item() == pytest.approx(2 / 3)


def test_wrong_inputs_are_named(given):
    z, q, mask = given
    with pytest.raises(ValueError, match=r"target must be floating and shaped as logits, \(2, 4, 3, 5\)"):
        soft_consistency(z, q[:, :2], mask)
    with pytest.raises(ValueError, match="target must be floating"):
        soft_consistency(z, torch.zeros(z.shape, dtype=torch.long), mask)
    with pytest.raises(ValueError, match=r"mask must be a Boolean tensor \(2, 3, 5\)"):
        soft_consistency(z, q, mask.float())
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum', got 'none'"):
        soft_consistency(z, q, mask, reduction="none")
