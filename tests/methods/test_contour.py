from __future__ import annotations

import pytest
import torch

from pointillist.losses import contour
from tests.methods.one_term import example, method_named, terms_at


@pytest.mark.parametrize("literal", [False, True])
def test_its_term_is_the_loss_with_the_published_weight(literal):
    logits, batch = example()
    term = terms_at(method_named("contour", literal=literal), 0, logits, batch)["contour"]
    torch.testing.assert_close(term.value, contour(logits.softmax(1), literal=literal))
    assert term.weight == 0.01


def test_the_literal_form_does_not_see_the_first_image():
    logits, batch = example()
    for literal in (False, True):
        term = terms_at(method_named("contour", literal=literal), 0, logits, batch)["contour"]
        (gradient,) = torch.autograd.grad(term.value, logits)
        assert (gradient[0] == 0).all() == literal
        assert (gradient[1] != 0).any()


def test_the_literal_form_is_0_where_the_source_gives_nan():
    logits, batch = example(b=1)
    term = terms_at(method_named("contour", literal=True), 0, logits, batch)["contour"]
    assert term.value.item() == 0


def test_it_counts_from_its_start_on():
    method = method_named("contour", start=0.3, weight=2)
    assert set(terms_at(method, 0.299, *example())) == {"pce"}
    assert terms_at(method, 0.3, *example())["contour"].weight == 2
