from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pointillist.data.batch import Batch, MarkPoints
from pointillist.losses import contrastive_variance, partial_ce
from pointillist.methods import build_method
from pointillist.nets.network import NetOut
from pointillist.nets.registry import build_net
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

SPEC = TaskSpec(("background", "a", "b", "c"), ("MRI",))


def method(**settings):
    return build_method("pscv", build_net("unet", 1, 4), SPEC, settings)


@pytest.fixture
def given():
    """Logits of a network, and a batch of four images with two points a class, the last one without class 3."""
    g = torch.Generator().manual_seed(0)
    label = torch.full((4, 8, 9), IGNORE)
    label[:, 2, :4] = label[:, 5, 1:5] = torch.arange(4)
    label[3] = torch.where(label[3] == 3, IGNORE, label[3])
    valid = torch.ones(4, 8, 9, dtype=torch.bool)
    valid[0, :, 7:] = False
    marks = MarkPoints(*(torch.zeros(0, *shape) for shape in ((), (2,), (), ())))
    batch = Batch(torch.rand(4, 1, 8, 9, generator=g), label, valid, marks, ("1", "2", "3", "4"))
    return NetOut(torch.randn(4, 4, 8, 9, generator=g), (), ()), batch


def terms(given, progress=0.5, **settings):
    out, batch = given
    trained = method(**settings)
    torch.manual_seed(1)  # of the draws of partners
    return trained.terms(out, batch, Clock(seed=0, step=round(100 * progress), epoch=0, total=100))


def loss(given, **settings):
    return sum(term.weight * term.value for term in terms(given, **settings).values()).item()


def expected(given, **keywords):
    out, batch = given
    torch.manual_seed(1)
    return contrastive_variance(out.logits.softmax(1), batch.image, batch.label, mask=batch.valid, **keywords).item()


def test_the_published_constants_are_the_defaults(given):
    assert method().recipe.weight_decay == 1e-5
    found = terms(given)
    assert found["pce"].value.item() == pytest.approx(partial_ce(given[0].logits, given[1].label).item())
    contrast = expected(given, lambda_cv=1e-3, mu=1e-5, tau=0.07)
    assert found["contrastive_variance"].value.item() == pytest.approx(contrast, rel=1e-6)
    assert found["contrastive_variance"].weight == 1
    assert contrast > 0


@pytest.mark.parametrize(
    ("settings", "keywords"),
    [
        ({"lambda_cv": 0.3}, {"lambda_cv": 0.3}),
        ({"mu": 0.5}, {"mu": 0.5}),
        ({"tau": 0.5}, {"tau": 0.5}),
        ({"include_background": False}, {"include_background": False}),
        ({"reduction": "sum"}, {"reduction": "sum"}),
        ({"literal": True}, {"literal": True}),
        ({"literal": True, "reduction": "mean"}, {"literal": True}),
    ],
)
def test_every_setting_reaches_the_loss(given, settings, keywords):
    value = terms(given, **settings)["contrastive_variance"].value.item()
    assert value == pytest.approx(expected(given, **keywords), rel=1e-6)
    assert value != pytest.approx(expected(given), rel=1e-3)


def test_sums_are_of_all_three_terms(given):
    assert (given[1].label != IGNORE).sum() == 30
    mean = terms(given)["pce"].value.item()
    for settings in ({"reduction": "sum"}, {"literal": True}):
        assert terms(given, **settings)["pce"].value.item() == pytest.approx(30 * mean, rel=1e-6)
    flat = {"lambda_cv": 0.0, "mu": 1.0}
    assert loss(given, **flat, reduction="sum") - 30 * mean == pytest.approx(
        16 * (loss(given, **flat) - mean), rel=1e-5
    )
    contrast = {"lambda_cv": 1.0, "mu": 0.0}  # 15 anchors: 4 images with 4 classes, one of which lacks one
    summed = loss(given, **contrast, reduction="sum") - 30 * mean
    assert summed == pytest.approx(15 * (loss(given, **contrast) - mean), rel=1e-5)


def test_literal_asks_an_absent_class_to_take_part(given):
    out, batch = given
    there = replace(batch, label=batch.label.clone())
    there.label[3, 2, 3] = 3
    for literal in (False, True):
        before, after = (
            terms((out, one), literal=literal, reduction="sum")["contrastive_variance"].value for one in (batch, there)
        )
        assert torch.equal(before, after) == literal


def test_it_counts_from_its_start_on(given):
    assert set(terms(given, progress=0.0)) == {"pce", "contrastive_variance"}
    assert set(terms(given, progress=0.29, start=0.3)) == {"pce"}
    assert set(terms(given, progress=0.3, start=0.3)) == {"pce", "contrastive_variance"}


def test_padding_is_not_looked_at(given):
    out, batch = given
    dirty = replace(batch, image=batch.image.masked_fill(~batch.valid.unsqueeze(1), 7.0))
    logits = torch.where(batch.valid.unsqueeze(1), out.logits, 3.0 * torch.arange(4).view(4, 1, 1))
    assert loss((NetOut(logits, (), ()), dirty)) == loss(given)


def test_one_geometry_a_batch_is_asked_for_by_a_setting():
    shared, own = method(shared_geometry=True), method()
    assert shared.needs.shared_geometry
    assert not own.needs.shared_geometry
    assert shared.needs.min_batch == own.needs.min_batch == 2
