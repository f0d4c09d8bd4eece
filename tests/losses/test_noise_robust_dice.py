from __future__ import annotations

import pytest
import torch

from pointillist.losses import noise_robust_dice, partial_dice
from pointillist.types import IGNORE


def case(k=3, share=0.5):
    g = torch.Generator().manual_seed(0)
    p = torch.rand(2, k, 4, 5, generator=g, dtype=torch.float64).softmax(1)
    y = torch.randint(0, k, (2, 4, 5), generator=g)
    y[torch.rand(2, 4, 5, generator=g) > share] = IGNORE
    return p.requires_grad_(), y


def from_the_equation(p, y, gamma, smooth=1e-5):
    total = 0.0
    for k in range(p.shape[1]):
        error, size = 0.0, smooth
        for n, row, column in (y != IGNORE).nonzero().tolist():
            one, mark = p[n, k, row, column].item(), float(y[n, row, column] == k)
            error, size = error + abs(one - mark) ** gamma, size + one + mark
        total += error / size
    return total / p.shape[1]


@pytest.mark.parametrize("gamma", [1, 1.5, 2])
def test_equal_to_the_equation(gamma):
    p, y = case()
    assert noise_robust_dice(p, y, gamma=gamma).item() == pytest.approx(from_the_equation(p, y, gamma), rel=1e-12)
    assert torch.autograd.gradcheck(lambda p: noise_robust_dice(p, y, gamma=gamma), (p,))


def test_by_hand():
    p = torch.tensor([[[0.75, 0.25], [0.25, 0.75]]])
    y = torch.tensor([[0, 0]])  # class 0: (1/8 + √27/8) / 3; class 1 the same errors over 1
    errors = 0.25**1.5 + 0.75**1.5
    assert noise_robust_dice(p, y).item() == pytest.approx((errors / 3 + errors / 1) / 2, rel=1e-4)


def test_one_hot_with_gamma_2_is_dice_with_squared_denominators():
    _, y = case(k=4)
    g = torch.Generator().manual_seed(3)
    p = torch.nn.functional.one_hot(torch.randint(0, 4, (2, 4, 5), generator=g), 4).permute(0, 3, 1, 2).double()
    torch.testing.assert_close(
        noise_robust_dice(p, y.clamp(max=IGNORE), gamma=2), partial_dice(p, y), atol=1e-5, rtol=0
    )


def test_on_dense_labels_it_is_the_public_formulation():
    p, y = case(share=1)
    truth = torch.nn.functional.one_hot(y, 3).reshape(-1, 3).double()
    flat = p.permute(0, 2, 3, 1).reshape(-1, 3)
    public = ((flat - truth).abs().pow(1.5).sum(0) / ((flat + truth).sum(0) + 1e-5)).mean()
    torch.testing.assert_close(noise_robust_dice(p, y), public)


def test_gradients_stay_finite_where_the_prediction_is_right():
    p = torch.eye(3)[None].requires_grad_()
    noise_robust_dice(p, torch.arange(3)[None]).backward()
    assert p.grad.isfinite().all()


def test_a_wrong_label_pulls_less_than_with_dice_of_squares():
    """The share of the gradient that one wrong label among many right ones has grows with γ."""
    p = torch.tensor([0.9] * 19 + [0.1], dtype=torch.float64)
    y = torch.zeros(1, 20, dtype=torch.long)
    shares = []
    for gamma in (1, 1.5, 2):
        q = torch.stack([p, 1 - p])[None].requires_grad_()
        noise_robust_dice(q, y, gamma=gamma).backward()
        pull = q.grad[0, 0].abs()
        shares.append((pull[-1] / pull.sum()).item())
    assert shares[0] < shares[1] < shares[2]


def test_wrong_inputs_are_named():
    p, y = case()
    for gamma in (0.9, 2.1, float("nan")):
        with pytest.raises(ValueError, match=r"gamma must lie in \[1, 2\]"):
            noise_robust_dice(p, y, gamma=gamma)
    with pytest.raises(ValueError, match="smooth must be positive"):
        noise_robust_dice(p, y, smooth=0)
    with pytest.raises(ValueError, match="label must be an integer tensor"):
        noise_robust_dice(p, y.double())
