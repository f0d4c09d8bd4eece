from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import pixel_contrast
from pointillist.types import IGNORE


def case(n=7, m=11, d=4, classes=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    anchors = torch.randn(n, d, generator=g, dtype=torch.float64).requires_grad_()
    label, memory_label = (torch.randint(0, classes, (size,), generator=g) for size in (n, m))
    return anchors, label, torch.randn(m, d, generator=g, dtype=torch.float64), memory_label


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def from_the_equation(anchors, label, memory, memory_label, tau, literal=False):
    losses = []
    remembered = [(j, m, k) for j, (m, k) in enumerate(zip(memory.tolist(), memory_label.tolist(), strict=True))]
    for i, (v, c) in enumerate(zip(anchors.tolist(), label.tolist(), strict=True)):
        pairs = [(j, k, cosine(v, m) / tau) for j, m, k in remembered if k != IGNORE]
        positive = [s for j, k, s in pairs if k == c and not (literal and i == j)]
        negative = sum(math.exp(s) for _, k, s in pairs if k != c)
        if c != IGNORE and positive and negative:
            losses.append(sum(-math.log(math.exp(s) / (math.exp(s) + negative)) for s in positive) / len(positive))
    return sum(losses) / max(len(losses), 1)


def public(anchors, label, memory, memory_label, tau):
    """The table of pairs, exponentials of similarities minus their row's maximum, and the published mask."""
    v, m = F.normalize(anchors, dim=1), F.normalize(memory, dim=1)
    mask = (label[:, None] == memory_label).to(v.dtype)
    logits = v @ m.T / tau
    logits = logits - logits.max(1, keepdim=True).values.detach()
    negatives = (logits.exp() * (1 - mask)).sum(1, keepdim=True)
    log_prob = logits - torch.log(logits.exp() + negatives)
    mask = mask * torch.ones_like(mask).scatter_(1, torch.arange(len(v))[:, None], 0)
    return -((mask * log_prob).sum(1) / mask.sum(1)).mean()


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("together", [1, 2**20])
def test_equal_to_the_equation(literal, together, monkeypatch):
    monkeypatch.setitem(pixel_contrast.__globals__, "_PAIRS_AT_ONCE", together)  # one anchor at a time, and all at once
    anchors, label, memory, memory_label = case()
    label[2], memory_label[3] = IGNORE, IGNORE
    value = pixel_contrast(anchors, label, memory, memory_label, tau=0.3, literal=literal)
    expected = from_the_equation(anchors, label, memory, memory_label, 0.3, literal)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(
        lambda v: pixel_contrast(v, label, memory, memory_label, tau=0.3, literal=literal), (anchors,)
    )


def test_literal_is_the_public_formulation_and_the_default_is_not():
    values = case(n=9, m=20)
    expected = public(*values, 0.07)
    (gradient,) = torch.autograd.grad(expected, values[0])
    value = pixel_contrast(*values, literal=True)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, values[0])[0], gradient)
    assert abs(pixel_contrast(*values) - expected) > 0.01


@pytest.mark.parametrize("negatives", [1, 5])
def test_equally_near_negatives_give_log_1_plus_their_number(negatives):
    memory = torch.ones(1 + negatives, 3, dtype=torch.float64)
    memory_label = torch.tensor([2] + [0] * negatives)
    value = pixel_contrast(torch.tensor([[4.0, 0, 1]], dtype=torch.float64), torch.tensor([2]), memory, memory_label)
    assert value.item() == pytest.approx(math.log(1 + negatives), rel=1e-12)


def test_by_hand():
    memory = torch.eye(2, dtype=torch.float64)  # the anchor lies on its own class, at right angles to the other
    value = pixel_contrast(memory[:1] * 3, torch.tensor([0]), memory, torch.tensor([0, 1]), tau=0.5)
    assert value.item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-12)


def test_turning_and_stretching_changes_nothing():
    anchors, label, memory, memory_label = case()
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))[0]
    turned = pixel_contrast(2 * anchors @ turn, label, 5 * memory @ turn, memory_label)
    torch.testing.assert_close(turned, pixel_contrast(anchors, label, memory, memory_label))


def test_a_sum_is_not_divided_and_counts_only_anchors_with_positives_and_negatives():
    anchors, label, memory, memory_label = case()
    memory_label[memory_label == 1] = IGNORE
    counted = ((label == 0) | (label == 2)).sum()
    assert 0 < counted < len(label)
    total = pixel_contrast(anchors, label, memory, memory_label, reduction="sum")
    torch.testing.assert_close(total / counted, pixel_contrast(anchors, label, memory, memory_label))


@pytest.mark.parametrize("what", ["no anchors", "no memory", "no class", "one class in memory", "none of the class"])
def test_nothing_to_contrast_gives_zero_connected_to_the_graph(what):
    anchors, label, memory, memory_label = case(n=0 if what == "no anchors" else 7, m=0 if what == "no memory" else 11)
    if what == "no class":
        label = torch.full_like(label, IGNORE)
    elif what == "one class in memory":
        memory_label = torch.zeros_like(memory_label)
    elif what == "none of the class":
        label, memory_label = torch.full_like(label, 2), memory_label % 2
    value = pixel_contrast(anchors, label, memory, memory_label)
    value.backward()
    assert value.item() == 0
    assert (anchors.grad == 0).all()


def test_rubbish_without_a_class_is_not_read():
    anchors, label, memory, memory_label = case()
    label[2], memory_label[3] = IGNORE, IGNORE
    value = pixel_contrast(anchors, label, memory, memory_label)
    dirty, dirty_memory = anchors.detach().clone(), memory.clone()
    dirty[2], dirty_memory[3] = float("nan"), float("inf")
    dirty.requires_grad_()
    other = pixel_contrast(dirty, label, dirty_memory, memory_label)
    other.backward()
    assert torch.equal(other, value)
    assert (dirty.grad[2] == 0).all()


def test_zero_vectors_and_a_small_temperature_are_finite():
    anchors, label, memory, memory_label = (x.detach() for x in case())
    anchors, memory = anchors.float(), memory.float()
    anchors[0], memory[0] = 0, 0
    anchors.requires_grad_()
    value = pixel_contrast(anchors, label, memory, memory_label, tau=0.001)
    value.backward()
    assert value.isfinite()
    assert anchors.grad.isfinite().all()


def test_bfloat16_under_autocast_stays_close_to_float32():
    anchors, label, memory, memory_label = (x.detach() for x in case(n=40, m=60, d=32))
    low = anchors.bfloat16()
    exact = pixel_contrast(low.float(), label, memory.float(), memory_label)
    with torch.autocast("cpu", torch.bfloat16):
        value = pixel_contrast(low, label, memory.float(), memory_label)
    assert value.dtype == torch.float32
    assert torch.equal(value, exact)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"memory": torch.zeros(11, 5)}, "must have vectors of one length"),
        ({"label": torch.zeros(6, dtype=torch.long)}, "every vector needs one class"),
        ({"tau": 0.0}, "tau must be positive, got 0.0"),
        ({"reduction": "none"}, "reduction must be 'mean' or 'sum', got 'none'"),
    ],
)
def test_wrong_inputs_are_named(change, text):
    names = dict(zip(("anchors", "label", "memory", "memory_label"), case(), strict=True))
    with pytest.raises(ValueError, match=text):
        pixel_contrast(**(names | change))


def test_there_is_no_second_derivative():
    anchors, *others = case()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(pixel_contrast(anchors, *others), anchors, create_graph=True)
