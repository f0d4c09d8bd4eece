from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import contrastive_variance
from pointillist.types import IGNORE

CONTRAST = {"lambda_cv": 1.0, "mu": 0.0}
LENGTH = {"lambda_cv": 0.0, "mu": 1.0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


ABSENT = {(0, 1), (1, 2), (3, 2), (0, 3), (1, 3), (2, 3)}
"""Image and class; class 3 is in one of four images only, so its anchor has no positive."""


def example(b=4, k=3, c=1, h=5, w=6, seed=0):
    """Predictions, an image, a label of single points, draws, and a mask that spares the points."""
    g = generator(seed)
    p = torch.randn(b, k, h, w, generator=g, dtype=torch.float64).softmax(1).requires_grad_()
    image = torch.rand(b, c, h, w, generator=g, dtype=torch.float64)
    y = torch.full((b, h, w), IGNORE)
    for n, cls in everything(b, k) - ABSENT:
        y[n, cls, n % w] = cls
    mask = torch.rand(b, h, w, generator=g) < 0.8
    return p, image, y, torch.rand(b, b, generator=g, dtype=torch.float64), mask | (y != IGNORE)


def everything(b, k):
    return {(n, cls) for n in range(b) for cls in range(k)}


def marked(y, k):
    return {(n, cls) for n, cls in everything(len(y), k) if (y[n] == cls).any()}


def points(b, k, shape):
    """A label with one point a class in every image."""
    y = torch.full((b, *shape), IGNORE)
    y.flatten(1)[:, :k] = torch.arange(k)
    return y


def maps_of(p, image, mask):
    """z of equation 4 with c of equation 5, 0 outside the mask."""
    h, w = p.shape[2:]
    maps = {}
    for n, cls in everything(*p.shape[:2]):
        inside = [(y, x) for y in range(h) for x in range(w) if mask[n, y, x]]
        mass = sum(p[n, cls, y, x] for y, x in inside)
        means = [sum(i[y, x] * p[n, cls, y, x] for y, x in inside) / mass for i in image[n]]
        z = {
            (y, x): sum((i[y, x] - c) ** 2 for i, c in zip(image[n], means, strict=True)) * p[n, cls, y, x]
            for y, x in inside
        }
        nothing = torch.zeros((), dtype=p.dtype)
        maps[n, cls] = torch.stack([z.get((y, x), nothing) for y in range(h) for x in range(w)])
    return maps


def from_the_equation(p, image, takes_part, draws, tau, mask):
    """Every anchor's term of equation 6, by (image, class)."""
    z = maps_of(p, image, mask)

    def cos(one, other):
        return (one * other).sum() / (one.square().sum().sqrt() * other.square().sum().sqrt())

    terms = {}
    for n, cls in takes_part:
        others = [i for i in range(len(p)) if i != n and (i, cls) in takes_part]
        negatives = [(i, j) for i, j in takes_part if i != n and j != cls]
        if others and negatives:
            m = max(others, key=lambda i: float(draws[n, i]))
            pos = torch.exp(cos(z[n, cls], z[m, cls]) / tau)
            neg = sum(torch.exp(cos(z[n, cls], z[pair]) / tau) for pair in negatives)
            terms[n, cls] = -torch.log(pos / (pos + neg))
    return terms


def length_of(p, mask):
    """Σ |Δ| over pairs of neighbours that both lie in the mask."""
    b, k, h, w = p.shape
    total = 0
    for n, cls, y, x in ((n, cls, y, x) for n in range(b) for cls in range(k) for y in range(h) for x in range(w)):
        for v, u in ((y + 1, x), (y, x + 1)):
            if v < h and u < w and mask[n, y, x] and mask[n, v, u]:
                total = total + (p[n, cls, v, u] - p[n, cls, y, x]).abs()
    return total


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("background", [True, False])
def test_value_and_gradient_equal_the_equation(masked, channels, background):
    p, image, y, draws, mask = example(k=4, c=channels)
    inside = mask if masked else torch.ones_like(mask)
    given = {"include_background": background, "mask": mask if masked else None, "draws": draws}
    value = contrastive_variance(p, image, y, lambda_cv=0.7, mu=0.02, tau=0.2, **given)
    classes = {pair for pair in marked(y, 4) if background or pair[1] > 0}
    terms = from_the_equation(p, image, classes, draws, 0.2, inside)
    assert 3 < len(terms) < len(classes)  # anchors without a partner are left out
    taking_part = p if background else p[:, 1:]
    length = length_of(taking_part, inside) / (4 * taking_part.shape[1])
    slow = 0.7 * sum(terms.values()) / len(terms) + 0.02 * length
    torch.testing.assert_close(value, slow, rtol=1e-10, atol=0)
    gradients = [torch.autograd.grad(x, p)[0] for x in (value, slow)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-13)


def test_literal_and_the_reading_differ_in_who_takes_part_and_in_what_is_divided():
    p, image, y, draws, mask = example()
    everywhere = torch.ones_like(mask)
    given = {**CONTRAST, "tau": 0.3, "draws": draws}
    all_terms = from_the_equation(p, image, everything(4, 3), draws, 0.3, everywhere)
    assert len(all_terms) == 4 * 3
    literal = contrastive_variance(p, image, y, **given, literal=True)
    torch.testing.assert_close(literal, sum(all_terms.values()), rtol=1e-10, atol=0)
    terms = from_the_equation(p, image, marked(y, 3), draws, 0.3, everywhere)
    assert len(terms) == 9
    torch.testing.assert_close(contrastive_variance(p, image, y, **given, reduction="sum"), sum(terms.values()))
    torch.testing.assert_close(contrastive_variance(p, image, y, **given), sum(terms.values()) / 9)
    torch.testing.assert_close(
        contrastive_variance(p, image, y, **LENGTH, literal=True), length_of(p, everywhere), rtol=1e-12, atol=0
    )


def test_literal_equals_eight_equations_in_pairwise_cosines():
    """The usual way of writing it, a cosine at a time."""
    p, image, y, draws, _ = example(k=4)
    value = contrastive_variance(p, image, y, lambda_cv=1e-3, mu=1e-5, literal=True, draws=draws)
    centres = (image * p).sum((2, 3), keepdim=True) / p.sum((2, 3), keepdim=True)
    z = ((image - centres) ** 2 * p).flatten(2)
    contrast = 0
    for n in range(4):
        m = max((i for i in range(4) if i != n), key=lambda i, n=n: float(draws[n, i]))
        for k in range(4):
            pos = torch.exp(F.cosine_similarity(z[n, k], z[m, k], dim=0) / 0.07)
            pairs = [(i, j) for i in range(4) if i != n for j in range(4) if j != k]
            neg = sum(torch.exp(F.cosine_similarity(z[n, k], z[i, j], dim=0) / 0.07) for i, j in pairs)
            contrast = contrast - torch.log(pos / (pos + neg))
    length = p.diff(dim=2).abs().sum() + p.diff(dim=3).abs().sum()
    torch.testing.assert_close(value, 1e-3 * contrast + 1e-5 * length, rtol=1e-10, atol=0)


def test_two_images_of_two_pixels_by_hand():
    # intensities 0 and 1, P_0 = (3/4, 1/4): c_0 = 1/4 and c_1 = 3/4, z_0 = (3, 9)/64 and z_1 = (9, 3)/64, so that the
    # cosine of equal classes is 1 and of unlike ones 54/90 = 0.6; each of the four anchors has one negative
    p = torch.tensor([[[0.75, 0.25]], [[0.25, 0.75]]]).expand(2, -1, -1, -1)
    image = torch.tensor([[[0.0, 1.0]]]).expand(2, -1, -1, -1)
    y = torch.tensor([[0, 1]]).expand(2, -1, -1)
    given = {"tau": 0.4, "lambda_cv": 10.0, "mu": 0.1}
    term = math.log(1 + math.exp(-1))
    assert contrastive_variance(p, image, y, **given).item() == pytest.approx(10 * term + 0.1 * 0.5)
    for changed in ({"reduction": "sum"}, {"literal": True}):
        value = contrastive_variance(p, image, y, **given, **changed).item()
        assert value == pytest.approx(4 * (10 * term + 0.1 * 0.5))


def test_the_value_of_a_fixed_tensor_stays_what_it_is():
    p, image, y, draws, mask = example()
    values = {
        "reading": contrastive_variance(p, image, y, draws=draws),
        "literal": contrastive_variance(p, image, y, draws=draws, literal=True),
        "masked": contrastive_variance(p, image, y, draws=draws, mask=mask, lambda_cv=1.0),
    }
    expected = {"reading": 0.00192672, "literal": 0.02934724, "masked": 2.07457128}
    assert {key: value.item() for key, value in values.items()} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("gain", "offset"), [(2.0, 0.0), (1.0, 5.0), (-3.0, 0.25), (0.01, -1.0)])
def test_stretched_and_shifted_intensities_have_the_same_contrast(gain, offset):
    p, image, y, draws, mask = example(c=2)
    given = {**CONTRAST, "draws": draws, "mask": mask}
    value = contrastive_variance(p, image, y, **given)
    torch.testing.assert_close(contrastive_variance(p, gain * image + offset, y, **given), value, rtol=1e-9, atol=0)


def test_each_image_may_be_stretched_by_itself():
    p, image, y, draws, _ = example()
    gains = torch.tensor([1.0, 7.0, -0.2, 3.0], dtype=torch.float64).view(4, 1, 1, 1)
    value = contrastive_variance(p, image, y, **CONTRAST, draws=draws)
    other = contrastive_variance(p, image * gains + gains, y, **CONTRAST, draws=draws)
    torch.testing.assert_close(other, value, rtol=1e-9, atol=0)


@pytest.mark.parametrize("literal", [False, True])
def test_the_order_of_classes_and_images_changes_nothing(literal):
    p, image, y, draws, mask = example()
    given = {"lambda_cv": 1.0, "mu": 0.1, "literal": literal}
    value = contrastive_variance(p, image, y, draws=draws, mask=mask, **given)
    classes = torch.tensor([2, 0, 1])
    renamed = torch.where(y == IGNORE, IGNORE, torch.argsort(classes)[y.clamp(max=2)])
    other = contrastive_variance(p[:, classes], image, renamed, draws=draws, mask=mask, **given)
    torch.testing.assert_close(other, value, rtol=1e-12, atol=0)
    images = torch.tensor([3, 1, 0, 2])
    shuffled = contrastive_variance(
        p[images], image[images], y[images], draws=draws[images][:, images], mask=mask[images], **given
    )
    torch.testing.assert_close(shuffled, value, rtol=1e-12, atol=0)


def test_a_high_temperature_counts_the_negatives():
    p, image, y, draws, _ = example()
    given = {**CONTRAST, "tau": 1e9, "draws": draws}
    pairs = marked(y, 3)
    logs = [
        math.log(1 + sum(i != n and j != k for i, j in pairs))
        for n, k in pairs
        if any(i != n and j == k for i, j in pairs)
    ]
    assert contrastive_variance(p, image, y, **given).item() == pytest.approx(sum(logs) / len(logs), rel=1e-8)
    literal = contrastive_variance(p, image, y, **given, literal=True)
    assert literal.item() == pytest.approx(12 * math.log(1 + 3 * 2), rel=1e-8)


@pytest.mark.parametrize(("b", "k"), [(4, 4), (2, 2), (3, 5)])
def test_maps_that_are_all_equal_have_a_closed_form(b, k):
    image = torch.rand(1, 1, 6, 7, generator=generator(), dtype=torch.float64).expand(b, -1, -1, -1)
    p = torch.full((b, k, 6, 7), 1 / k, dtype=torch.float64)
    unmarked = torch.full((b, 6, 7), IGNORE)
    value = contrastive_variance(p, image, unmarked, **CONTRAST, literal=True)
    assert value.item() / (b * k) == pytest.approx(math.log(1 + (b - 1) * (k - 1)), rel=1e-10)
    reading = contrastive_variance(p, image, points(b, k, (6, 7)), **CONTRAST)
    assert reading.item() == pytest.approx(value.item() / (b * k), rel=1e-10)


def test_maps_that_never_meet_leave_no_loss():
    """Each class varies in pixels of its own, the same ones in every image."""
    p = F.one_hot(torch.tensor([[0, 0, 1, 1, 2, 2]]), 3).movedim(-1, 1).double().expand(3, -1, -1)
    image = torch.tensor([[0.1, 0.3, 0.5, 0.2, 0.9, 0.4]], dtype=torch.float64).expand(3, 1, -1)
    value = contrastive_variance(p, image, points(3, 3, (6,)), **CONTRAST)
    # every cosine with a positive is 1, with each of the four negatives 0
    assert value.item() == pytest.approx(math.log(1 + 4 * math.exp(-1 / 0.07)), rel=1e-6)


def test_gradient_equals_finite_differences():
    p, image, y, draws, mask = example(b=3, h=5, w=5)
    for literal in (False, True):
        assert torch.autograd.gradcheck(
            lambda p, literal=literal: contrastive_variance(
                p, image, y, lambda_cv=1.0, mu=0.1, draws=draws, mask=mask, literal=literal
            ),
            (p,),
        )


@pytest.mark.parametrize("literal", [False, True])
def test_one_image_has_nothing_to_compare_with(literal):
    p, image, y, _, _ = example(b=1)
    value = contrastive_variance(p, image, y, **CONTRAST, literal=literal)
    (gradient,) = torch.autograd.grad(value, p)
    assert value.item() == 0
    assert (gradient == 0).all()
    assert contrastive_variance(p, image, y, literal=literal) > 0  # the boundaries are left


@pytest.mark.parametrize(
    "what", ["nothing marked", "one class", "each class in one image", "one channel", "no channel"]
)
def test_no_anchor_gives_zero_connected_to_the_graph(what):
    p, image, y, _, _ = example(b=3)
    background = True
    if what == "nothing marked":
        y = torch.full_like(y, IGNORE)
    if what == "one class":
        y = torch.where(y == 0, 0, IGNORE)
    if what == "each class in one image":
        y = torch.where(y == torch.arange(3).view(3, 1, 1), y, IGNORE)
    if what in ("one channel", "no channel"):
        p, y = p[:, :1], torch.where(y == 0, 0, IGNORE)
        background = what == "one channel"
    p = p.detach().requires_grad_()
    value = contrastive_variance(p, image, y, **CONTRAST, include_background=background)
    (gradient,) = torch.autograd.grad(value, p)
    assert value.item() == 0
    assert (gradient == 0).all()


def test_an_anchor_without_a_negative_is_not_counted():
    p, image, _, draws, _ = example(b=3, k=2)
    y = points(3, 2, (5, 6))
    y[:2] = torch.where(y[:2] == 1, 1, IGNORE)
    # class 1 is everywhere, class 0 in image 2 alone: image 2 has a positive and nothing to tell it from
    assert marked(y, 2) == {(0, 1), (1, 1), (2, 1), (2, 0)}
    given = {**CONTRAST, "draws": draws}
    total = contrastive_variance(p, image, y, **given, reduction="sum")
    torch.testing.assert_close(contrastive_variance(p, image, y, **given), total / 2)


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("what", ["flat image", "vanished class", "empty mask", "certain"])
def test_maps_without_variance_are_finite(what, literal):
    p, image, y, draws, mask = example()
    p, image = p.detach().float(), image.float()
    if what == "flat image":
        image = torch.full_like(image, 0.3)
    if what == "vanished class":
        p[:, 1] = 0
    if what == "empty mask":
        mask = torch.zeros_like(mask)
    if what == "certain":
        p = F.one_hot(p.argmax(1), 3).movedim(-1, 1).float()
    p.requires_grad_()
    value = contrastive_variance(p, image, y, draws=draws, mask=mask, literal=literal)
    value.backward()
    assert value.isfinite()
    assert p.grad.isfinite().all()


def test_faint_predictions_keep_their_cosines_in_float32():
    p, image, y, draws, _ = example()
    given = {**CONTRAST, "draws": draws}
    exact = contrastive_variance(p, image, y, **given)
    faint = contrastive_variance((p * 1e-6).float(), image.float(), y, **given)
    torch.testing.assert_close(faint.double(), exact, rtol=1e-5, atol=0)


def test_autocast_does_not_touch_the_inner_products():
    p, image, y, draws, _ = example()
    p, image = p.detach().float(), image.float()
    value = contrastive_variance(p, image, y, draws=draws)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrastive_variance(p, image, y, draws=draws), value)
        low = contrastive_variance(p.bfloat16(), image, y, draws=draws)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, value, rtol=1e-2, atol=0)


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_the_boundary_of_a_square_is_four_sides_long(side):
    p = torch.zeros(1, 1, 9, 9)
    p[..., 2 : 2 + side, 3 : 3 + side] = 1
    value = contrastive_variance(p, torch.zeros(1, 1, 9, 9), torch.zeros(1, 9, 9, dtype=torch.long), **LENGTH)
    assert value.item() == 4 * side


def test_boundaries_are_a_mean_over_images_and_classes():
    p, image, y, _, _ = example()
    given = {**LENGTH, "draws": torch.rand(4, 4)}
    total = contrastive_variance(p, image, y, **given, reduction="sum")
    torch.testing.assert_close(contrastive_variance(p, image, y, **given), total / 12)
    foreground = contrastive_variance(p, image, y, **given, include_background=False)
    whole = torch.ones_like(y, dtype=torch.bool)
    torch.testing.assert_close(foreground, length_of(p[:, 1:], whole) / 8)


def test_what_lies_outside_the_mask_is_never_read():
    p, image, y, draws, mask = example()
    given = {"lambda_cv": 1.0, "mu": 0.1, "draws": draws, "mask": mask}
    value = contrastive_variance(p, image, y, **given)
    (gradient,) = torch.autograd.grad(value, p)
    outside = ~mask.unsqueeze(1)
    dirty = p.detach().masked_fill(outside, math.nan).requires_grad_()
    other = contrastive_variance(dirty, image.masked_fill(outside, math.inf), y.masked_fill(~mask, 1), **given)
    assert torch.equal(other, value)
    (others,) = torch.autograd.grad(other, dirty)
    assert torch.equal(others, gradient)
    assert (others.masked_select(outside) == 0).all()


def test_a_partner_is_any_other_image_with_the_class():
    """Three anchors with three candidates each: a draw gives one of 27 values, each as often as the others."""
    p, image, _, _, _ = example(k=2)
    y = torch.full((4, 5, 6), IGNORE)
    y[:, 0, 0] = 1
    y[3, 0, 1] = 0  # the only negative of images 0, 1 and 2; image 3 has none, and its class 0 no positive
    torch.manual_seed(0)
    found = [round(contrastive_variance(p, image, y, **CONTRAST, reduction="sum").item(), 9) for _ in range(2700)]
    times = torch.unique(torch.tensor(found), return_counts=True)[1]
    assert len(times) == 27
    assert (times - 100).abs().max() < 40  # four standard deviations


def test_draws_come_from_the_global_generator():
    p, image, y, _, _ = example()
    torch.manual_seed(3)
    draws = torch.rand(4, 4)
    torch.manual_seed(3)
    value = contrastive_variance(p, image, y)
    assert torch.equal(value, contrastive_variance(p, image, y, draws=draws))
    assert not torch.equal(value, contrastive_variance(p, image, y, draws=-draws))


def test_the_image_takes_no_gradient_and_inputs_keep_their_values():
    p, image, y, draws, mask = example()
    before = [x.clone() for x in (p, image, y, draws)]
    contrastive_variance(p, image.requires_grad_(), y, draws=draws, mask=mask).backward()
    assert image.grad is None
    assert all(torch.equal(x, same) for x, same in zip((p, image, y, draws), before, strict=True))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"probabilities": torch.zeros(4, 3, 5)}, "must share one grid"),
        ({"label": torch.zeros(4, 5, dtype=torch.long)}, r"label must be an integer tensor \(4, 5, 6\)"),
        ({"image": torch.zeros(4, 1, 5, 7)}, r"must share one grid, got \(4, 3, 5, 6\) and \(4, 1, 5, 7\)"),
        ({"image": torch.zeros(4, 1, 5, 6, dtype=torch.uint8)}, "image must be a floating tensor"),
        ({"label": torch.full((4, 5, 6), 3)}, "label holds 3, which is neither a class"),
        ({"mask": torch.ones(4, 1, 5, 6, dtype=torch.bool)}, r"mask must be a Boolean tensor \(4, 5, 6\)"),
        ({"draws": torch.rand(4, 3)}, r"draws must have the shape \(4, 4\), got \(4, 3\)"),
        ({"lambda_cv": -1.0}, "lambda_cv and mu must not be negative and tau be positive, got -1.0, "),
        ({"mu": -1.0}, "lambda_cv and mu must not be negative"),
        ({"tau": 0.0}, "tau be positive"),
        ({"reduction": "none"}, "reduction must be 'mean' or 'sum', got 'none'"),
    ],
)
def test_wrong_inputs_are_named(change, text):
    p, image, y, _, _ = example()
    with pytest.raises(ValueError, match=text):
        contrastive_variance(**{"probabilities": p, "image": image, "label": y, **change})
