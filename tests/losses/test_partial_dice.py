from __future__ import annotations

import pytest
import torch

from pointillist.losses import partial_dice
from pointillist.types import IGNORE


def from_the_equation(p, y, smooth=1e-5):
    losses = []
    for k in range(p.shape[1]):
        shared = predicted = labelled = 0.0
        for n, row, column in (y != IGNORE).nonzero().tolist():
            value, truth = p[n, k, row, column].item(), float(y[n, row, column] == k)
            shared, predicted, labelled = shared + value * truth, predicted + value**2, labelled + truth
        losses.append(1 - (2 * shared + smooth) / (predicted + labelled + smooth))
    return sum(losses) / len(losses)


def example(labelled):
    g = torch.Generator().manual_seed(0)
    p = torch.randn(2, 4, 6, 7, generator=g, dtype=torch.float64).softmax(1)
    y = torch.randint(0, 4, (2, 6, 7), generator=g)
    y[torch.rand(2, 6, 7, generator=g) >= labelled] = IGNORE
    return p.requires_grad_(), y


@pytest.mark.parametrize("labelled", [0.05, 0.5, 1.0])
def test_equal_to_the_equation(labelled):
    p, y = example(labelled)
    assert partial_dice(p, y).item() == pytest.approx(from_the_equation(p, y), rel=1e-12)


def test_by_hand():
    p = torch.tensor([[[0.5, 1.0, 0.2], [0.5, 0.0, 0.8]]])
    y = torch.tensor([[0, 0, IGNORE]])
    # class 0: 2·1.5 / (0.25 + 1 + 2) = 12/13; class 1: 0 / 0.25; ε too small to see
    assert partial_dice(p, y, smooth=1e-12).item() == pytest.approx((1 / 13 + 1) / 2)


def test_a_perfect_one_hot_prediction_scores_zero_even_for_absent_classes():
    y = torch.tensor([[0, 1, 1, IGNORE]])
    p = torch.nn.functional.one_hot(y.clamp(max=2), 3).movedim(-1, 1).float()
    assert partial_dice(p, y).item() == 0


def test_a_totally_wrong_one_hot_prediction_scores_one():
    p = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert partial_dice(p, torch.tensor([[1, 0]])).item() == pytest.approx(1, abs=1e-5)


def test_sums_run_over_the_batch():
    p, y = example(0.5)
    torch.testing.assert_close(
        partial_dice(p, y),
        partial_dice(p.transpose(0, 1).flatten(1).view(1, 4, -1), y.view(1, -1)),
    )


def test_unlabelled_pixels_get_a_gradient_of_exactly_zero():
    p, y = example(0.3)
    partial_dice(p, y).backward()
    assert (p.grad[(y == IGNORE).unsqueeze(1).expand_as(p)] == 0).all()


@pytest.mark.parametrize("smooth", [0, -1, float("nan")])
def test_smoothing_must_be_positive(smooth):
    with pytest.raises(ValueError, match="smooth must be positive"):
        partial_dice(*example(0.5), smooth=smooth)
