from __future__ import annotations

import pytest
import torch

from pointillist.losses import intensity_variance

PRESENT = torch.tensor([[True, False, True], [True, True, True]])


def example(b=2, k=3, c=1, shape=(5, 6), dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    p = torch.randn(b, k, *shape, generator=g, dtype=dtype).softmax(1)
    mask = torch.rand(b, *shape, generator=g) < 0.7
    return p.requires_grad_(), torch.rand(b, c, *shape, generator=g, dtype=dtype), mask


def from_the_equation(p, image, present, mask):
    b, k, h, w = p.shape
    total = 0.0
    for n in range(b):
        inside = [(y, x) for y in range(h) for x in range(w) if mask[n, y, x]]
        kept = [i for i in range(k) if present[n, i]]
        if len(kept) < 2:
            continue
        for colours in image[n]:
            centres, within = [], []
            for plane in p[n, kept]:
                mass = sum(plane[at] for at in inside)
                centres.append(sum(plane[at] * colours[at] for at in inside) / mass)
                within.append(sum(plane[at] * (colours[at] - centres[-1]) ** 2 for at in inside) / mass)
            middle = sum(centres) / len(kept)
            total = total + (sum(within) - sum((centre - middle) ** 2 for centre in centres)) / len(kept)
    return total / b


def public(p, image):
    """inter − intra of the public code, whose images have one channel."""
    products = image * p
    return products.mean((2, 3)).std(1).mean() - products.std((2, 3)).mean()


def agree(value, other, p):
    torch.testing.assert_close(value, other, rtol=1e-10, atol=1e-12)
    gradients = [torch.autograd.grad(x, p)[0] for x in (value, other)]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_value_and_gradient_equal_the_equation(channels, some):
    p, image, mask = example(c=channels)
    given = {"present": PRESENT, "mask": mask} if some else {}
    present, mask = (PRESENT, mask) if some else (torch.ones_like(PRESENT), torch.ones_like(mask))
    agree(intensity_variance(p, image, **given), from_the_equation(p, image, present, mask), p)


def test_by_hand():
    p = torch.tensor([[0.5, 1.0], [0.5, 0.0]]).view(1, 2, 1, 2)
    image = torch.tensor([0.2, 0.8]).view(1, 1, 1, 2)
    # c = (0.6, 0.2); within (0.12 / 1.5, 0), mean 0.04; between 0.2²
    assert intensity_variance(p, image).item() == pytest.approx(0.04 - 0.04, abs=1e-7)
    assert intensity_variance(p, 2 * image).item() == pytest.approx(0, abs=1e-7)
    sharp = torch.eye(2).view(1, 2, 1, 2)
    assert intensity_variance(sharp, image).item() == pytest.approx(-0.09)
    # products .2 0 and 0 .8: means .1 and .4, deviations .2/√2 and .8/√2
    by_hand = 0.3 / 2**0.5 - 0.5 / 2**0.5
    assert intensity_variance(sharp, image, literal=True).item() == pytest.approx(by_hand, rel=1e-6)


def test_the_literal_form_is_the_public_one_and_not_the_reading():
    p, image, _ = example()
    agree(intensity_variance(p, image, literal=True), public(p, image), p)
    assert intensity_variance(p, image).item() == pytest.approx(0.091669, abs=1e-6)
    assert intensity_variance(p, image, literal=True).item() == pytest.approx(-0.141107, abs=1e-6)


def test_the_literal_form_prefers_halves_of_the_image_to_the_bright_square_in_it():
    image = torch.full((1, 1, 12, 12), 0.2, dtype=torch.float64)
    image[..., 3:8, 3:8] = 0.9
    half = torch.zeros_like(image)
    half[..., :6] = 1
    square, half = (torch.cat([1 - x, x], 1) for x in ((image > 0.5).double(), half))
    assert intensity_variance(square, image).item() == pytest.approx(-(0.35**2))
    assert intensity_variance(half, image) > 0
    assert intensity_variance(half, image, literal=True) < intensity_variance(square, image, literal=True)


def test_channels_of_the_image_are_added():
    p, image, _ = example(c=3)
    for literal in (False, True):
        each = [intensity_variance(p, channel, literal=literal) for channel in image.split(1, 1)]
        torch.testing.assert_close(intensity_variance(p, image, literal=literal), sum(each))


def test_offsets_change_nothing_and_contrast_counts_squared():
    p, image, _ = example()
    value = intensity_variance(p, image)
    torch.testing.assert_close(intensity_variance(p, image + 5), value)
    torch.testing.assert_close(intensity_variance(p, 3 * image), 9 * value)


def test_naming_the_classes_in_another_order_changes_nothing():
    p, image, mask = example()
    order = [2, 0, 1]
    one = intensity_variance(p, image, present=PRESENT, mask=mask)
    torch.testing.assert_close(intensity_variance(p[:, order], image, present=PRESENT[:, order], mask=mask), one)


def test_one_step_downhill_lowers_the_loss():
    p, image, _ = example()
    for literal in (False, True):
        value = intensity_variance(p, image, literal=literal)
        (gradient,) = torch.autograd.grad(value, p)
        assert intensity_variance(p - 1e-4 * gradient / gradient.abs().max(), image, literal=literal) < value


def test_absent_classes_take_no_gradient():
    p, image, _ = example()
    (gradient,) = torch.autograd.grad(intensity_variance(p, image, present=PRESENT), p)
    assert (gradient[0, 1] == 0).all()
    assert (gradient[1, 1] != 0).any()


@pytest.mark.parametrize("marked", [0, 1])
def test_fewer_than_two_classes_give_zero_connected_to_the_graph(marked):
    p, image, _ = example()
    present = torch.zeros_like(PRESENT)
    present[:, :marked] = True
    value = intensity_variance(p, image, present=present)
    (gradient,) = torch.autograd.grad(value, p)
    assert value.item() == 0
    assert (gradient == 0).all()
    alone = intensity_variance(torch.ones(2, 1, 5, 6), image.float())
    assert alone.item() == 0


def test_an_empty_mask_gives_zero_connected_to_the_graph():
    p, image, mask = example()
    value = intensity_variance(p, image, mask=torch.zeros_like(mask))
    (gradient,) = torch.autograd.grad(value, p)
    assert value.item() == 0
    assert gradient.isfinite().all()


def test_a_class_that_vanishes_fades_into_the_middle_of_the_image():
    logits = torch.zeros(1, 3, 5, 6)
    logits[:, 1] = -1e4  # its probability is exactly 0
    logits.requires_grad_()
    image = torch.rand(1, 1, 5, 6, generator=torch.Generator().manual_seed(0)) + 100
    value = intensity_variance(logits.softmax(1), image)
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.isfinite().all()
    assert value.item() == pytest.approx(2 / 3 * image.var(correction=0).item(), rel=1e-3)


def test_the_literal_form_is_finite_where_nothing_deviates():
    p = torch.full((1, 2, 3, 3), 0.5, requires_grad=True)
    value = intensity_variance(p, torch.ones(1, 1, 3, 3), literal=True)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert p.grad.isfinite().all()
    alone = torch.ones(1, 1, 1, 1, requires_grad=True)
    assert intensity_variance(alone, torch.ones(1, 1, 1, 1), literal=True).isfinite()


@pytest.mark.parametrize("rubbish", [float("nan"), float("inf")])
def test_what_stands_in_masked_pixels_is_never_read(rubbish):
    p, image, mask = example()
    value = intensity_variance(p, image, mask=mask)
    outside = ~mask.unsqueeze(1)
    dirty = p.detach().masked_fill(outside, rubbish).requires_grad_()
    other = intensity_variance(dirty, image.masked_fill(outside, rubbish), mask=mask)
    (gradient,) = torch.autograd.grad(other, dirty)
    assert torch.equal(other, value)
    assert (gradient.masked_select(outside) == 0).all()


@pytest.mark.parametrize("shape", [(7,), (4, 5), (2, 3, 4)])
def test_gradcheck_in_any_dimension(shape):
    p, image, mask = example(c=2, shape=shape)
    assert torch.autograd.gradcheck(lambda p: intensity_variance(p, image, present=PRESENT, mask=mask), (p,))
    assert torch.autograd.gradcheck(lambda p: intensity_variance(p, image, literal=True), (p,))


@pytest.mark.parametrize("literal", [False, True])
def test_layout_and_bfloat16(literal):
    p, image, _ = example(shape=(16, 16), dtype=torch.float32)
    exact = intensity_variance(p, image, literal=literal)
    last = p.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(intensity_variance(last, image, literal=literal), exact)
    with torch.autocast("cpu", torch.bfloat16):
        value = intensity_variance(last.bfloat16(), image.bfloat16(), literal=literal)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=2e-2, atol=0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"image": torch.zeros(2, 1, 5, 7)}, r"must share one grid, got \(2, 3, 5, 6\) and \(2, 1, 5, 7\)"),
        ({"mask": torch.ones(2, 5, 6)}, "mask must be a Boolean tensor"),
        ({"present": torch.ones(2, 3)}, r"present must be a Boolean tensor \(2, 3\), got torch.float32 \(2, 3\)"),
        ({"present": torch.ones(2, 4, dtype=torch.bool)}, r"present must be a Boolean tensor \(2, 3\)"),
        ({"present": PRESENT, "literal": True}, "the literal form knows neither present nor mask"),
        ({"mask": torch.ones(2, 5, 6, dtype=torch.bool), "literal": True}, "the literal form knows neither"),
    ],
)
def test_wrong_inputs_are_named(change, text):
    p, image, _ = example()
    with pytest.raises(ValueError, match=text):
        intensity_variance(**{"probabilities": p, "image": image, **change})
