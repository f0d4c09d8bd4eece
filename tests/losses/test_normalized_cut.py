from __future__ import annotations

import math

import pytest
import torch

from pointillist.losses import normalized_cut
from pointillist.losses._bilateral import Kernel

every_form = pytest.mark.parametrize("form", ["exact", "fast"])


def example(k=3, c=1, h=5, w=6, b=2):
    g = torch.Generator().manual_seed(0)
    p = torch.randn(b, k, h, w, generator=g).double().softmax(1)
    return p.requires_grad_(), torch.rand(b, c, h, w, generator=g).double(), torch.rand(b, h, w, generator=g) < 0.7


def kernel_of(image, sigma_xy, sigma_rgb):
    """W of one image, entry by entry."""
    _, h, w = image.shape
    kernel = torch.zeros(h * w, h * w).double()
    for m in range(h * w):
        for n in range(h * w):
            place = ((m // w - n // w) ** 2 + (m % w - n % w) ** 2) / sigma_xy**2
            colour = ((image[:, m // w, m % w] - image[:, n // w, n % w]) ** 2).sum() / sigma_rgb**2
            kernel[m, n] = torch.exp(-(place + colour) / 2)
    return kernel


def from_the_equation(p, image, valid, sigma_xy, sigma_rgb):
    cuts = []
    for q, colours, inside in zip(p, image, valid, strict=True):
        kernel = kernel_of(colours, sigma_xy, sigma_rgb) * inside.view(-1, 1) * inside.view(-1)
        degree = kernel.sum(1)
        cuts.append(sum(s @ kernel @ (1 - s) / (degree @ s) for s in q.flatten(1)))
    return sum(cuts) / len(cuts)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_value_and_gradient_equal_the_equation(channels, masked):
    p, image, valid = example(c=channels)
    value = normalized_cut(p, image, sigma_xy=3.0, sigma_rgb=0.4, valid=valid if masked else None)
    slow = from_the_equation(p, image, valid if masked else torch.ones_like(valid), 3.0, 0.4)
    torch.testing.assert_close(value, slow, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(x, p)[0] for x in (value, slow)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


def test_gradient_in_closed_form():
    p, image, _ = example(b=1)
    normalized_cut(p, image, sigma_xy=3.0, sigma_rgb=0.4).backward()
    kernel, s = kernel_of(image[0], 3.0, 0.4), p.detach()[0].flatten(1)
    degree, pulled = kernel.sum(1), s @ kernel
    volume, within = (s @ degree)[:, None], (s * pulled).sum(1, keepdim=True)
    torch.testing.assert_close(p.grad[0].flatten(1), within * degree / volume**2 - 2 * pulled / volume)


def test_two_pairs_of_pixels_by_hand():
    p, q, step = torch.tensor([0.9, 0.1]), torch.tensor([0.3, 0.7]), 0.05
    image = torch.tensor([0.5, 0.5, 0.5 + step, 0.5 + step]).view(1, 1, 1, 4)
    value = normalized_cut(torch.stack([p, p, q, q], 1).view(1, 2, 1, 4), image, sigma_xy=math.inf)
    w = math.exp(-((step * 255 / 15) ** 2) / 2)
    # within: 4 (s_p² + s_q² + 2 w s_p s_q); d = 2 + 2w for all four; volume: 2 d (s_p + s_q)
    kept = (0.81 + 0.09 + 2 * w * 0.27) / (1.2 * (1 + w)) + (0.01 + 0.49 + 2 * w * 0.07) / (0.8 * (1 + w))
    assert value.item() == pytest.approx(2 - kept)


@every_form
def test_one_class_cuts_nothing(form):
    _, image, valid = example()
    assert normalized_cut(torch.ones(2, 1, 5, 6), image, valid=valid, form=form).item() == pytest.approx(0, abs=1e-12)


@every_form
def test_components_that_no_affinity_joins_cost_nothing_when_told_apart(form):
    image = torch.zeros(1, 1, 8, 8)
    image[..., :2] = 1  # of unlike size
    p = torch.cat([image, 1 - image], 1)
    assert normalized_cut(p, image, form=form).item() == pytest.approx(0, abs=1e-6)
    assert normalized_cut(p.flip(3), image, form=form) > 0.9


def test_a_small_class_weighs_no_less_than_a_large_one():
    """Of four columns of one colour, class 1 holds one or two: each class keeps its share of the pixels."""
    image = torch.zeros(1, 1, 4, 4)
    for columns in (1, 2):
        one = torch.zeros(1, 1, 4, 4)
        one[..., :columns] = 1
        assert normalized_cut(torch.cat([1 - one, one], 1), image, sigma_xy=math.inf).item() == pytest.approx(1)


@every_form
def test_scaling_the_kernel_changes_nothing(form, monkeypatch):
    p, image, valid = example()
    value = normalized_cut(p, image, valid=valid, form=form)
    (gradient,) = torch.autograd.grad(value, p)
    plain = Kernel.filter
    monkeypatch.setattr(Kernel, "filter", lambda self, *given: 7 * plain(self, *given))
    scaled = normalized_cut(p, image, valid=valid, form=form)
    torch.testing.assert_close(scaled, value)
    torch.testing.assert_close(torch.autograd.grad(scaled, p)[0], gradient)


@every_form
def test_a_class_that_holds_less_than_a_pixel_is_left_out(form):
    p, image, _ = example()
    value = normalized_cut(p, image, form=form)
    for share in (0.0, 0.9 / 30):
        more = torch.cat([p.detach(), torch.full_like(p[:, :1], share)], 1).requires_grad_()
        with_absent = normalized_cut(more, image, form=form)
        with_absent.backward()
        torch.testing.assert_close(with_absent, value)
        assert (more.grad[:, 3] == 0).all()
        assert more.grad.isfinite().all()
    assert normalized_cut(torch.cat([p, torch.full_like(p[:, :1], 1.1 / 30)], 1), image, form=form) > value + 0.5


@every_form
def test_padding_takes_no_part(form):
    p, image, _ = example(h=10, w=12)
    valid = torch.zeros(2, 10, 12, dtype=torch.bool)
    valid[:, :8, :6] = True
    cropped = normalized_cut(p[..., :8, :6], image[..., :8, :6], sigma_xy=4.0, sigma_rgb=0.5, form="exact")
    value = normalized_cut(p, image, sigma_xy=4.0, sigma_rgb=0.5, valid=valid, form=form)
    torch.testing.assert_close(value, cropped, rtol=1e-12 if form == "exact" else 1e-2, atol=0)


@every_form
def test_images_of_a_batch_do_not_meet(form):
    p, image, valid = example()
    each = [normalized_cut(p[n : n + 1], image[n : n + 1], valid=valid[n : n + 1], form=form) for n in range(2)]
    torch.testing.assert_close(normalized_cut(p, image, valid=valid, form=form), sum(each) / 2)
    valid[0] = False
    torch.testing.assert_close(normalized_cut(p, image, valid=valid, form=form), each[1] / 2)


@every_form
def test_an_empty_mask_gives_zero_connected_to_the_graph(form):
    p, image, valid = example()
    value = normalized_cut(p, image, valid=torch.zeros_like(valid), form=form)
    value.backward()
    assert value.item() == 0
    assert (p.grad == 0).all()


def test_the_value_is_pinned():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    image = ((3 * rows + 5 * columns) % 7 / 70).view(1, 1, 8, 8).double()
    p = torch.stack([rows, columns, 9 - rows]).softmax(0).unsqueeze(0).double()
    assert normalized_cut(p, image).item() == pytest.approx(PINNED, rel=1e-9)


PINNED = 1.999505338308991


def test_a_second_derivative_is_refused():
    p, image, _ = example()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(normalized_cut(p, image), p, create_graph=True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"image": torch.zeros(2, 1, 5, 7)}, "must share one grid"),
        ({"sigma_xy": -1}, "widths must be positive, got sigma_xy -1"),
        ({"valid": torch.ones(2, 5, 6)}, "valid must be a Boolean tensor"),
        ({"form": ""}, "form must be auto, exact or fast, got ''"),
    ],
)
def test_wrong_inputs_are_named(change, text):
    p, image, _ = example()
    with pytest.raises(ValueError, match=text):
        normalized_cut(**{"probabilities": p, "image": image, **change})
