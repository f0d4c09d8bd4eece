from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import dense_crf

every_form = pytest.mark.parametrize("form", ["exact", "fast"])


def example(k=3, c=1, h=5, w=6, b=2):
    g = torch.Generator().manual_seed(0)
    p = torch.randn(b, k, h, w, generator=g).double().softmax(1)
    return p.requires_grad_(), torch.rand(b, c, h, w, generator=g).double(), torch.rand(b, h, w, generator=g) < 0.7


def weight_between(image, one, other, sigma_xy, sigma_rgb):
    place = sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / sigma_xy**2
    colour = ((image[:, one[0], one[1]] - image[:, other[0], other[1]]) ** 2).sum().item() / sigma_rgb**2
    return math.exp(-(place + colour) / 2)


def from_the_equation(p, image, valid, sigma_xy, sigma_rgb):
    """Σ_k S_kᵀW(1−S_k) over 1ᵀW1, image by image."""
    shares = []
    for q, colours, inside in zip(p, image, valid, strict=True):
        pixels = inside.nonzero().tolist()
        energy, total = 0, 0
        for one in pixels:
            for other in pixels:
                weight = weight_between(colours, one, other, sigma_xy, sigma_rgb)
                energy = energy + weight * (q[:, one[0], one[1]] * (1 - q[:, other[0], other[1]])).sum()
                total += weight
        shares.append(energy / total)
    return sum(shares) / len(shares)


def public(p, image, valid, sigma_xy=100.0, sigma_rgb=15 / 255):
    """The public code's energy with an exact kernel: half the size, then −Σ_k S_kᵀWS_k / B."""
    half = F.avg_pool2d(p, 2) * valid[:, None, ::2, ::2]
    colours = image[:, :, ::2, ::2]
    rows, columns = torch.meshgrid(*(torch.arange(n).double() for n in half.shape[2:]), indexing="ij")
    energy = 0
    for q, i in zip(half, colours, strict=True):
        features = torch.cat([torch.stack([rows, columns]) / (0.5 * sigma_xy), 255 * i / (255 * sigma_rgb)]).flatten(1)
        kernel = torch.exp(-((features[:, :, None] - features[:, None]) ** 2).sum(0) / 2)
        energy = energy - torch.einsum("kp,pq,kq->", q.flatten(1), kernel, q.flatten(1))
    return energy / len(p)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_value_and_gradient_equal_the_equation(channels, masked):
    p, image, valid = example(c=channels)
    given = valid if masked else None
    value = dense_crf(p, image, sigma_xy=3.0, sigma_rgb=0.4, valid=given)
    slow = from_the_equation(p, image, valid if masked else torch.ones_like(valid), 3.0, 0.4)
    torch.testing.assert_close(value, slow, rtol=1e-12, atol=0)
    gradient = torch.autograd.grad(value, p)[0]
    # the two forms differ where the classes do not sum to 1, so gradients agree up to a constant a pixel
    one, other = (x - x.mean(1, keepdim=True) for x in (gradient, torch.autograd.grad(slow, p)[0]))
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


def test_gradient_in_closed_form():
    p, image, _ = example(b=1)
    dense_crf(p, image, sigma_xy=3.0, sigma_rgb=0.4).backward()
    kernel = torch.tensor(
        [[weight_between(image[0], (m // 6, m % 6), (n // 6, n % 6), 3.0, 0.4) for n in range(30)] for m in range(30)]
    ).double()
    pulled = (p.detach().flatten(2) @ kernel).view_as(p)
    torch.testing.assert_close(p.grad, -2 * pulled / kernel.sum(), rtol=1e-6, atol=0)


def test_two_pixels_by_hand():
    p, q, step = torch.tensor([0.9, 0.1]), torch.tensor([0.3, 0.7]), 0.05
    value = dense_crf(torch.stack([p, q], 1).view(1, 2, 1, 2), torch.tensor([0.5, 0.5 + step]).view(1, 1, 1, 2))
    w = math.exp(-(1 / 100**2 + (step * 255 / 15) ** 2) / 2)
    # ⟨p, p⟩ + ⟨q, q⟩ = 0.82 + 0.58, ⟨p, q⟩ = 0.27 + 0.07
    assert value.item() == pytest.approx(1 - (1.4 + 2 * w * 0.34) / (2 + 2 * w))


@every_form
def test_a_constant_one_hot_prediction_is_the_minimum(form):
    p, image, valid = example()
    constant = torch.zeros_like(p)
    constant[:, 1] = 1
    assert dense_crf(constant, image, valid=valid, form=form).item() == pytest.approx(0, abs=1e-12)
    assert dense_crf(p, image, valid=valid, form=form) > 0.1


@every_form
def test_a_uniform_prediction_agrees_with_one_in_k(form):
    _, image, _ = example()
    assert dense_crf(torch.full((2, 4, 5, 6), 0.25), image, form=form).item() == pytest.approx(0.75)


@every_form
def test_regions_that_no_affinity_joins_cost_nothing_when_told_apart(form):
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4:] = 1
    p = torch.cat([1 - image, image], 1)
    assert dense_crf(p, image, form=form).item() == pytest.approx(0, abs=1e-6)
    # half of what joins a pixel is of the other class, less by the fall of the kernel in space
    assert dense_crf(p.transpose(2, 3), image, form=form).item() == pytest.approx(0.5, abs=1e-3)


@every_form
def test_association_is_never_negative_whatever_is_given(form):
    g = torch.Generator().manual_seed(3)
    for _ in range(20):
        s = torch.randn(1, 2, 5, 6, generator=g).double()
        assert dense_crf(s, torch.rand(1, 1, 5, 6, generator=g).double(), form=form) <= 1


@every_form
def test_padding_takes_no_part(form):
    p, image, _ = example(h=10, w=12)
    valid = torch.zeros(2, 10, 12, dtype=torch.bool)
    valid[:, :8, :6] = True
    # the last pixels have the same places in the cropped image: the padding lies below and to the right
    cropped = dense_crf(p[..., :8, :6], image[..., :8, :6], sigma_xy=4.0, sigma_rgb=0.5, form="exact")
    value = dense_crf(p, image, sigma_xy=4.0, sigma_rgb=0.5, valid=valid, form=form)
    torch.testing.assert_close(value, cropped, rtol=1e-12 if form == "exact" else 1e-2, atol=0)


@every_form
def test_images_of_a_batch_do_not_meet(form):
    p, image, valid = example()
    each = [dense_crf(p[n : n + 1], image[n : n + 1], valid=valid[n : n + 1], form=form) for n in range(2)]
    torch.testing.assert_close(dense_crf(p, image, valid=valid, form=form), sum(each) / 2)
    valid[0] = False
    torch.testing.assert_close(dense_crf(p, image, valid=valid, form=form), each[1] / 2)


def test_the_form_goes_by_size():
    g = torch.Generator().manual_seed(0)
    for side, form, other in ((64, "exact", "fast"), (65, "fast", "exact")):
        p, image = torch.rand(1, 1, 64, side, generator=g), torch.rand(1, 1, 64, side, generator=g)
        assert dense_crf(p, image) == dense_crf(p, image, form=form)
        assert dense_crf(p, image) != dense_crf(p, image, form=other)


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
@pytest.mark.parametrize("channels", [1, 3])
def test_literal_equals_the_public_energy(size, channels):
    p, image, valid = example(c=channels, h=size[0], w=size[1])
    value = dense_crf(p, image, valid=valid, sigma_rgb=0.4, literal=True)
    valid = valid[:, : size[0] // 2 * 2, : size[1] // 2 * 2]
    slow = public(p.where(valid_or_outside(p, valid), 0), crop(image, valid), valid, sigma_rgb=0.4)
    torch.testing.assert_close(value, slow, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(x, p)[0] for x in (value, slow)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


def crop(image, valid):
    return image[..., : valid.shape[1], : valid.shape[2]]


def valid_or_outside(p, valid):
    """The mask on the grid of p, False in an odd last row or column."""
    return F.pad(valid, (0, p.shape[3] - valid.shape[2], 0, p.shape[2] - valid.shape[1])).unsqueeze(1)


def test_literal_and_reading_are_pinned():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    image = ((3 * rows + 5 * columns) % 7 / 70).view(1, 1, 8, 8).double()
    p = torch.stack([rows, columns, 9 - rows]).softmax(0).unsqueeze(0).double()
    assert dense_crf(p, image).item() == pytest.approx(READING, rel=1e-9)
    assert dense_crf(p, image, literal=True).item() == pytest.approx(LITERAL, rel=1e-9)


READING, LITERAL = 0.5945818219068014, -82.8530646385268


def test_literal_grows_with_the_square_of_the_pixels_and_the_reading_does_not():
    small, large = (torch.full((1, 2, side, side), 0.5) for side in (8, 16))
    flat = [torch.zeros(1, 1, side, side) for side in (8, 16)]
    raw = [dense_crf(p, i, sigma_xy=math.inf, literal=True).item() for p, i in zip((small, large), flat, strict=True)]
    assert raw[1] / raw[0] == pytest.approx(16)
    shares = [dense_crf(p, i, sigma_xy=math.inf).item() for p, i in zip((small, large), flat, strict=True)]
    assert shares == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("literal", [False, True])
@every_form
def test_an_empty_mask_gives_zero_connected_to_the_graph(form, literal):
    p, image, valid = example()
    value = dense_crf(p, image, valid=torch.zeros_like(valid), form=form, literal=literal)
    value.backward()
    assert value.item() == 0
    assert (p.grad == 0).all()


@every_form
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_one_pixel_and_one_class(form, channels):
    assert dense_crf(torch.ones(1, 1, 1, 1), torch.ones(1, channels, 1, 1), form=form).item() == pytest.approx(0)


@every_form
def test_autocast_does_not_touch_the_precision(form):
    p, image, _ = example()
    p, image = p.detach().float(), image.float()
    value = dense_crf(p, image, form=form)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(dense_crf(p, image, form=form), value)


def test_the_image_takes_no_gradient_and_keeps_its_values():
    p, image, valid = example()
    before = image.clone()
    dense_crf(p, image.requires_grad_(), valid=valid).backward()
    assert image.grad is None
    assert torch.equal(image, before)


def test_a_second_derivative_is_refused():
    p, image, _ = example()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(dense_crf(p, image), p, create_graph=True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"probabilities": torch.zeros(2, 3, 7)}, "must share one grid"),
        ({"image": torch.zeros(2, 1, 5, 7)}, r"must share one grid, got \(2, 3, 5, 6\) and \(2, 1, 5, 7\)"),
        ({"image": torch.zeros(1, 1, 5, 6)}, "must share one grid"),
        ({"image": torch.zeros(2, 1, 5, 6, dtype=torch.uint8)}, "image must be a floating tensor"),
        ({"sigma_xy": 0}, "widths must be positive, got sigma_xy 0"),
        ({"sigma_rgb": -1.0}, r"sigma_rgb -1\.0"),
        ({"valid": torch.ones(2, 5, 6)}, r"valid must be a Boolean tensor \(2, 5, 6\)"),
        ({"form": "slow"}, "form must be auto, exact or fast, got 'slow'"),
        ({"form": "fast", "image": torch.zeros(2, 4, 5, 6)}, "1 to 3 channels, got 4"),
    ],
)
def test_wrong_inputs_are_named(change, text):
    p, image, _ = example()
    with pytest.raises(ValueError, match=text):
        dense_crf(**{"probabilities": p, "image": image, **change})


def test_literal_needs_two_pixels_a_side():
    with pytest.raises(ValueError, match=r"sides must be 2 or more, got \(1, 1, 1, 6\)"):
        dense_crf(torch.ones(1, 2, 1, 6), torch.ones(1, 1, 1, 6), literal=True)
