from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from pointillist.losses import intensity_variance
from pointillist.types import IGNORE
from tests.methods.one_term import example, method_named, terms_at


@pytest.mark.parametrize("channels", [1, 3])
def test_its_term_is_the_loss_over_marked_classes_and_valid_pixels(channels):
    logits, batch = example(channels=channels)
    term = terms_at(method_named("intensity_variance", channels), 1, logits, batch)["intensity_variance"]
    marked = torch.tensor([[True, True, True], [True, True, False]])
    expected = intensity_variance(logits.softmax(1), batch.image, present=marked, mask=batch.valid)
    torch.testing.assert_close(term.value, expected)


def test_the_literal_form_counts_all_classes_and_pixels():
    logits, batch = example()
    term = terms_at(method_named("intensity_variance", literal=True), 1, logits, batch)["intensity_variance"]
    torch.testing.assert_close(term.value, intensity_variance(logits.softmax(1), batch.image, literal=True))
    reading = terms_at(method_named("intensity_variance"), 1, logits, batch)["intensity_variance"]
    assert term.value * reading.value < 0


def test_images_without_marks_add_nothing():
    logits, batch = example()
    batch = replace(batch, label=torch.full_like(batch.label, IGNORE))
    term = terms_at(method_named("intensity_variance"), 1, logits, batch)["intensity_variance"]
    (gradient,) = torch.autograd.grad(term.value, logits)
    assert term.value.item() == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize(("progress", "share"), [(0, math.exp(-5)), (0.25, math.exp(-1.25)), (0.5, 1), (0.9, 1)])
def test_the_weight_rises_over_the_first_half_of_the_run(progress, share):
    term = terms_at(method_named("intensity_variance"), progress, *example())["intensity_variance"]
    assert term.weight == pytest.approx(0.1 * share)


def test_the_ramp_begins_where_the_term_starts():
    method = method_named("intensity_variance", start=0.3, ramp=0.2, weight=2)
    assert set(terms_at(method, 0.299, *example())) == {"pce"}
    assert terms_at(method, 0.3, *example())["intensity_variance"].weight == pytest.approx(2 * math.exp(-5))
    assert terms_at(method, 0.5, *example())["intensity_variance"].weight == pytest.approx(2)
