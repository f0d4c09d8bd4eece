"""What all losses promise alike, each seen as a function of logits, label and image."""

from __future__ import annotations

import pytest
import torch

from pointillist.losses import (
    attentive_similarity,
    contrastive_variance,
    dense_crf,
    entropy,
    gated_crf,
    mixed_pseudo,
    mumford_shah,
    mutual_consistency,
    noise_robust_dice,
    normalized_cut,
    partial_ce,
    partial_dice,
    pixel_cosine,
    soft_ce,
    soft_consistency,
    weighted_kl,
)
from pointillist.types import IGNORE


def labelled(y):
    return y != IGNORE


def shares(z, y):
    """Labels as one-hot classes, zeros where nothing is marked."""
    return (y[:, None] == torch.arange(z.shape[1]).view(-1, 1, 1)).to(z.dtype)


def attended(p):
    """Queries, keys and weights of two attention maps that know nothing of the prediction."""
    g = torch.Generator().manual_seed(1)
    shape, dtype = (len(p), 2, *p.shape[2:], 3), torch.promote_types(p.dtype, torch.float32)
    query, key = (torch.randn(*shape, generator=g, dtype=dtype) for _ in range(2))
    return p, query, key, torch.tensor([2.0, -1.0], dtype=dtype), torch.tensor(0.5, dtype=dtype)


LOSSES = {
    "partial_ce": lambda z, y, _: partial_ce(z, y),
    "partial_dice": lambda z, y, _: partial_dice(z.softmax(1), y),
    "noise_robust_dice": lambda z, y, _: noise_robust_dice(z.softmax(1), y),
    "soft_ce": lambda z, y, _: soft_ce(z, shares(z, y)),
    "pixel_cosine": lambda z, y, _: pixel_cosine(z.softmax(1), shares(z, y), labelled(y)),
    "entropy": lambda z, y, _: entropy(z, labelled(y)),
    "gated_crf": lambda z, y, image: gated_crf(z.softmax(1), image, source=labelled(y), destination=labelled(y)),
    "attentive_similarity": lambda z, y, _: attentive_similarity(*attended(z.softmax(1)), radius=2, mask=labelled(y)),
    "mumford_shah": lambda z, y, image: mumford_shah(z.softmax(1), image, mask=labelled(y)),
    "contrastive_variance": lambda z, y, image: contrastive_variance(
        z.softmax(1), image, y, lambda_cv=1.0, mu=0.01, tau=0.5, mask=labelled(y)
    ),
    "soft_consistency": lambda z, y, image: soft_consistency(z, image.expand_as(z) / z.shape[1], labelled(y)),
    "weighted_kl": lambda z, y, _: weighted_kl(z, 0.7 * shares(z, y) + 0.3 / z.shape[1], labelled(y)),
    "dense_crf": lambda z, y, image: dense_crf(z.softmax(1), image, valid=labelled(y)),
    "dense_crf_fast": lambda z, y, image: dense_crf(z.softmax(1), image, valid=labelled(y), form="fast"),
    "normalized_cut": lambda z, y, image: normalized_cut(z.softmax(1), image, valid=labelled(y)),
    "normalized_cut_fast": lambda z, y, image: normalized_cut(z.softmax(1), image, valid=labelled(y), form="fast"),
    "mutual_consistency": lambda z, y, _: mutual_consistency(z, z / 2, labelled(y)),
    "mixed_pseudo": lambda z, *_: mixed_pseudo(z.softmax(1), z.flip(2).softmax(1), 0.3),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
masked_loss = pytest.mark.parametrize("loss", [v for k, v in LOSSES.items() if k != "mixed_pseudo"])


def batch(b=2, k=4, h=9, w=11, dtype=torch.float64, share=0.3, seed=0):
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(b, k, h, w, generator=g, dtype=dtype)
    y = torch.randint(0, k, (b, h, w), generator=g)
    y[torch.rand(b, h, w, generator=g) > share] = IGNORE
    return z.requires_grad_(), y, torch.rand(b, 1, h, w, generator=g, dtype=dtype)


@every_loss
def test_gradient_equals_finite_differences(loss):
    z, y, image = batch(b=1, k=3, h=4, w=5)
    assert torch.autograd.gradcheck(lambda z: loss(z, y, image), (z,))


@masked_loss
def test_a_batch_without_labels_gives_zero_connected_to_the_graph(loss):
    z, y, image = batch()
    value = loss(z, torch.full_like(y, IGNORE), image)
    value.backward()
    assert value.item() == 0
    assert (z.grad == 0).all()


@every_loss
@pytest.mark.parametrize("b", [1, 2])
def test_a_batch_of_one_class_is_finite(loss, b):
    z, y, image = batch(b=b)
    value = loss(z, torch.where(y == IGNORE, IGNORE, 2), image)
    value.backward()
    assert value.shape == ()
    assert value > 0
    assert z.grad.isfinite().all()


@masked_loss
@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), -float("inf")])
def test_what_stands_in_masked_pixels_is_never_read(loss, rubbish):
    z, y, image = batch()
    value = loss(z, y, image)
    (gradient,) = torch.autograd.grad(value, z)
    masked = (y == IGNORE).unsqueeze(1)
    dirty = z.detach().masked_fill(masked, rubbish).requires_grad_()
    other = loss(dirty, y, image.masked_fill(masked, rubbish))
    (others,) = torch.autograd.grad(other, dirty)
    assert torch.equal(other, value)
    where = (~masked).expand_as(z)
    torch.testing.assert_close(others[where], gradient[where])
    if "softmax" not in loss.__code__.co_names:  # the softmax of rubbish is rubbish, upstream of the loss
        assert (others.masked_select(masked) == 0).all()


@every_loss
def test_naming_the_classes_in_another_order_changes_nothing(loss):
    z, y, image = batch()
    order = torch.tensor([2, 0, 3, 1])
    renamed = torch.where(y == IGNORE, IGNORE, torch.argsort(order)[y.clamp(max=3)])
    torch.testing.assert_close(loss(z[:, order], renamed, image), loss(z, y, image))


@every_loss
def test_extreme_logits_give_finite_gradients(loss):
    z, y, image = batch(dtype=torch.float32)
    extreme = (z.detach().sign() * 1e4).requires_grad_()
    value = loss(extreme, y, image)
    value.backward()
    assert value.isfinite()
    assert extreme.grad.isfinite().all()


@every_loss
def test_bfloat16_under_autocast_stays_close_to_float32(loss):
    z, y, image = batch(dtype=torch.float32, share=0.6)
    exact = loss(z, y, image)
    (gradient,) = torch.autograd.grad(exact, z)
    low = z.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(low, y, image)
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=1e-2, atol=0)
    torch.testing.assert_close(low.grad.float(), gradient, rtol=0, atol=2e-2 * gradient.abs().max().item())


@every_loss
def test_channels_last_gives_the_same_value(loss):
    z, y, image = batch()
    other = z.detach().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(loss(other, y, image.contiguous(memory_format=torch.channels_last)), loss(z, y, image))


@every_loss
def test_one_step_downhill_lowers_the_loss(loss):
    z, y, image = batch()
    value = loss(z, y, image)
    (gradient,) = torch.autograd.grad(value, z)
    assert loss(z - 1e-3 * gradient / gradient.abs().max(), y, image) < value


@pytest.mark.parametrize("loss", [partial_ce, lambda z, y: partial_dice(z, y)])
@pytest.mark.parametrize(
    ("scores", "label", "text"),
    [
        (torch.zeros(2, 4), torch.zeros(2, dtype=torch.long), r"floating tensor \(batch, classes, \*space\)"),
        (torch.zeros(2, 4, 5, dtype=torch.long), torch.zeros(2, 5, dtype=torch.long), "must be a floating tensor"),
        (torch.zeros(2, 4, 5, 5), torch.zeros(2, 5, 4, dtype=torch.long), r"integer tensor \(2, 5, 5\)"),
        (torch.zeros(2, 4, 5), torch.zeros(2, 5), "label must be an integer tensor"),
        (torch.zeros(2, 4, 5), torch.full((2, 5), 4), "label holds 4, which is neither a class 0 … 3 nor IGNORE = 255"),
        (torch.zeros(2, 4, 5), torch.full((2, 5), -1), "label holds -1"),
    ],
)
def test_wrong_inputs_are_named(loss, scores, label, text):
    with pytest.raises(ValueError, match=text):
        loss(scores, label)


@pytest.mark.parametrize("loss", [partial_ce, partial_dice])
def test_values_are_not_looked_at_on_other_devices(loss):
    scores = torch.zeros(2, 4, 5, device="meta")
    assert loss(scores, torch.zeros(2, 5, dtype=torch.long, device="meta")).shape == ()


@pytest.mark.parametrize("loss", [partial_ce, lambda z, y: partial_dice(z.softmax(1), y)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_labels_may_be_small_integers_and_volumes(loss, dtype):
    g = torch.Generator().manual_seed(1)
    z, y = torch.randn(2, 3, 4, 5, 6, generator=g), torch.randint(0, 3, (2, 4, 5, 6), generator=g)
    y[:, 0] = IGNORE
    assert torch.equal(loss(z, y.to(dtype)), loss(z, y))
