from __future__ import annotations

import torch

from pointillist.losses import total_variation
from tests.methods.one_term import example, method_named, terms_at


def test_its_term_is_the_loss_with_the_published_weight():
    logits, batch = example()
    p = logits.softmax(1)
    for isotropic in (False, True):
        method = method_named("total_variation", isotropic=isotropic)
        term = terms_at(method, 0, logits, batch)["total_variation"]
        torch.testing.assert_close(term.value, total_variation(p, isotropic=isotropic))
        assert term.weight == 0.01
    assert total_variation(p, isotropic=True) < total_variation(p)


def test_it_counts_from_its_start_on():
    method = method_named("total_variation", start=0.3, weight=2)
    assert set(terms_at(method, 0.299, *example())) == {"pce"}
    assert terms_at(method, 0.3, *example())["total_variation"].weight == 2


def test_padding_counts_as_in_the_source():
    logits, batch = example()
    term = terms_at(method_named("total_variation"), 0, logits, batch)["total_variation"]
    (gradient,) = torch.autograd.grad(term.value, logits)
    assert (gradient[..., -1] != 0).any()
