from __future__ import annotations

import math

import pytest
import torch

from pointillist.losses import entropy


def from_the_equation(z, mask):
    values = []
    for n, row, column in mask.nonzero().tolist():
        powers = [math.exp(s) for s in z[n, :, row, column].tolist()]
        p = [x / sum(powers) for x in powers]
        values.append(-sum(x * math.log(x) for x in p) / math.log(len(p)))
    return sum(values) / len(values)


@pytest.fixture
def logits():
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()


def test_equal_to_the_equation(logits):
    mask = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(1)) > 0.4
    assert entropy(logits, mask).item() == pytest.approx(from_the_equation(logits, mask), rel=1e-12)
    assert entropy(logits).item() == pytest.approx(from_the_equation(logits, torch.ones_like(mask)), rel=1e-12)


def test_by_hand():
    z = torch.tensor([[[math.log(3)], [0.0]]])  # P = (3/4, 1/4): H = 2 ln 2 − (3/4) ln 3
    assert entropy(z).item() == pytest.approx(2 - 0.75 * math.log2(3))


@pytest.mark.parametrize("classes", [2, 4, 11])
def test_uniform_is_one_and_one_hot_is_zero(classes):
    assert entropy(torch.zeros(1, classes, 3)).item() == pytest.approx(1, rel=1e-6)
    certain = torch.full((1, classes, 3), -1e4)
    certain[:, 0] = 1e4
    assert entropy(certain).item() == 0


def test_gradient_in_closed_form(logits):
    entropy(logits).backward()
    p = logits.detach().softmax(1)
    h = -(p * p.log()).sum(1, keepdim=True)
    torch.testing.assert_close(logits.grad, -p * (p.log() + h) / (2 * 4 * 5 * math.log(3)))


def test_wrong_inputs_are_named(logits):
    with pytest.raises(ValueError, match="entropy needs at least 2 classes"):
        entropy(torch.zeros(1, 1, 3))
    with pytest.raises(ValueError, match=r"mask must be a Boolean tensor \(2, 4, 5\), got torch.float32 \(2, 4, 5\)"):
        entropy(logits, torch.ones(2, 4, 5))
    with pytest.raises(ValueError, match=r"mask must be a Boolean tensor \(2, 4, 5\)"):
        entropy(logits, torch.ones(2, 5, 4, dtype=torch.bool))
