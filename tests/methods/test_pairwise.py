"""dense_crf and normalized_cut: when the term counts, what it is given, and what it weighs."""

from __future__ import annotations

import pytest
import torch

from pointillist.data.batch import Batch, MarkPoints
from pointillist.losses import dense_crf, normalized_cut
from pointillist.methods import build_method
from pointillist.nets.network import NetOut
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


def prediction(size=32):
    """One that varies: a new network's is the same everywhere, and constants cut alike inside and outside a mask."""
    return 3 * torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def terms_of(method, batch, logits):
    return method.terms(NetOut(logits, (), ()), batch, at(99))


@every_method
def test_the_term_counts_from_its_start_on(name):
    batch, method = batch_of(), method_of(name)
    assert set(method.step(batch, at(49)).terms) == {"pce"}
    assert set(method.step(batch, at(50)).terms) == {"pce", name}
    early = method_of(name, start=0.2)
    assert set(early.step(batch, at(20)).terms) == {"pce", name}


@every_method
def test_the_term_is_the_loss_of_the_prediction_inside_the_image(name):
    batch, logits = batch_of(), prediction()
    settings = {"sigma_xy": 9.0, "sigma_rgb": 0.2, "form": "fast"}
    terms = terms_of(method_of(name, weight=0.3, **settings), batch, logits)
    expected = LOSSES[name](logits.softmax(1), batch.image, valid=batch.valid, **settings)
    assert torch.equal(terms[name].value, expected)
    assert terms[name].weight == 0.3
    whole = LOSSES[name](logits.softmax(1), batch.image, **settings)
    exact = LOSSES[name](logits.softmax(1), batch.image, valid=batch.valid, **(settings | {"form": "exact"}))
    assert expected != whole
    assert expected != exact


@every_method
def test_defaults_are_the_published_widths(name):
    batch, logits = batch_of(), prediction()
    expected = LOSSES[name](
        logits.softmax(1), batch.image, sigma_xy=100.0, sigma_rgb=15 / 255, valid=batch.valid, form="exact"
    )
    term = terms_of(method_of(name), batch, logits)[name]
    assert torch.equal(term.value, expected)
    assert term.weight == 0.1


def test_literal_is_the_raw_energy_at_the_published_weight():
    batch, logits = batch_of(), prediction()
    term = terms_of(method_of("dense_crf", literal=True), batch, logits)["dense_crf"]
    assert torch.equal(term.value, dense_crf(logits.softmax(1), batch.image, valid=batch.valid, literal=True))
    assert term.weight == pytest.approx(2e-9)
    assert term.value < -1
