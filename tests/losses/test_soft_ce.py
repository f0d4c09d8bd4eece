from __future__ import annotations

import math

import pytest
import torch

from pointillist.losses import partial_ce, soft_ce
from pointillist.types import IGNORE


def case(b=2, k=3, h=4, w=5):
    g = torch.Generator().manual_seed(0)
    z = torch.randn(b, k, h, w, generator=g, dtype=torch.float64)
    t = torch.rand(b, k, h, w, generator=g, dtype=torch.float64) / k
    return z.requires_grad_(), t * (torch.rand(b, 1, h, w, generator=g) > 0.5)


def test_equal_to_the_equation():
    z, t = case()
    total, weight = 0.0, 0.0
    for n, row, column in torch.cartesian_prod(*map(torch.arange, (2, 4, 5))).tolist():
        scores, shares = z[n, :, row, column].tolist(), t[n, :, row, column].tolist()
        log_sum = math.log(sum(map(math.exp, scores)))
        total -= sum(share * (score - log_sum) for share, score in zip(shares, scores, strict=True))
        weight += sum(shares)
    assert soft_ce(z, t).item() == pytest.approx(total / weight, rel=1e-12)
    assert soft_ce(z, t, reduction="sum").item() == pytest.approx(total, rel=1e-12)
    assert torch.autograd.gradcheck(lambda z: soft_ce(z, t), (z,))


def test_by_hand():
    z = torch.tensor([[[math.log(3), 7.0], [0.0, 9.0]]])  # P = (3/4, 1/4), and a pixel without weight
    t = torch.tensor([[[0.5, 0.0], [0.25, 0.0]]])
    assert soft_ce(z, t).item() == pytest.approx((0.5 * math.log(4 / 3) + 0.25 * math.log(4)) / 0.75)


def test_one_hot_on_marks_is_partial_cross_entropy():
    z, _ = case()
    y = torch.randint(0, 3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    y[:, 1:3] = IGNORE
    one_hot = (y[:, None] == torch.arange(3).view(-1, 1, 1)).double()
    torch.testing.assert_close(soft_ce(z, one_hot), partial_ce(z, y))


def test_over_all_pixels_it_is_the_public_formulation():
    z, t = case()
    public = -(t * (z.softmax(1) + 1e-12).log()).sum(1).mean()
    torch.testing.assert_close(soft_ce(z, t, reduction="sum") / t[:, 0].numel(), public)


def test_logits_without_weight_are_not_read():
    z, t = case()
    idle = t.sum(1, keepdim=True) == 0
    dirty = z.detach().masked_fill(idle, float("nan")).requires_grad_()
    value = soft_ce(dirty, t)
    value.backward()
    torch.testing.assert_close(value, soft_ce(z, t))
    assert (dirty.grad.masked_select(idle) == 0).all()


def test_no_weight_gives_zero_connected_to_the_graph():
    z, t = case()
    value = soft_ce(z, t * 0)
    value.backward()
    assert value.item() == 0
    assert (z.grad == 0).all()


def test_the_target_takes_no_gradient():
    z, t = case()
    soft_ce(z, t.requires_grad_()).backward()
    assert t.grad is None


def test_wrong_inputs_are_named():
    z, t = case()
    with pytest.raises(ValueError, match=r"target must be a floating tensor \(2, 3, 4, 5\), got torch.float64 \(2, 3"):
        soft_ce(z, t[..., :4])
    with pytest.raises(ValueError, match="target must be a floating tensor"):
        soft_ce(z, t.long())
    with pytest.raises(ValueError, match="reduction must be"):
        soft_ce(z, t, reduction="none")
