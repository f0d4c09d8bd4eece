from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import partial_ce
from pointillist.types import IGNORE


def from_the_equation(z, y):
    terms = []
    for n, row, column in (y != IGNORE).nonzero().tolist():
        scores = z[n, :, row, column].tolist()
        terms.append(math.log(sum(math.exp(s) for s in scores)) - scores[y[n, row, column]])
    return sum(terms) / len(terms)


def example(labelled):
    g = torch.Generator().manual_seed(0)
    z, y = torch.randn(2, 4, 6, 7, generator=g, dtype=torch.float64), torch.randint(0, 4, (2, 6, 7), generator=g)
    y[torch.rand(2, 6, 7, generator=g) >= labelled] = IGNORE
    return z.requires_grad_(), y


@pytest.mark.parametrize("labelled", [0.05, 0.5, 1.0])
def test_equal_to_the_equation(labelled):
    z, y = example(labelled)
    assert partial_ce(z, y).item() == pytest.approx(from_the_equation(z, y), rel=1e-12)


def test_by_hand():
    z = torch.tensor([[[0.0, math.log(3), 7.0], [0.0, 0.0, -2.0]]])  # one row of three pixels, two classes
    y = torch.tensor([[0, 1, IGNORE]])
    # P = (1/2, 1/2) labelled 0, (3/4, 1/4) labelled 1: mean of ln 2 and ln 4
    assert partial_ce(z, y).item() == pytest.approx(1.5 * math.log(2))
    assert partial_ce(z, y, reduction="sum").item() == pytest.approx(3 * math.log(2))


def test_a_fully_labelled_batch_gives_dense_cross_entropy():
    z, y = example(1.0)
    torch.testing.assert_close(partial_ce(z, y), F.cross_entropy(z, y))


def test_unlabelled_pixels_get_a_gradient_of_exactly_zero():
    z, y = example(0.3)
    partial_ce(z, y).backward()
    unlabelled = (y == IGNORE).unsqueeze(1).expand_as(z)
    assert (z.grad[unlabelled] == 0).all()
    assert (z.grad[~unlabelled] != 0).all()


def test_the_mean_is_over_the_batch_not_over_images():
    z, y = example(0.5)
    y[0] = IGNORE
    torch.testing.assert_close(partial_ce(z, y), partial_ce(z[1:], y[1:]))


def test_certain_and_right_costs_nothing_certain_and_wrong_the_margin():
    z = torch.tensor([1e4, -1e4]).view(1, 2, 1)
    assert partial_ce(z, torch.tensor([[0]])).item() == 0
    assert partial_ce(z, torch.tensor([[1]])).item() == 2e4


def test_unknown_reductions_are_refused():
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum', got 'median'"):
        partial_ce(*example(0.5), reduction="median")
