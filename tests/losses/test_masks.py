from __future__ import annotations

import pytest
import torch

from pointillist.losses import partial_ce
from pointillist.losses._masks import kept, one_hot, shielded
from pointillist.types import IGNORE


def case(dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 4, 5, generator=g, dtype=dtype)
    return x, torch.rand(2, 4, 5, generator=g) > 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kept_is_masked_fill_and_so_is_its_gradient(dtype):
    x, mask = case(dtype)
    dirty = x.masked_fill(~mask.unsqueeze(1), float("nan")).requires_grad_()
    clean = dirty.masked_fill(~mask.unsqueeze(1), 0)
    assert torch.equal(kept(dirty, mask), clean)
    ours, theirs = (torch.autograd.grad(y.square().sum(), dirty)[0] for y in (kept(dirty, mask), clean))
    assert torch.equal(ours[mask.unsqueeze(1).expand_as(x)], theirs[mask.unsqueeze(1).expand_as(x)])
    assert (ours[~mask.unsqueeze(1).expand_as(x)] == 0).all()


def test_shielded_changes_the_gradient_alone():
    x, mask = case()
    x[0, 0, 0, 0], mask[0, 0, 0] = float("nan"), False
    y = shielded(x.requires_grad_(), mask)
    torch.testing.assert_close(y, x, equal_nan=True)
    (gradient,) = torch.autograd.grad(y.exp().sum(), x)
    assert torch.equal(gradient, x.detach().exp().masked_fill(~mask.unsqueeze(1), 0))


@pytest.mark.parametrize("masked", [kept, lambda x, mask: shielded(x, mask).where(mask.unsqueeze(1), 0)])
def test_first_and_second_derivatives(masked):
    x, mask = case()
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: masked(x, mask).pow(3), (x,))
    assert torch.autograd.gradgradcheck(lambda x: masked(x, mask).pow(3), (x,))


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("label_type", [torch.uint8, torch.int64])
def test_one_hot(classes, label_type):
    label = torch.tensor([[[0, IGNORE], [classes - 1, 0]]], dtype=label_type)
    expected = torch.stack([label == k for k in range(classes)], 1)
    assert torch.equal(one_hot(label, classes, torch.float32), expected.float())


@pytest.mark.parametrize("strange", [-1, -256, 3, 254, 256, 257, 511, 2**40])
def test_no_label_that_is_a_class_in_its_last_byte_passes(strange):
    label = torch.tensor([[0, 1, 2, IGNORE, strange]])
    with pytest.raises(ValueError, match=f"label holds {strange},"):
        partial_ce(torch.zeros(1, 3, 5), label)


def test_an_empty_label_is_one():
    assert partial_ce(torch.zeros(1, 3, 0), torch.zeros(1, 0, dtype=torch.long)) == 0
