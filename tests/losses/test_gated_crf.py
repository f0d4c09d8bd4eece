from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import gated_crf

NEVER, ALWAYS = torch.zeros(2, 7, 8, dtype=torch.bool), torch.ones(2, 7, 8, dtype=torch.bool)


def example(k=3, c=1, h=7, w=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    p = torch.randn(2, k, h, w, generator=g, dtype=torch.float64).softmax(1)
    gates = torch.rand(2, 2, h, w, generator=g) < 0.6
    return p.requires_grad_(), torch.rand(2, c, h, w, generator=g, dtype=torch.float64), gates[0], gates[1]


def from_the_equation(p, image, radius, sigma_xy, sigma_rgb, source, destination):
    energy = torch.zeros((), dtype=torch.float64)
    b, _, h, w = p.shape
    near = [(dy, dx) for dy in range(-radius, radius + 1) for dx in range(-radius, radius + 1) if (dy, dx) != (0, 0)]
    for n, y, x in ((n, y, x) for n in range(b) for y in range(h) for x in range(w)):
        for dy, dx in near:
            v, u = y + dy, x + dx
            if not (0 <= v < h and 0 <= u < w and destination[n, y, x] and source[n, v, u]):
                continue
            colour = ((image[n, :, y, x] - image[n, :, v, u]) ** 2).sum() / sigma_rgb**2
            weight = torch.exp(-((dy**2 + dx**2) / sigma_xy**2 + colour) / 2)
            energy = energy + weight * (1 - (p[n, :, y, x] * p[n, :, v, u]).sum())
    return energy


def unfolded(p, image, radius, sigma_xy, sigma_rgb, source=None, destination=None):
    """The public form: windows gathered from zero-padded maps, divided by the last gate's size."""
    b, _, h, w = p.shape
    side = 2 * radius + 1

    def windows(x):
        return F.unfold(x, side, padding=radius).view(b, -1, side**2, h, w)

    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    place = torch.stack([rows, columns]).to(p).expand(b, -1, -1, -1) / sigma_xy
    features = torch.cat([place, image / sigma_rgb], 1)
    kernel = torch.exp(-(windows(features) - features.unsqueeze(2)).square().sum(1) / 2)
    kernel[:, side**2 // 2] = 0
    count = b * h * w
    if source is not None:
        kernel, count = kernel * windows(source.unsqueeze(1).to(p))[:, 0], source.sum()
    if destination is not None:
        kernel, count = kernel * destination.unsqueeze(1), destination.sum()
    agreement = (windows(p) * p.unsqueeze(2)).sum(1)
    return (kernel.sum() - (kernel * agreement).sum()) / count


@pytest.mark.parametrize("which", ["neither", "source", "destination", "both"])
@pytest.mark.parametrize(("radius", "channels"), [(1, 1), (2, 3), (5, 1)])
def test_value_and_gradient_equal_the_equation(which, radius, channels):
    p, image, source, destination = example(c=channels)
    given = {"source": source, "destination": destination}
    given = {name: gate for name, gate in given.items() if which in (name, "both")}
    value = gated_crf(p, image, radius=radius, sigma_xy=2, sigma_rgb=0.3, **given)
    energy = from_the_equation(p, image, radius, 2, 0.3, given.get("source", ALWAYS), given.get("destination", ALWAYS))
    slow = energy / given.get("destination", given.get("source", ALWAYS)).sum()
    torch.testing.assert_close(value, slow, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(x, p)[0] for x in (value, slow)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("which", ["neither", "source", "destination", "both"])
def test_literal_equals_the_public_form_with_its_padding(which):
    p, image, source, destination = example(c=2)
    given = {"source": source, "destination": destination}
    given = {name: gate for name, gate in given.items() if which in (name, "both")}
    value = gated_crf(p, image, radius=3, literal=True, sigma_rgb=0.5, **given)
    public = unfolded(p, image, 3, 6.0, 0.5, **given)
    torch.testing.assert_close(value, public, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(x, p)[0] for x in (value, public)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


def test_literal_adds_a_constant_that_the_reading_leaves_out():
    constant = torch.zeros(1, 4, 64, 64)
    constant[:, 2] = 1
    dark = torch.zeros(1, 1, 64, 64)
    assert gated_crf(constant, dark).item() == 0
    assert gated_crf(constant, dark, literal=True).item() == pytest.approx(0.568, abs=5e-4)


def test_two_pixels_by_hand():
    p, q, step = torch.tensor([0.9, 0.1]), torch.tensor([0.3, 0.7]), 0.2
    value = gated_crf(torch.stack([p, q], 1).view(1, 2, 1, 2), torch.tensor([0.5, 0.5 + step]).view(1, 1, 1, 2))
    weight = math.exp(-(1 / 36 + step**2 / 0.01) / 2)
    # both directions of one pair over two pixels; ⟨p, q⟩ = 0.27 + 0.07
    assert value.item() == pytest.approx(weight * (1 - 0.34))


@pytest.mark.parametrize("gated", [False, True])
def test_a_constant_one_hot_prediction_costs_exactly_nothing(gated):
    g = torch.Generator().manual_seed(0)
    p = torch.zeros(3, 4, 33, 29)
    p[:, 1] = 1
    gates = torch.rand(2, 3, 33, 29, generator=g) < 0.5
    given = {"source": gates[0], "destination": gates[1]} if gated else {}
    assert gated_crf(p, torch.rand(3, 1, 33, 29, generator=g), **given).item() == 0


def test_a_window_beyond_the_image_without_kernel_has_a_closed_form():
    p, image, _, _ = example()
    n = 7 * 8
    value = gated_crf(p, image, radius=9, sigma_xy=math.inf, sigma_rgb=math.inf)
    totals, squares = p.sum((2, 3)).square().sum(1), p.square().sum((1, 2, 3))
    torch.testing.assert_close(value, ((n**2 - totals - n + squares) / (2 * n)).sum())


def test_wide_colours_leave_the_spatial_kernel():
    p, image, _, _ = example()
    flat = gated_crf(p, torch.zeros_like(image))
    torch.testing.assert_close(gated_crf(p, image, sigma_rgb=1e9), flat)
    assert gated_crf(p, image, sigma_rgb=0.05) < flat


def test_brightness_and_mirroring_change_nothing():
    p, image, source, destination = example()
    value = gated_crf(p, image, source=source, destination=destination)
    torch.testing.assert_close(gated_crf(p, image + 3, source=source, destination=destination), value)
    for axis in (1, 2):
        mirrored = gated_crf(
            p.flip(axis + 1), image.flip(axis + 1), source=source.flip(axis), destination=destination.flip(axis)
        )
        torch.testing.assert_close(mirrored, value)


def test_kernels_are_symmetric_so_the_gates_may_change_places():
    p, image, source, destination = example()
    one = gated_crf(p, image, source=source, destination=destination) * destination.sum()
    other = gated_crf(p, image, source=destination, destination=source) * source.sum()
    torch.testing.assert_close(one, other)


def test_images_of_a_batch_do_not_meet(monkeypatch):
    p, image, _, _ = example()
    each = [gated_crf(p[n : n + 1], image[n : n + 1]) for n in range(2)]
    together = gated_crf(p, image)
    torch.testing.assert_close(together, sum(each) / 2)
    monkeypatch.setattr("pointillist.losses._pairs._PIXELS_AT_ONCE", 1)
    torch.testing.assert_close(gated_crf(p, image), together)


def test_an_image_of_one_pixel_has_no_pairs():
    assert gated_crf(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)).item() == 0


def test_closed_gates_give_zero_connected_to_the_graph():
    p, image, source, _ = example()
    for gates in ({"source": NEVER}, {"destination": NEVER}, {"source": source, "destination": NEVER}):
        value = gated_crf(p, image, **gates)
        (gradient,) = torch.autograd.grad(value, p)
        assert value.item() == 0
        assert (gradient == 0).all()


def test_the_image_takes_no_gradient_and_keeps_its_values():
    p, image, _, _ = example()
    before = image.clone()
    gated_crf(p, image.requires_grad_()).backward()
    assert image.grad is None
    assert torch.equal(image, before)


def test_a_second_derivative_is_refused():
    p, image, _, _ = example()
    with pytest.raises(RuntimeError, match="gated_crf has no second derivative"):
        torch.autograd.grad(gated_crf(p, image), p, create_graph=True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"probabilities": torch.zeros(2, 3, 7)}, "must share one grid"),
        ({"image": torch.zeros(2, 1, 7, 9)}, r"must share one grid, got \(2, 3, 7, 8\) and \(2, 1, 7, 9\)"),
        ({"image": torch.zeros(1, 1, 7, 8)}, "must share one grid"),
        ({"image": torch.zeros(2, 1, 7, 8, dtype=torch.uint8)}, "image must be a floating tensor"),
        ({"radius": 0}, "radius and widths must be positive, got radius 0"),
        ({"sigma_xy": 0}, "sigma_xy 0"),
        ({"sigma_rgb": -1.0}, r"sigma_rgb -1\.0"),
        ({"source": torch.ones(2, 1, 7, 8, dtype=torch.bool)}, r"source must be a Boolean tensor \(2, 7, 8\)"),
        ({"destination": torch.ones(2, 7, 8)}, "destination must be a Boolean tensor"),
    ],
)
def test_wrong_inputs_are_named(change, text):
    p, image, _, _ = example()
    with pytest.raises(ValueError, match=text):
        gated_crf(**{"probabilities": p, "image": image, **change})
