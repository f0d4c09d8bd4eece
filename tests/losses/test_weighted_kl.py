from __future__ import annotations

import math

import pytest
import torch

from pointillist.losses import weighted_kl


def from_the_equation(z, u, mask):
    values = []
    for n, row, column in mask.nonzero().tolist():
        powers = [math.exp(s) for s in z[n, :, row, column].tolist()]
        p = [x / sum(powers) for x in powers]
        soft = u[n, :, row, column].tolist()
        h = -sum(x * math.log(x) for x in soft if x > 0)
        values.append(math.exp(-2 * h) * sum(x * math.log(x / y) for x, y in zip(soft, p, strict=True) if x > 0))
    return sum(values) / len(values)


@pytest.fixture
def example():
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(2, 3, 4, 5, generator=rng, dtype=torch.float64).requires_grad_()
    u = (3 * torch.randn(2, 3, 4, 5, generator=rng, dtype=torch.float64)).softmax(1)
    u[0, :, 0] = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)[:, None]
    return z, u, torch.rand(2, 4, 5, generator=rng) > 0.4


def test_equal_to_the_equation(example):
    z, u, mask = example
    assert weighted_kl(z, u, mask).item() == pytest.approx(from_the_equation(z, u, mask), rel=1e-12)
    whole = from_the_equation(z, u, torch.ones_like(mask))
    assert weighted_kl(z, u).item() == pytest.approx(whole, rel=1e-12)
    assert weighted_kl(z, u, reduction="sum").item() == pytest.approx(whole * 40, rel=1e-12)


def test_by_hand():
    z = torch.tensor([[[0.0], [math.log(3)]]])  # P = (1/4, 3/4)
    assert weighted_kl(z, torch.tensor([[[0.0], [1.0]]])).item() == pytest.approx(math.log(4 / 3))


def test_of_an_unsure_target_a_quarter_of_the_divergence_counts(example):
    z = example[0][:, :2]
    p = z.softmax(1)
    plain = (0.5 * (0.5 / p).log()).sum(1).mean()
    torch.testing.assert_close(weighted_kl(z, torch.full_like(z, 0.5)), plain / 4)


def test_it_is_0_at_the_target_and_more_elsewhere(example):
    z, u, _ = example
    assert weighted_kl(z, z.softmax(1)).abs().item() < 1e-15
    assert weighted_kl(u.clamp(min=1e-300).log(), u).abs().item() < 1e-15
    assert weighted_kl(z, u) > 0


def test_the_gradient_is_that_of_weighted_cross_entropy(example):
    z, u, _ = example
    (gradient,) = torch.autograd.grad(weighted_kl(z, u), z)
    h = -torch.xlogy(u, u).sum(1, keepdim=True)
    torch.testing.assert_close(gradient, (-2 * h).exp() * (z.detach().softmax(1) - u) / 40)


def test_it_descends_towards_the_target(example):
    """The paper's equation has a minus sign too many, with which a step would lead away."""
    z, u, _ = example
    (gradient,) = torch.autograd.grad(weighted_kl(z, u), z)
    assert ((z - gradient).softmax(1) - u).abs().sum() < (z.softmax(1) - u).abs().sum()


def test_the_target_takes_no_gradient(example):
    z, u, mask = example
    u = u.clone().requires_grad_()
    weighted_kl(z, u, mask).backward()
    assert u.grad is None


def test_wrong_inputs_are_named(example):
    z, u, mask = example
    with pytest.raises(ValueError, match=r"target must be a floating tensor \(2, 3, 4, 5\), got torch.float64"):
        weighted_kl(z, u[..., :4])
    with pytest.raises(ValueError, match="mask must be a Boolean tensor"):
        weighted_kl(z, u, mask.float())
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum', got 'none'"):
        weighted_kl(z, u, reduction="none")
