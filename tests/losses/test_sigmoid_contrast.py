from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import sigmoid_contrast
from pointillist.types import IGNORE


def case(n=17, d=4, classes=3, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(0, classes, (n,), generator=g)
    label[torch.rand(n, generator=g) < 0.2] = IGNORE
    return torch.randn(n, d, generator=g, dtype=dtype).requires_grad_(), label


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def from_the_equation(vectors, label, tau, reduction):
    """Pair by pair."""
    known = [(z, k) for z, k in zip(vectors.tolist(), label.tolist(), strict=True) if k != IGNORE]
    blocks = {}
    for (i, (a, k)), (j, (b, m)) in itertools.product(enumerate(known), repeat=2):
        s = cosine(a, b) / tau
        if i != j or reduction == "pairs":
            cost = math.log(1 + math.exp(-s if k == m else s))
            blocks.setdefault((k, m), []).append(cost)
    if reduction == "pairs":
        return sum(map(sum, blocks.values())) / len(known) ** 2
    present = sorted({k for _, k in known})
    means = {key: sum(costs) / len(costs) for key, costs in blocks.items()}
    same = sum(means.get((k, k), 0.0) for k in present) / len(present)
    cross = [means[pair] for pair in itertools.combinations(present, 2)]
    return 2 * same + sum(cross) / len(cross)


def whole_matrix(vectors, label, tau):
    """Every pair at once, with autograd's gradient."""
    rows = (label != IGNORE).nonzero()[:, 0]
    z, y = F.normalize(vectors[rows], dim=1), label[rows]
    s = z @ z.T / tau
    same = y[:, None] == y
    cost = torch.where(same, F.softplus(-s), F.softplus(s))
    here = ~torch.eye(len(y), dtype=torch.bool)
    classes = y.unique().tolist()
    inside = [cost[(y[:, None] == k) & same & here].mean() for k in classes if (y == k).sum() > 1]
    between = [cost[y == a][:, y == b].mean() for a, b in itertools.combinations(classes, 2)]
    return 2 * sum(inside) / len(classes) + sum(between) / len(between)


def public(vectors, label, tau):
    """The published sum of three blocks, diagonals cut out of the table."""
    zero, one = (F.normalize(vectors[label == k], dim=1) for k in (0, 1))
    keep = ~torch.eye(len(zero), dtype=torch.bool)
    total = 0.0
    for a, b, target in ((zero, zero, 1.0), (one, one, 1.0), (zero, one, 0.0)):
        logits = a @ b.T / tau
        logits = logits[keep].view(len(a), -1) if target else logits
        total = total + F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
    return total


def gradient_of(value, vectors):
    return torch.autograd.grad(value, vectors)[0]


@pytest.mark.parametrize("reduction", ["blocks", "pairs"])
@pytest.mark.parametrize("together", [1, 100, 2**20])
@pytest.mark.parametrize("classes", [2, 4])
def test_equal_to_the_equation(reduction, together, classes, monkeypatch):
    monkeypatch.setitem(sigmoid_contrast.__globals__, "_PAIRS_AT_ONCE", together)  # a row at a time, a few, and all
    vectors, label = case(classes=classes)
    value = sigmoid_contrast(vectors, label, tau=0.3, reduction=reduction)
    assert value.item() == pytest.approx(from_the_equation(vectors, label, 0.3, reduction), rel=1e-12)
    assert torch.autograd.gradcheck(lambda z: sigmoid_contrast(z, label, tau=0.3, reduction=reduction), (vectors,))


@pytest.mark.parametrize("tau", [0.1, 0.3])
def test_in_parts_it_is_the_whole_matrix(tau, monkeypatch):
    monkeypatch.setitem(sigmoid_contrast.__globals__, "_PAIRS_AT_ONCE", 2**12)
    vectors, label = case(n=700, d=32, classes=3)
    value, whole = sigmoid_contrast(vectors, label, tau=tau), whole_matrix(vectors, label, tau)
    torch.testing.assert_close(value, whole, rtol=1e-9, atol=0)
    gradient = gradient_of(whole, vectors)
    torch.testing.assert_close(gradient_of(value, vectors), gradient, rtol=0, atol=1e-8 * gradient.abs().max().item())


def test_two_equal_classes_are_the_public_formulation():
    g = torch.Generator().manual_seed(2)
    vectors = torch.randn(60, 8, generator=g, dtype=torch.float64).requires_grad_()
    label = torch.arange(60) % 2
    value, expected = sigmoid_contrast(vectors, label, tau=0.1), public(vectors, label, 0.1)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient_of(value, vectors), gradient_of(expected, vectors))


@pytest.mark.parametrize("tau", [0.1, 0.3])
def test_vectors_that_are_all_equal(tau):
    vectors, label = torch.ones(5, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1])
    same, cross = math.log(1 + math.exp(-1 / tau)), math.log(1 + math.exp(1 / tau))
    assert sigmoid_contrast(vectors, label, tau=tau).item() == pytest.approx(2 * same + cross, rel=1e-9)
    pairs = (13 * same + 12 * cross) / 25  # 3² + 2² ordered pairs of one class, 2 · 3 · 2 of two
    assert sigmoid_contrast(vectors, label, tau=tau, reduction="pairs").item() == pytest.approx(pairs, rel=1e-9)


def test_by_hand_and_opposite_classes_are_the_best():
    a = torch.tensor([[2.0, 0], [1, 0], [-3, 0], [-1, 0]], dtype=torch.float64)
    label = torch.tensor([0, 0, 1, 1])
    floor = 3 * math.log(1 + math.exp(-2))
    assert sigmoid_contrast(a, label, tau=0.5).item() == pytest.approx(floor, rel=1e-12)
    a[2:] = torch.tensor([[0, 1.0], [0, 4]])  # at right angles: log 2 a pair
    value = 2 * math.log(1 + math.exp(-2)) + math.log(2)
    assert sigmoid_contrast(a, label, tau=0.5).item() == pytest.approx(value, rel=1e-12)


def test_a_lone_vector_is_compared_with_the_other_class_alone():
    vectors = torch.tensor([[1.0, 0], [1, 0], [0, 1]], dtype=torch.float64)
    value = sigmoid_contrast(vectors, torch.tensor([1, 1, 0]), tau=1.0)
    assert value.item() == pytest.approx(math.log(1 + math.exp(-1)) + math.log(2), rel=1e-12)


@pytest.mark.parametrize("reduction", ["blocks", "pairs"])
def test_names_order_turning_and_stretching_change_nothing(reduction):
    vectors, label = case()
    value = sigmoid_contrast(vectors, label, reduction=reduction)
    renamed = torch.where(label == IGNORE, IGNORE, torch.tensor([2, 0, 1])[label.clamp(max=2)])
    torch.testing.assert_close(sigmoid_contrast(vectors, renamed, reduction=reduction), value)
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(sigmoid_contrast(vectors[order], label[order], reduction=reduction), value)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))[0]
    torch.testing.assert_close(sigmoid_contrast(2 * vectors @ turn, label, reduction=reduction), value)


def test_a_frequent_class_weighs_no_more_than_a_rare_one():
    vectors, label = case(classes=2)
    again = (label == 1).nonzero()[:, 0]
    more, labels = torch.cat([vectors, *[vectors[again]] * 9]), torch.cat([label, *[label[again]] * 9])
    zeros = (label == 0).sum().item()
    one, ten = sigmoid_contrast(vectors, label), sigmoid_contrast(more, labels)
    assert zeros > 2
    cross = [whole_matrix(v, y, 0.3) for v, y in ((vectors, label), (more, labels))]
    torch.testing.assert_close(torch.stack([one, ten]), torch.stack(cross))
    assert abs(one - ten) < 0.2 * one  # copies of one class: only pairs of a vector with its copies are new


@pytest.mark.parametrize("reduction", ["blocks", "pairs"])
@pytest.mark.parametrize("what", ["nothing", "no class", "one class", "one vector"])
def test_nothing_to_contrast_gives_zero_connected_to_the_graph(what, reduction):
    vectors, label = case(n=0 if what == "nothing" else 9)
    if what != "nothing":
        label = torch.full_like(label, 2 if what == "one class" else IGNORE)
    if what == "one vector":
        label[3] = 1
    value = sigmoid_contrast(vectors, label, reduction=reduction)
    value.backward()
    assert value.item() == 0
    assert (vectors.grad == 0).all()


def test_rubbish_without_a_class_is_not_read():
    vectors, label = case()
    value = sigmoid_contrast(vectors, label)
    dirty = vectors.detach().clone()
    dirty[label == IGNORE] = float("nan")
    dirty.requires_grad_()
    other = sigmoid_contrast(dirty, label)
    other.backward()
    assert torch.equal(other, value)
    assert (dirty.grad[label == IGNORE] == 0).all()
    assert dirty.grad.isfinite().all()


def test_zero_vectors_and_a_small_temperature_are_finite():
    vectors, label = case(dtype=torch.float32)
    vectors = vectors.detach()
    vectors[label == 0] = 0
    vectors.requires_grad_()
    value = sigmoid_contrast(vectors, label, tau=0.001)
    value.backward()
    assert value.isfinite()
    assert vectors.grad.isfinite().all()


def test_a_zero_vector_has_no_pair_with_itself():
    vectors = torch.tensor([[0.0, 0], [1, 0], [0, 1]], dtype=torch.float64)
    value = sigmoid_contrast(vectors, torch.tensor([0, 0, 1]), tau=0.5)
    assert value.item() == pytest.approx(2 * math.log(2), rel=1e-12)


def test_bfloat16_under_autocast_stays_close_to_float32():
    vectors, label = case(n=80, d=32, dtype=torch.float32)
    low = vectors.detach().bfloat16().requires_grad_()
    exact = sigmoid_contrast(low.float(), label)
    with torch.autocast("cpu", torch.bfloat16):
        value = sigmoid_contrast(low, label)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, exact)
    assert low.grad.isfinite().all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"vectors": torch.zeros(17)}, r"vectors \(n, d\) need one class each"),
        ({"label": torch.zeros(6, dtype=torch.long)}, "need one class each"),
        ({"tau": 0.0}, "tau must be positive, got 0.0"),
        ({"reduction": "none"}, "reduction must be 'blocks' or 'pairs', got 'none'"),
    ],
)
def test_wrong_inputs_are_named(change, text):
    names = dict(zip(("vectors", "label"), case(), strict=True))
    with pytest.raises(ValueError, match=text):
        sigmoid_contrast(**(names | change))


def test_there_is_no_second_derivative():
    vectors, label = case()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(sigmoid_contrast(vectors, label), vectors, create_graph=True)
