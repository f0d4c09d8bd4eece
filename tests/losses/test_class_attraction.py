from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import class_attraction


def case(n=7, m=5, d=4):
    g = torch.Generator().manual_seed(0)
    shapes = [(n, d), (m, d), (n,), (m,)]
    return [torch.randn(*shape, generator=g, dtype=torch.float64).requires_grad_() for shape in shapes]


def from_the_equation(f, memory, a, c):
    def sigmoid(scores):
        return [1 / (1 + math.exp(-x)) for x in scores.tolist()]

    w, v = sigmoid(a), sigmoid(c)
    total = 0.0
    for one, x in zip(w, f.tolist(), strict=True):
        for other, y in zip(v, memory.tolist(), strict=True):
            cosine = sum(p * q for p, q in zip(x, y, strict=True)) / math.hypot(*x) / math.hypot(*y)
            total += one / sum(w) * other / sum(v) * (1 - cosine)
    return total


def public(f, memory, a, c):
    """A table of all distances, rescaled by weights of mean 1 along both sides, averaged."""
    distances = 1 - F.normalize(f, dim=1) @ F.normalize(memory, dim=1).T
    for scores, along in ((a, 0), (c, 1)):
        weights = torch.sigmoid(scores)
        rescaled = len(weights) / weights.sum() * weights
        distances = distances * (rescaled[:, None] if along == 0 else rescaled[None])
    return distances.mean()


def test_equal_to_the_equation_and_to_the_public_formulation():
    values = case()
    assert class_attraction(*values).item() == pytest.approx(from_the_equation(*values), rel=1e-12)
    torch.testing.assert_close(class_attraction(*values), public(*values))
    inputs = [values[0], *values[2:]]
    assert torch.autograd.gradcheck(lambda f, a, c: class_attraction(f, values[1].detach(), a, c), inputs)


def test_by_hand():
    f = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    memory = torch.tensor([[3.0, 0.0], [3.0, 0.0]])
    a = torch.tensor([0.0, math.log(3)])  # sigmoids 1/2 and 3/4, so weights 2/5 and 3/5
    assert class_attraction(f, memory, a, torch.zeros(2)).item() == pytest.approx(3 / 5)


def test_features_equal_to_the_memory_give_0():
    one = torch.randn(4)
    scores = torch.randn(6)
    assert class_attraction(one.repeat(6, 1), 2 * one.repeat(3, 1), scores, scores[:3]).item() == pytest.approx(
        0, abs=1e-6
    )


def test_lengths_do_not_count():
    f, memory, a, c = case()
    lengths = torch.rand(7, 1, dtype=torch.float64) + 0.1
    torch.testing.assert_close(class_attraction(f * lengths, 5 * memory, a, c), class_attraction(f, memory, a, c))


def test_the_memory_takes_no_gradient():
    values = case()
    class_attraction(*values).backward()
    assert [x.grad is None for x in values] == [False, True, False, False]


@pytest.mark.parametrize(("n", "m"), [(0, 5), (7, 0), (0, 0)])
def test_nothing_to_attract_gives_zero_connected_to_the_graph(n, m):
    values = case(n, m)
    value = class_attraction(*values)
    value.backward()
    assert value.item() == 0
    assert (values[0].grad == 0).all()


@pytest.mark.parametrize(("n", "m"), [(1, 5), (7, 1)])
def test_single_and_zero_vectors_are_finite(n, m):
    f, memory, a, c = (x.detach().float() for x in case(n, m))
    f[0] = 0
    f.requires_grad_()
    value = class_attraction(f, memory, a - 100, c)
    value.backward()
    assert value.isfinite()
    assert f.grad.isfinite().all()


def test_bfloat16_computes_in_float32():
    values = [x.detach().bfloat16() for x in case()]
    with torch.autocast("cpu", torch.bfloat16):
        value = class_attraction(*values)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, class_attraction(*(x.float() for x in values)))


def test_wrong_inputs_are_named():
    f, memory, a, c = case()
    with pytest.raises(ValueError, match=r"vectors of one length, got \(7, 4\) and \(5, 3\)"):
        class_attraction(f, memory[:, :3], a, c)
    with pytest.raises(ValueError, match=r"every vector needs one score, \(\(7,\), \(5,\)\), got \(5,\) and \(7,\)"):
        class_attraction(f, memory, c, a)
