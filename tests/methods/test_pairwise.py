"""dense_crf and normalized_cut: when the term counts, what it is given, and what it weighs."""

from __future__ import annotations

import pytest
import torch

from pointillist.data.batch import Batch, MarkPoints
from pointillist.losses import dense_crf, normalized_cut
from pointillist.methods import build_method
from pointillist.nets.registry import build_net
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

LOSSES = {"dense_crf": dense_crf, "normalized_cut": normalized_cut}
SPEC = TaskSpec(("background", "a", "b"), ("MRI",))
every_method = pytest.mark.parametrize("name", LOSSES)


def method_of(name, **settings):
    torch.manual_seed(0)
    return build_method(name, build_net("unet", 1, 3), SPEC, settings).eval()


def batch_of(size=32):
    g = torch.Generator().manual_seed(0)
    label = torch.full((2, size, size), IGNORE)
    label[:, 3:6, 4] = 1
    valid = torch.ones(2, size, size, dtype=torch.bool)
    valid[:, :, -9:] = False
    none = torch.zeros(0, dtype=torch.long)
    marks = MarkPoints(none, torch.zeros(0, 2), none, none)
    return Batch(torch.rand(2, 1, size, size, generator=g), label, valid, marks, ("a", "b"))


def at(step):
    return Clock(seed=1, step=step, epoch=0, total=100)


@every_method
def test_the_term_counts_from_its_start_on(name):
    batch, method = batch_of(), method_of(name)
    assert set(method.step(batch, at(49)).terms) == {"pce"}
    assert set(method.step(batch, at(50)).terms) == {"pce", name}
    early = method_of(name, start=0.2)
    assert set(early.step(batch, at(20)).terms) == {"pce", name}


@every_method
def test_the_term_is_the_loss_of_the_prediction_inside_the_image(name):
    batch = batch_of()
    settings = {"sigma_xy": 9.0, "sigma_rgb": 0.2, "form": "fast"}
    method = method_of(name, weight=0.3, **settings)
    out = method.step(batch, at(99))
    p = method.net(batch.image).logits.softmax(1)
    torch.testing.assert_close(out.terms[name].value, LOSSES[name](p, batch.image, valid=batch.valid, **settings))
    torch.testing.assert_close(out.loss, out.terms["pce"].value + 0.3 * out.terms[name].value)
    batch.image[:, :, :, -9:] = 7.0  # what lies in the padding reaches the term through the network alone
    p = method.net(batch.image).logits.softmax(1)
    cropped = LOSSES[name](p[..., :-9], batch.image[..., :-9], **settings)
    torch.testing.assert_close(method.step(batch, at(99)).terms[name].value, cropped, rtol=1e-2, atol=0)


@every_method
def test_defaults_are_the_published_widths(name):
    batch, method = batch_of(), method_of(name)
    p = method.net(batch.image).logits.softmax(1)
    expected = LOSSES[name](p, batch.image, sigma_xy=100.0, sigma_rgb=15 / 255, valid=batch.valid, form="exact")
    term = method.step(batch, at(99)).terms[name]
    torch.testing.assert_close(term.value, expected)
    assert term.weight == 0.1


def test_literal_is_the_raw_energy_at_the_published_weight():
    batch, method = batch_of(), method_of("dense_crf", literal=True)
    p = method.net(batch.image).logits.softmax(1)
    term = method.step(batch, at(99)).terms["dense_crf"]
    torch.testing.assert_close(term.value, dense_crf(p, batch.image, valid=batch.valid, literal=True))
    assert term.weight == pytest.approx(2e-9)
    assert term.value < -1
