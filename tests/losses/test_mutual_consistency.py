from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import mutual_consistency


def case(b=2, k=3, h=3, w=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(b, k, h, w, generator=g, dtype=torch.float64).requires_grad_() for _ in range(2))
    return first, second, torch.rand(b, h, w, generator=g) < 0.6


def shares(scores):
    total = sum(math.exp(x) for x in scores)
    return [math.exp(x) / total for x in scores]


def test_equal_to_the_equation():
    first, second, mask = case()
    total = 0.0
    for n, y, x in mask.nonzero().tolist():
        p, q = shares(first[n, :, y, x].tolist()), shares(second[n, :, y, x].tolist())
        total += sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / 3
    assert mutual_consistency(first, second, mask).item() == pytest.approx(total / int(mask.sum()), rel=1e-12)
    assert mutual_consistency(first, second, mask, reduction="sum").item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("literal", [False, True])
def test_both_sides_learn(literal):
    first, second, mask = case(b=1, h=2, w=2)
    assert torch.autograd.gradcheck(lambda a, b: mutual_consistency(a, b, mask, literal=literal), (first, second))
    mutual_consistency(first, second, mask, literal=literal).backward()
    assert first.grad.abs().sum() > 0
    assert second.grad.abs().sum() > 0


def test_by_hand():
    first = torch.tensor([math.log(3), 0.0]).view(1, 2, 1)  # 3/4, 1/4
    second = torch.zeros(1, 2, 1)  # 1/2, 1/2
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert mutual_consistency(first, second, mask).item() == pytest.approx(1 / 16)
    assert mutual_consistency(first, second, mask, literal=True).item() == pytest.approx(math.log(3) ** 2 / 2)


def test_literal_is_the_published_mean_over_logits_and_the_default_that_over_probabilities():
    first, second, mask = case()
    whole = torch.ones_like(mask)
    torch.testing.assert_close(mutual_consistency(first, second, whole, literal=True), F.mse_loss(first, second))
    expected = F.mse_loss(first.softmax(1), second.softmax(1))
    torch.testing.assert_close(mutual_consistency(first, second, whole), expected)


@pytest.mark.parametrize("literal", [False, True])
def test_identical_predictions_give_0(literal):
    first, _, mask = case()
    assert mutual_consistency(first, first.clone(), mask, literal=literal) == 0


def test_adding_a_number_to_all_classes_counts_only_literally():
    first, _, mask = case()
    assert mutual_consistency(first, first + 2, mask).item() == pytest.approx(0, abs=1e-12)
    assert mutual_consistency(first, first + 2, mask, literal=True).item() == pytest.approx(4)


def test_bounded_by_two_over_the_number_of_classes():
    first = torch.tensor([100.0, 0, 0]).view(1, 3, 1)
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert mutual_consistency(first, first.flip(1), mask).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("second", "mask", "reduction", "text"),
    [
        (torch.zeros(1, 3, 5), torch.ones(1, 4, dtype=torch.bool), "mean", "must have one shape"),
        (torch.zeros(1, 3, 4), torch.ones(1, 4), "mean", "mask must be a Boolean tensor"),
        (torch.zeros(1, 3, 4), torch.ones(1, 4, dtype=torch.bool), "none", "reduction must be 'mean' or 'sum'"),
    ],
)
def test_wrong_inputs_are_named(second, mask, reduction, text):
    with pytest.raises(ValueError, match=text):
        mutual_consistency(torch.zeros(1, 3, 4), second, mask, reduction=reduction)
