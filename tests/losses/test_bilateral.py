"""The filter under dense_crf and normalized_cut: exact against the definition, fast against exact."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.losses import dense_crf, normalized_cut
from pointillist.losses._gram import gram_filter
from pointillist.losses._grid import _axes, grid_filter

VALUE, GRADIENT = 1e-3, {1: 0.01, 2: 0.02, 3: 0.02}  # the stated tolerance of the fast form, by channels


def smooth(g, channels, side):
    return F.interpolate(torch.rand(1, channels, 8, 8, generator=g).double(), size=side, mode="bicubic")[0].clamp(0, 1)


def image_of(kind, channels, side=64):
    g = torch.Generator().manual_seed(1)
    colours = torch.rand(channels, 2, generator=g).double()
    if kind == "noise":
        return torch.rand(channels, side, side, generator=g).double()
    if kind == "smooth":
        return smooth(g, channels, side)
    regions = (smooth(g, 1, side)[0] > 0.5).long()
    noise = torch.randn(channels, side, side, generator=g).double()
    return colours[:, regions] + (0.03 * noise if kind == "cells" else 0)


def example(channels=1, h=5, w=6, m=2):
    g = torch.Generator().manual_seed(0)
    return torch.rand(m, h, w, generator=g).double(), torch.rand(channels, h, w, generator=g).double()


def from_the_definition(values, image, sigma_xy, sigma_rgb):
    filtered = torch.zeros_like(values)
    pixels = [(y, x) for y in range(image.shape[1]) for x in range(image.shape[2])]
    for y, x in pixels:
        for v, u in pixels:
            place = ((y - v) ** 2 + (x - u) ** 2) / sigma_xy**2
            colour = ((image[:, y, x] - image[:, v, u]) ** 2).sum() / sigma_rgb**2
            filtered[:, y, x] += math.exp(-(place + colour) / 2) * values[:, v, u]
    return filtered


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("entries", [1, 70, 2**17])
def test_exact_equals_the_definition(channels, entries, monkeypatch):
    monkeypatch.setattr("pointillist.losses._gram._ENTRIES_AT_ONCE", entries)
    values, image = example(channels)
    torch.testing.assert_close(
        gram_filter(values, image, 3.0, 0.4), from_the_definition(values, image, 3.0, 0.4), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("loss", [dense_crf, normalized_cut])
@pytest.mark.parametrize("sigma_xy", [20.0, 100.0])
@pytest.mark.parametrize("kind", ["noise", "smooth", "cells", "regions"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_fast_stays_within_the_stated_tolerance_of_exact(loss, channels, kind, sigma_xy):
    image = image_of(kind, channels).unsqueeze(0)
    z = F.interpolate(torch.randn(1, 4, 9, 9, generator=torch.Generator().manual_seed(2)).double(), size=64)
    found = []
    for form in ("exact", "fast"):
        p = (2 * z).softmax(1).requires_grad_()
        value = loss(p, image, sigma_xy=sigma_xy, form=form)
        value.backward()
        found.append((value.item(), p.grad))
    (exact, gradient), (fast, near) = found
    assert abs(fast - exact) < VALUE * exact
    assert (near - gradient).norm() < GRADIENT[channels] * gradient.norm()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_grids_kernel_is_symmetric_and_semidefinite_with_ones_on_its_diagonal(channels):
    _, image = example(channels)
    pixels = image[0].numel()
    kernel = grid_filter(torch.eye(pixels).double().view(pixels, 5, 6), image, 3.0, 0.3).view(pixels, pixels)
    torch.testing.assert_close(kernel, kernel.t(), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(kernel.diagonal(), torch.ones(pixels).double(), rtol=1e-12, atol=0)
    assert torch.linalg.eigvalsh(kernel).min() > -1e-12


def test_cells_of_one_pixel_are_exact():
    values, image = example(h=9, w=11)
    for sigma_xy in (0.5, 2.0, 5.0):
        near = grid_filter(values, image, sigma_xy, math.inf)
        torch.testing.assert_close(near, gram_filter(values, image, sigma_xy, math.inf), rtol=1e-12, atol=0)


def test_wide_kernels_join_all_pixels_alike():
    values, image = example(channels=3)
    everything = values.sum((1, 2), keepdim=True).expand_as(values)
    for form in (gram_filter, grid_filter):
        torch.testing.assert_close(form(values, image, math.inf, math.inf), everything)


def test_colours_that_vary_together_need_few_cells():
    """Shades of one colour lie on a line through the cube, noise fills the cube."""
    _, grey = example(1, 32, 32)
    shades = grey * torch.tensor([0.9, 0.8, 0.7]).double().view(3, 1, 1)
    assert sorted(axis.nodes for axis in _axes(shades, 100.0, 0.05)[2:])[:2] == [2, 2]
    _, noise = example(3, 32, 32)
    assert max(axis.nodes for axis in _axes(noise, 100.0, 0.05)[2:]) <= 41
    values, _ = example(1, 32, 32)
    exact, fast = (form(values, shades, 100.0, 0.05) for form in (gram_filter, grid_filter))
    assert (fast - exact).norm() < 0.02 * exact.norm()


def test_the_grid_takes_pixels_in_groups(monkeypatch):
    values, image = example(channels=2)
    whole = grid_filter(values, image, 3.0, 0.3)
    monkeypatch.setattr("pointillist.losses._grid._PIXELS_AT_ONCE", 7)
    torch.testing.assert_close(grid_filter(values, image, 3.0, 0.3), whole)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", [gram_filter, grid_filter])
def test_one_pixel_keeps_its_value(form, channels):
    values, image = example(channels, 1, 1)
    torch.testing.assert_close(form(values, image, 100.0, 0.1), values)


@pytest.mark.parametrize(
    ("image", "sigma_rgb", "text"),
    [
        (torch.rand(4, 5, 5), 0.1, r"1 to 3 channels, got 4; use form='exact'"),
        (torch.tensor([[[0, math.nan]]]), 0.1, "must hold finite values"),
        (torch.tensor([[[0, math.inf]]]), 0.1, "must hold finite values"),
        (torch.tensor([[[0, 1e9]]]), 0.1, r"grid of 2 x 3 x 3\d+ cells is too large.*sigma_rgb 0.1.*0 … 1e\+09"),
    ],
)
def test_images_that_do_not_suit_the_grid_are_named(image, sigma_rgb, text):
    with pytest.raises(ValueError, match=text):
        grid_filter(torch.ones(1, *image.shape[1:]), image, 1.0, sigma_rgb)
