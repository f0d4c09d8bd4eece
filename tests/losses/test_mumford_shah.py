from __future__ import annotations

import pytest
import torch

from pointillist.losses import mumford_shah


def example(k=3, c=1, shape=(5, 6), dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    p = torch.randn(2, k, *shape, generator=g, dtype=dtype).softmax(1)
    mask = torch.rand(2, *shape, generator=g) < 0.7
    return p.requires_grad_(), torch.rand(2, c, *shape, generator=g, dtype=dtype), mask


def regions():
    """Three regions of constant colour, and the one-hot prediction of them."""
    label = torch.zeros(1, 9, 10, dtype=torch.long)
    label[:, 2:5, 3:9], label[:, 6:, :4] = 1, 2
    colours = torch.tensor([[0.1, 0.9], [0.7, 0.2], [0.4, 0.4]], dtype=torch.float64)
    p = torch.nn.functional.one_hot(label, 3).movedim(-1, 1).double()
    return p.requires_grad_(), colours[label].movedim(-1, 1)


def from_the_equation(p, image, mu, mask, exchanged=False):
    """The centroid with its gradient, pixel by pixel."""
    (b, k, h, w), c = p.shape, image.shape[1]
    total = 0.0
    for n, i, j in ((n, i, j) for n in range(b) for i in range(k) for j in range(c)):
        inside = [(y, x) for y in range(h) for x in range(w) if mask[n, y, x]]
        weight, value = p[n, i], image[n, j]
        if exchanged:
            weight, value = value, weight
        centre = sum(weight[at] * value[at] for at in inside) / sum(weight[at] for at in inside)
        total = total + sum(weight[at] * (value[at] - centre) ** 2 for at in inside)
    for n, i in ((n, i) for n in range(b) for i in range(k)):
        for y, x in ((y, x) for y in range(h) for x in range(w) if mask[n, y, x]):
            for v, u in ((y + 1, x), (y, x + 1)):
                if v < h and u < w and mask[n, v, u]:
                    total = total + mu * abs(p[n, i, v, u] - p[n, i, y, x])
    return total


def public(output, target):
    """The public level-set term: weights ``output``, values ``target``, centroids with gradient."""
    total = 0.0
    for value in target.split(1, 1):
        value = value.expand_as(output)
        centre = (value * output).sum((2, 3), keepdim=True) / output.sum((2, 3), keepdim=True)
        total = total + ((value - centre) ** 2 * output).sum()
    return total


def edges(x):
    return x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum()


def agree(value, other, p):
    torch.testing.assert_close(value, other, rtol=1e-12, atol=1e-14)
    gradients = [torch.autograd.grad(x, p)[0] for x in (value, other)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mu", [0, 0.3])
def test_value_and_gradient_equal_the_equation_with_the_gradient_through_the_centroids(mu, channels, masked):
    p, image, mask = example(c=channels)
    mask = mask if masked else torch.ones_like(mask)
    value = mumford_shah(p, image, mu=mu, mask=mask if masked else None)
    agree(value, from_the_equation(p, image, mu, mask), p)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_literal_form_equals_its_equation(channels, masked):
    p, image, mask = example(c=channels)
    mask = mask if masked else torch.ones_like(mask)
    value = mumford_shah(p, image, mu=0.3, mask=mask if masked else None, literal=True)
    agree(value, from_the_equation(p, image, 0.3, mask, exchanged=True), p)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_reading_gives_the_image_to_the_classes_and_the_literal_form_the_classes_to_the_image(channels):
    p, image, _ = example(c=channels)
    agree(mumford_shah(p, image), public(p, image) + edges(p), p)
    agree(mumford_shah(p, image, literal=True), public(image, p) + edges(p), p)
    constant = torch.full_like(p, 1 / 3).requires_grad_()
    assert mumford_shah(constant, image, literal=True).item() == pytest.approx(0, abs=1e-12)
    assert mumford_shah(constant, image) > 1


def test_by_hand():
    p = torch.tensor([[0.5, 1.0], [0.5, 0.0]]).view(1, 2, 1, 2)
    image = torch.tensor([0.2, 0.8]).view(1, 1, 1, 2)
    # c = (0.6, 0.2): 0.5 · 0.16 + 1 · 0.04 + 0 = 0.12; edges 0.5 each
    assert mumford_shah(p, image, mu=0).item() == pytest.approx(0.12)
    assert mumford_shah(p, image, mu=2).item() == pytest.approx(2.12)
    # exchanged: m = (0.9, 0.1), 0.2 · 0.16 + 0.8 · 0.01 for either class
    assert mumford_shah(p, image, mu=0, literal=True).item() == pytest.approx(0.08)


def test_the_gradient_is_the_squared_distance_from_the_centroid():
    p, image, _ = example(c=2)
    (gradient,) = torch.autograd.grad(mumford_shah(p, image, mu=0), p)
    centres = torch.einsum("nkyx,ncyx->nkc", p, image) / p.sum((2, 3)).unsqueeze(2)
    distance = (image.unsqueeze(1) - centres[..., None, None]).square().sum(2)
    torch.testing.assert_close(gradient, distance, rtol=1e-12, atol=0)


def test_the_right_prediction_of_a_piecewise_constant_image_costs_its_boundaries_alone():
    p, image = regions()
    assert mumford_shah(p, image, mu=0).item() == pytest.approx(0, abs=1e-12)
    # a rectangle of 3 × 6 inside; one of 3 × 4 in a corner, with two sides of 3 and 4 inside; the background's are both
    assert mumford_shah(p, image).item() == pytest.approx(2 * (2 * (3 + 6) + 3 + 4))
    assert mumford_shah(p.roll(1, 1), image, mu=0).item() == pytest.approx(0, abs=1e-12)
    assert mumford_shah(p.roll(1, 3), image, mu=0) > 0.5


def test_one_class_costs_the_variance_of_the_image():
    _, image, _ = example(c=3)
    value = mumford_shah(torch.ones(2, 1, 5, 6, dtype=torch.float64), image)
    torch.testing.assert_close(value, 30 * image.var((2, 3), correction=0).sum())


def test_offsets_change_nothing_and_contrast_counts_squared():
    p, image, _ = example(c=2)
    value = mumford_shah(p, image, mu=0)
    torch.testing.assert_close(mumford_shah(p, image + 5, mu=0), value)
    torch.testing.assert_close(mumford_shah(p, 3 * image, mu=0), 9 * value)


def test_float32_keeps_its_digits_far_from_zero():
    """Σ I² P − (Σ I P)² / Σ P is off by 5 % here."""
    p, image, _ = example(shape=(128, 128), dtype=torch.float32)
    far = image + 100
    exact = mumford_shah(p.double(), far.double(), mu=0)
    torch.testing.assert_close(mumford_shah(p, far, mu=0).double(), exact, rtol=1e-5, atol=0)
    weights, squares = p.sum((2, 3)), (p * far.square()).sum((2, 3))
    cancelled = (squares - (p * far).sum((2, 3)).square() / weights).sum()
    assert abs(cancelled.double() / exact - 1) > 1e-3


def test_sums_are_raw():
    p, image, _ = example()
    torch.testing.assert_close(mumford_shah(p.repeat(3, 1, 1, 1), image.repeat(3, 1, 1, 1)), 3 * mumford_shah(p, image))
    side = torch.cat([p, p.flip(3)], 3), torch.cat([image, image.flip(3)], 3)  # no new boundary in between
    torch.testing.assert_close(mumford_shah(*side), 2 * mumford_shah(p, image))


@pytest.mark.parametrize("literal", [False, True])
def test_vanished_classes_and_black_images_are_finite(literal):
    logits = torch.zeros(2, 3, 5, 6)
    logits[:, 1] = -1e4  # its probability is exactly 0
    logits.requires_grad_()
    for image in (torch.rand(2, 1, 5, 6), torch.zeros(2, 1, 5, 6)):
        value = mumford_shah(logits.softmax(1), image, literal=literal)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.isfinite()
        assert gradient.isfinite().all()
        others = mumford_shah(logits.softmax(1)[:, [0, 2]], image, literal=literal)
        torch.testing.assert_close(value, others)


@pytest.mark.parametrize("literal", [False, True])
def test_an_empty_mask_gives_zero_connected_to_the_graph(literal):
    p, image, mask = example()
    value = mumford_shah(p, image, mask=torch.zeros_like(mask), literal=literal)
    (gradient,) = torch.autograd.grad(value, p)
    assert value.item() == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("shape", [(7,), (4, 5), (2, 3, 4)])
def test_gradcheck_in_any_dimension(literal, shape):
    p, image, mask = example(c=2, shape=shape)
    assert torch.autograd.gradcheck(lambda p: mumford_shah(p, image, mask=mask, literal=literal), (p,))


@pytest.mark.parametrize("literal", [False, True])
def test_layout_and_bfloat16(literal):
    p, image, mask = example(shape=(16, 16), dtype=torch.float32)
    exact = mumford_shah(p, image, mask=mask, literal=literal)
    last = p.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(mumford_shah(last, image, mask=mask, literal=literal), exact)
    with torch.autocast("cpu", torch.bfloat16):
        value = mumford_shah(last.bfloat16(), image.bfloat16(), mask=mask, literal=literal)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=1e-2, atol=0)


def test_the_image_takes_no_gradient_and_keeps_its_values():
    p, image, mask = example()
    before = image.clone()
    mumford_shah(p, image.requires_grad_(), mask=mask).backward()
    assert image.grad is None
    assert torch.equal(image, before)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"probabilities": torch.zeros(2, 3, 5)}, "must share one grid"),
        ({"image": torch.zeros(2, 1, 5, 7)}, r"must share one grid, got \(2, 3, 5, 6\) and \(2, 1, 5, 7\)"),
        ({"image": torch.zeros(2, 1, 5, 6, dtype=torch.uint8)}, "image must be a floating tensor"),
        ({"mask": torch.ones(2, 5, 6)}, "mask must be a Boolean tensor"),
        ({"mu": -1}, "mu must not be negative, got -1"),
    ],
)
def test_wrong_inputs_are_named(change, text):
    p, image, _ = example()
    with pytest.raises(ValueError, match=text):
        mumford_shah(**{"probabilities": p, "image": image, **change})
