from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
import torch.distributed as dist

from pointillist.losses import mumford_shah
from tests.methods.one_term import example, method_named, terms_at


def rows(batch, some):
    """Some images of a batch."""
    tensors = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return replace(batch, **{name: x[some] for name, x in tensors.items() if isinstance(x, torch.Tensor)})


@pytest.mark.parametrize("channels", [1, 3])
def test_its_term_is_the_raw_sum_over_valid_pixels_with_the_published_weights(channels):
    logits, batch = example(channels=channels)
    term = terms_at(method_named("mumford_shah", channels), 0, logits, batch)["mumford_shah"]
    torch.testing.assert_close(term.value, mumford_shah(logits.softmax(1), batch.image, mask=batch.valid))
    assert term.weight == 1e-6
    (gradient,) = torch.autograd.grad(term.value, logits)
    assert (gradient[..., -2:] == 0).all()


def test_the_literal_form_exchanges_image_and_prediction_and_counts_padding():
    logits, batch = example()
    term = terms_at(method_named("mumford_shah", literal=True), 0, logits, batch)["mumford_shah"]
    torch.testing.assert_close(term.value, mumford_shah(logits.softmax(1), batch.image, literal=True))
    reading = terms_at(method_named("mumford_shah"), 0, logits, batch)["mumford_shah"]
    assert (term.value - reading.value).abs() > 1


def test_published_forms_are_settings():
    logits, batch = example()
    p = logits.softmax(1)
    level = mumford_shah(p, batch.image, mu=0, mask=batch.valid)
    edges = mumford_shah(p, batch.image, mask=batch.valid) - level
    kim_and_ye = terms_at(method_named("mumford_shah", lambda_ms=10, mu=1e-3), 0, logits, batch)["mumford_shah"]
    torch.testing.assert_close(kim_and_ye.weight * kim_and_ye.value, 10 * (level + 0.001 * edges))
    pscv = terms_at(method_named("mumford_shah", lambda_ms=1e-3, mu=1e-5 / 1e-3), 0, logits, batch)["mumford_shah"]
    torch.testing.assert_close(pscv.weight * pscv.value, 1e-3 * level + 1e-5 * edges)


def test_two_processes_sum_over_the_images_of_both(monkeypatch):
    """The average of their gradients, as DistributedDataParallel takes it, is that of the whole batch."""
    logits, batch = example(b=4)
    method = method_named("mumford_shah")
    term = terms_at(method, 0, logits, batch)["mumford_shah"]
    (together,) = torch.autograd.grad(term.value, logits)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "all_gather", lambda parts, x: [part.copy_(x) for part in parts])
    parts = [terms_at(method, 0, logits[s], rows(batch, s))["mumford_shah"].value for s in (slice(2), slice(2, 4))]
    (apart,) = torch.autograd.grad(sum(parts) / 2, logits)
    torch.testing.assert_close(apart, together)


def test_it_counts_from_its_start_on():
    method = method_named("mumford_shah", start=0.3, lambda_ms=2)
    assert set(terms_at(method, 0.299, *example())) == {"pce"}
    assert terms_at(method, 0.3, *example())["mumford_shah"].weight == 2
