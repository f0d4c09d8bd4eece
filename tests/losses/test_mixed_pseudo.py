from __future__ import annotations

import pytest
import torch

from pointillist.losses import mixed_pseudo, mixed_pseudo_label, partial_dice


@pytest.fixture
def branches():
    g = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 4, 5, generator=g, dtype=torch.float64).softmax(1).requires_grad_() for _ in range(2)]


def from_the_equation(first, second, alpha):
    label = torch.zeros(2, 4, 5, dtype=torch.long)
    for n in range(2):
        for row in range(4):
            for column in range(5):
                mix = [
                    alpha * first[n, k, row, column].item() + (1 - alpha) * second[n, k, row, column].item()
                    for k in range(3)
                ]
                label[n, row, column] = mix.index(max(mix))
    dice = 0.0
    for p in (first, second):
        for k in range(3):
            truth = (label == k).double()
            dice += 1 - (2 * (p[:, k] * truth).sum() + 1e-5) / ((p[:, k] ** 2).sum() + truth.sum() + 1e-5)
    return label, dice.item() / 6


@pytest.mark.parametrize("alpha", [0, 0.25, 0.7, 1, torch.tensor(0.4)])
def test_equal_to_the_equation(branches, alpha):
    label, value = from_the_equation(*branches, float(alpha))
    assert torch.equal(mixed_pseudo_label(*branches, alpha), label)
    assert mixed_pseudo(*branches, alpha).item() == pytest.approx(value, rel=1e-12)


def test_by_hand():
    first, second = torch.tensor([[[0.6], [0.4]]]), torch.tensor([[[0.1], [0.9]]])
    # α = 0.9: mix (.55, .45) → class 0. Dice of P₁: 1 − 1.2/1.36 and 1; of P₂: 1 − 0.2/1.01 and 1
    assert mixed_pseudo_label(first, second, 0.9).tolist() == [[0]]
    expected = ((1 - 1.2 / 1.36 + 1) / 2 + (1 - 0.2 / 1.01 + 1) / 2) / 2
    assert mixed_pseudo(first, second, 0.9).item() == pytest.approx(expected, abs=1e-4)
    assert mixed_pseudo_label(first, second, 0.5).tolist() == [[1]]


def test_the_ends_select_a_branch(branches):
    first, second = branches
    assert torch.equal(mixed_pseudo_label(first, second, 1), first.argmax(1))
    assert torch.equal(mixed_pseudo_label(first, second, 0), second.argmax(1))


def test_two_equal_one_hot_branches_cost_nothing():
    p = torch.nn.functional.one_hot(torch.tensor([[0, 2, 1, 1]]), 3).movedim(-1, 1).float()
    assert mixed_pseudo(p, p, 0.37).item() == 0


def test_no_gradient_passes_through_the_label(branches):
    first, second = branches
    label = mixed_pseudo_label(first, second, 0.6)
    assert not label.requires_grad
    mixed_pseudo(first, second, 0.6).backward()
    for branch in branches:
        (alone,) = torch.autograd.grad(partial_dice(branch, label) / 2, branch)
        torch.testing.assert_close(branch.grad, alone)


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_alpha_out_of_range_is_refused(branches, alpha):
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\]"):
        mixed_pseudo(*branches, alpha)


def test_predictions_of_different_shapes_are_refused(branches):
    with pytest.raises(ValueError, match="both predictions must have one shape"):
        mixed_pseudo(branches[0], branches[1][:, :2], 0.5)
