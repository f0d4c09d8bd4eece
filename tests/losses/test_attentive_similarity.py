from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import _attention, attentive_similarity
from pointillist.losses._attention import Near


def example(b=2, k=3, h=5, w=6, m=2, d=4, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=dtype)

    p = normal(b, k, h, w).mul_(2).softmax(1).requires_grad_()
    query, key = (normal(b, m, h, w, d).mul_(2).requires_grad_() for _ in range(2))
    weight, bias = normal(m).mul_(3).requires_grad_(), normal(1).squeeze().requires_grad_()
    return (p, query, key, weight, bias), torch.rand(b, h, w, generator=g) < 0.7


def dense_similarity(query, key, weight, bias, scale):
    """``(b, h·w, h·w)`` S out of whole attention maps."""
    q, k = query.flatten(2, 3), key.flatten(2, 3)
    attention = (scale * q @ k.transpose(2, 3)).softmax(3)
    symmetric = attention + attention.transpose(2, 3)
    return torch.sigmoid((symmetric * weight.view(1, -1, 1, 1)).sum(1) + bias)


def dense(p, query, key, weight, bias, *, radius, sigma, mask=None, literal=False):
    """The equation with maps of all pairs; Σ_{i≠j} P_i P_j as it stands in the paper."""
    b, k, h, w = p.shape
    similarity = dense_similarity(query, key, weight, bias, 1 if literal else query.shape[-1] ** -0.5)
    places = torch.cartesian_prod(torch.arange(h), torch.arange(w)).to(p)
    apart = places[:, None] - places
    near = (apart.abs().amax(2) <= radius) & (apart.abs().amax(2) > 0)
    kernel = near * torch.exp(-apart.square().sum(2) / (2 * sigma**2))
    flat = p.flatten(2)
    differ = sum(flat[:, i, :, None] * flat[:, j, None] for i in range(k) for j in range(k) if i != j)
    if mask is None:
        return (kernel * similarity * differ).sum() / (b * h * w)
    gate = mask.flatten(1)
    return (kernel * similarity * differ * (gate[:, :, None] & gate[:, None])).sum() / mask.sum()


def one_by_one(p, query, key, weight, bias, *, radius, sigma, mask):
    """The equation, place by place."""
    b, _, h, w = p.shape
    places = [(y, x) for y in range(h) for x in range(w)]
    total = 0
    for n in range(b):

        def attention(i, here, there, n=n):
            products = [query[n, i][here] @ key[n, i][q] / query.shape[-1] ** 0.5 for q in places]
            return torch.exp(products[places.index(there)]) / sum(map(torch.exp, products))

        for here in places:
            for there in places:
                dy, dx = here[0] - there[0], here[1] - there[1]
                if here == there or max(abs(dy), abs(dx)) > radius or not (mask[n][here] and mask[n][there]):
                    continue
                score = bias
                for i in range(len(weight)):
                    score = score + weight[i] * (attention(i, here, there) + attention(i, there, here))
                disagree = 1 - p[n, :, here[0], here[1]] @ p[n, :, there[0], there[1]]
                total = total + math.exp(-(dy**2 + dx**2) / (2 * sigma**2)) * torch.sigmoid(score) * disagree
    return total / mask.sum()


def compare(one, other, inputs):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    gradients = [list(torch.autograd.grad(value, inputs)) for value in (one, other)]
    for gradient in gradients:  # probabilities sum to 1: what is the same for all classes of a place means nothing
        gradient[0] = gradient[0] - gradient[0].mean(1, keepdim=True)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-13)


def test_value_and_gradient_equal_the_equation():
    inputs, mask = example(b=1, h=3, w=3, d=2)
    constants = {"radius": 1, "sigma": 1.5, "mask": mask}
    compare(attentive_similarity(*inputs, **constants), one_by_one(*inputs, **constants), inputs)


@pytest.mark.parametrize("products", [2**20, 1, 150])  # all rows at once, one at a time, a few
@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("radius", "h", "w"), [(1, 5, 6), (2, 7, 3), (9, 4, 5), (3, 1, 8), (2, 6, 1)])
def test_the_windowed_form_equals_the_dense_one(monkeypatch, products, literal, masked, radius, h, w):
    monkeypatch.setattr(_attention, "_PRODUCTS_AT_ONCE", products)
    inputs, mask = example(h=h, w=w)
    constants = {"radius": radius, "sigma": 2.5, "literal": literal, "mask": mask if masked else None}
    compare(attentive_similarity(*inputs, **constants), dense(*inputs, **constants), inputs)


def test_gradient_equals_finite_differences():
    inputs, mask = example(b=1, h=3, w=4, d=2)
    assert torch.autograd.gradcheck(lambda *x: attentive_similarity(*x, radius=2, mask=mask), inputs)


def test_two_places_by_hand():
    p = torch.tensor([[0.9, 0.3], [0.1, 0.7]]).view(1, 2, 1, 2)
    query = torch.tensor([2.0, 0.0]).view(1, 1, 1, 2, 1)
    key = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2, 1)
    value = attentive_similarity(p, query, key, torch.tensor([3.0]), torch.tensor(-1.0), sigma=1.0)
    forth, back = math.exp(2) / (1 + math.exp(2)), 0.5  # rows (0, 2) and (0, 0) of products
    similarity = 1 / (1 + math.exp(1 - 3 * (forth + back)))
    # both directions of one pair over two places; ⟨p, q⟩ = 0.27 + 0.07
    assert value.item() == pytest.approx(math.exp(-0.5) * similarity * (1 - 0.34), rel=1e-6)


def test_attention_of_a_window_beyond_the_border_sums_to_1_with_that_of_the_place_itself():
    query, key = (x.detach() for x in example()[0][1:3])
    near = Near(5, 6, 4, 5)
    attention, totals = _attention._near_attention(query, key, near)
    own = torch.exp((query * key).sum(4) - totals.view(2, 2, 5, 6))
    torch.testing.assert_close(attention.sum((2, 3)) + own, torch.ones_like(own))
    whole = (query.flatten(2, 3) @ key.flatten(2, 3).transpose(2, 3)).softmax(3)
    torch.testing.assert_close(attention[0, 1, 4 + 1, 5 - 2, 2, 3], whole[0, 1, 2 * 6 + 3, 3 * 6 + 1])


def test_the_similarity_is_symmetric():
    inputs, mask = example()
    turned = [inputs[0].flip(2, 3), *(x.flip(2, 3) for x in inputs[1:3]), *inputs[3:]]
    value = attentive_similarity(*inputs, radius=2, mask=mask)
    torch.testing.assert_close(attentive_similarity(*turned, radius=2, mask=mask.flip(1, 2)), value)
    similarity = dense_similarity(*inputs[1:], 1)
    torch.testing.assert_close(similarity, similarity.transpose(1, 2))


@pytest.mark.parametrize("masked", [False, True])
def test_a_constant_one_hot_prediction_costs_exactly_nothing(masked):
    (_, *others), mask = example()
    p = torch.zeros(2, 3, 5, 6, dtype=torch.float64)
    p[:, 1] = 1
    assert attentive_similarity(p, *others, mask=mask if masked else None).item() == 0


def test_a_window_beyond_the_border_with_everything_alike_has_a_closed_form():
    (p, query, key, weight, _), _ = example()
    alike = torch.tensor(100.0, dtype=torch.float64)
    value = attentive_similarity(p, query, key, 0 * weight, alike, radius=9, sigma=math.inf)
    n, totals, squares = 5 * 6, p.sum((2, 3)).square().sum(1), p.square().sum(1)
    torch.testing.assert_close(value, ((n**2 - totals - (1 - squares).sum((1, 2))) / (2 * n)).sum())


def test_literal_leaves_out_the_scale_of_the_products():
    (p, query, *others), _ = example(d=4)
    value = attentive_similarity(p, query, *others)
    literal = attentive_similarity(p, query, *others, literal=True)
    torch.testing.assert_close(attentive_similarity(p, query / 2, *others, literal=True), value)
    assert not torch.isclose(literal, value, rtol=1e-4)


def public(p, kernel, radius, sigma, h, w):
    """The public form: the prediction reduced, all pairs weighted, one batched product, over all places."""
    reduced = F.interpolate(p, (h, w), mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
    places = torch.cartesian_prod(torch.arange(h), torch.arange(w)).to(p)
    apart = places[:, None] - places
    gauss = torch.exp(-apart.square().sum(2) / (2 * sigma**2)) * (apart.abs().amax(2) <= radius)
    pairs = (1 - torch.eye(h * w)) * kernel * gauss
    return (pairs.sum() - ((pairs @ reduced) * reduced).sum()) / (len(p) * h * w)


def test_literal_equals_the_public_form():
    inputs, _ = example()
    p, query, key, weight, bias = inputs
    kernel = dense_similarity(query, key, weight, bias, 1)
    compare(attentive_similarity(*inputs, radius=2, literal=True), public(p, kernel, 2, 6.0, 5, 6), inputs)


def test_places_outside_the_mask_are_attended_to_but_their_prediction_is_not_read():
    (p, query, key, *others), mask = example()
    value = attentive_similarity(p, query, key, *others, mask=mask)
    dirty = p.detach().masked_fill(~mask.unsqueeze(1), float("nan")).requires_grad_()
    again = attentive_similarity(dirty, query, key, *others, mask=mask)
    (gradient,) = torch.autograd.grad(again, dirty)
    assert torch.equal(again, value)
    assert (gradient.masked_select(~mask.unsqueeze(1)) == 0).all()
    other_key = key.masked_fill(~mask[:, None, :, :, None], 9.0)
    assert not torch.isclose(attentive_similarity(p, query, other_key, *others, mask=mask), value, rtol=1e-6)


def test_nothing_in_the_mask_or_no_pair_gives_zero_connected_to_the_graph():
    inputs, mask = example()
    single, _ = example(h=1, w=1)
    for given, where in ((inputs, mask & False), (single, None)):
        value = attentive_similarity(*given, mask=where)
        assert value.item() == 0
        assert all((gradient == 0).all() for gradient in torch.autograd.grad(value, given))


def test_huge_products_stay_finite():
    inputs, mask = example(dtype=torch.float32)
    p, query, _, weight, bias = (x.detach() for x in inputs)
    given = [x.requires_grad_() for x in (p, query.sign() * 100, -query.sign() * 100, weight, bias)]
    value = attentive_similarity(*given, mask=mask)
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(value, given))


def test_bfloat16_under_autocast_is_computed_in_float32():
    inputs, mask = example(dtype=torch.float32)
    low = [x.detach().bfloat16().requires_grad_() for x in inputs[:3]] + list(inputs[3:])
    exact = attentive_similarity(*(x.float() for x in low), mask=mask)
    gradients = torch.autograd.grad(exact, low)
    with torch.autocast("cpu", torch.bfloat16):
        value = attentive_similarity(*low, mask=mask)
        others = torch.autograd.grad(value, low)
    assert torch.equal(value, exact)
    for ours, theirs in zip(others, gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_second_derivative_is_refused():
    inputs, _ = example()
    with pytest.raises(RuntimeError, match="attentive_similarity has no second derivative"):
        torch.autograd.grad(attentive_similarity(*inputs), inputs[0], create_graph=True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"probabilities": torch.zeros(2, 3, 5)}, r"takes probabilities \(b, k, h, w\)"),
        ({"probabilities": torch.zeros(2, 3, 5, 6, dtype=torch.long)}, "probabilities must be a floating tensor"),
        ({"query": torch.zeros(2, 2, 5, 6, 3)}, r"query and key must both be \(b, m, h, w, d\)"),
        ({"probabilities": torch.zeros(2, 3, 6, 5)}, "on the grid of the probabilities"),
        ({"weight": torch.zeros(3)}, r"weight must be \(2,\) and bias a scalar, got \(3,\)"),
        ({"bias": torch.zeros(1)}, r"and bias a scalar, got \(2,\) and \(1,\)"),
        ({"radius": 0}, "radius and sigma must be positive, got 0"),
        ({"sigma": 0.0}, r"radius and sigma must be positive, got 5 and 0\.0"),
        ({"mask": torch.ones(2, 5, 6)}, "mask must be a Boolean tensor"),
    ],
)
def test_wrong_inputs_are_named(change, text):
    names = ("probabilities", "query", "key", "weight", "bias")
    with pytest.raises(ValueError, match=text):
        attentive_similarity(**{**dict(zip(names, example()[0], strict=True)), **change})
