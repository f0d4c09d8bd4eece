from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from pointillist.data.batch import Batch
from pointillist.data.targets import TargetStore
from pointillist.methods._running_average import sure_label, update_averages
from pointillist.nets.network import NetOut
from pointillist.runtime.clock import Clock
from pointillist.types import IGNORE


class Sweep:
    """A run whose sweep visits one small batch."""

    def __init__(self, folder, batch, autocast=nullcontext, **kind):
        self.targets, self.batch, self.autocast = TargetStore(folder, **kind), batch, autocast
        self.clock = Clock(0, 0, 0, 1)

    def sweep(self):
        yield self.batch

    def gather(self, x):
        return x


def batch_of(count=2, classes=3, rows=3, columns=4, **targets):
    label = torch.full((count, rows, columns), IGNORE)
    ids = tuple(f"case/{i}" for i in range(count))
    return Batch(torch.zeros(count, 1, rows, columns), label, label == IGNORE, None, ids, **targets)


def predicting(probabilities):
    """A network that predicts the same class probabilities ``(k,)`` or ``(b, k, h, w)`` whatever it sees."""

    def net(image):
        p = probabilities.double()
        p = p if p.ndim == 4 else p[None, :, None, None].expand(len(image), -1, *image.shape[2:])
        return NetOut(p.log().float(), (), ())

    return net


def averaged(folder, probabilities, updates, alpha, **kind):
    """The batch with its averages after some updates."""
    ctx = Sweep(folder, batch_of(), **kind)
    for _ in range(updates):
        update_averages(predicting(torch.tensor(probabilities)), ctx, alpha)
    soft, weight = ctx.targets.get(ctx.batch.ids)
    return batch_of(soft=soft, soft_weight=weight)


@pytest.mark.parametrize("alpha", [0.1, 0.2])
@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_a_constant_prediction_grows_towards_itself(tmp_path, alpha, n):
    p = [0.7, 0.05, 0.25]
    batch = averaged(tmp_path, p, n, alpha)
    grown = 1 - (1 - alpha) ** n
    expected = torch.tensor(p)[None, :, None, None].expand_as(batch.soft) * grown
    torch.testing.assert_close(batch.soft, expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(batch.soft_weight, torch.full_like(batch.soft_weight, grown), rtol=0, atol=1e-3)


def test_changing_predictions_follow_the_recurrence(tmp_path):
    g = torch.Generator().manual_seed(0)
    ctx, alpha = Sweep(tmp_path, batch_of()), 0.3
    expected = torch.zeros(2, 3, 3, 4)
    for n in range(1, 7):
        p = torch.randn(2, 3, 3, 4, generator=g).softmax(1)
        update_averages(predicting(p), ctx, alpha)
        expected = alpha * p + (1 - alpha) * expected
        assert ctx.targets.generation == n
        torch.testing.assert_close(ctx.targets.get(ctx.batch.ids)[0], expected, rtol=0, atol=1e-3)


def test_float16_follows_a_prediction_that_eight_bits_would_not_reach(tmp_path):
    for kind, least, most in (("float16", 0, 0.001), ("uint8", 0.005, 0.02)):
        ctx = Sweep(tmp_path / kind, batch_of(), stored=kind)
        for name in ctx.batch.ids:
            ctx.targets.put(name, torch.full((3, 3, 4), 1 / 3), torch.ones(3, 4))
        ctx.targets.commit()
        for _ in range(60):
            update_averages(predicting(torch.tensor([0.95, 0.03, 0.02])), ctx, 0.2)
        average, weight = ctx.targets.get(ctx.batch.ids)
        short = (0.95 - average[:, 0] / weight).abs().max()
        assert least <= short <= most


@pytest.mark.parametrize(("alpha", "threshold", "first"), [(0.2, 0.8, 8), (0.1, 0.95, 29)])
def test_nothing_is_sure_for_a_while_without_the_correction(tmp_path, alpha, threshold, first):
    for n, literal in ((first - 1, IGNORE), (first, 2)):
        batch = averaged(tmp_path / str(n), [0, 0, 1.0], n, alpha)
        assert (sure_label(batch, threshold, literal=True) == literal).all()
        assert (sure_label(batch, threshold) == 2).all()
    early = averaged(tmp_path / "early", [0, 0, 1.0], 1, alpha)
    assert (sure_label(early, threshold) == 2).all()


def test_of_two_classes_the_uncorrected_background_is_sure_at_once(tmp_path):
    """A pixel that is foreground with probability 0.99: background, then nothing, then foreground."""
    labels = {}
    for n in (1, 2, 7, 8):
        ctx = Sweep(tmp_path / str(n), batch_of())
        for _ in range(n):
            update_averages(predicting(torch.tensor([0.01, 0.99])), ctx, 0.2)
        soft, weight = ctx.targets.get(ctx.batch.ids)
        batch = batch_of(soft=soft, soft_weight=weight)
        labels[n] = sure_label(batch, 0.8, literal=True).unique().tolist()
        assert (sure_label(batch, 0.8) == 1).all()
    assert labels == {1: [0], 2: [IGNORE], 7: [IGNORE], 8: [1]}


def random_averages(classes, n=3, alpha=0.2):
    g = torch.Generator().manual_seed(1)
    grown = 1 - (1 - alpha) ** n
    soft = (torch.randn(2, classes, 30, 40, generator=g) * 3).softmax(1) * grown
    batch = batch_of(classes=classes, rows=30, columns=40, soft=soft, soft_weight=torch.full((2, 30, 40), grown))
    batch.label[torch.rand(2, 30, 40, generator=g) < 0.2] = 1
    return batch


def test_literal_is_the_public_formulation_for_several_classes():
    batch = random_averages(4, n=20)
    expected = torch.full_like(batch.label, IGNORE)
    for k in range(4):
        expected[(batch.soft[:, k] > 0.8) & (batch.label == IGNORE)] = k
    literal = sure_label(batch, 0.8, literal=True)
    assert torch.equal(literal, expected)
    assert set(expected.unique().tolist()) == {0, 1, 2, 3, IGNORE}
    assert not torch.equal(literal, sure_label(batch, 0.8))


def test_literal_is_the_public_formulation_for_two_classes():
    batch = random_averages(2)
    m = batch.soft[:, 1]
    sure = ((m < 1 - 0.6) | (m > 0.6)) & (batch.label == IGNORE)
    expected = torch.where(sure, m.round().long(), IGNORE)
    assert torch.equal(sure_label(batch, 0.6, literal=True), expected)


def test_by_hand():
    """Three updates' worth of weight: 0.488. Sure at t = 0.8 is what exceeds 0.3904."""
    soft = torch.tensor([[0.40, 0.39, 0.488, 0.40], [0.088, 0.098, 0.0, 0.088]]).view(1, 2, 1, 4)
    label = torch.tensor([IGNORE, IGNORE, IGNORE, 1]).view(1, 1, 4)
    batch = Batch(torch.zeros(1, 1, 1, 4), label, label >= 0, None, ("a",), soft, torch.full((1, 1, 4), 0.488))
    assert sure_label(batch, 0.8).flatten().tolist() == [0, IGNORE, 0, IGNORE]


def test_the_threshold_itself_is_not_sure():
    soft = torch.tensor([0.75, 0.25]).view(1, 2, 1, 1)
    batch = Batch(torch.zeros(1, 1, 1, 1), torch.tensor([[[IGNORE]]]), None, None, ("a",), soft, torch.ones(1, 1, 1))
    assert sure_label(batch, 0.75).item() == IGNORE
    assert sure_label(batch, 0.74).item() == 0


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_where_there_is_no_average_nothing_is_sure(literal, classes):
    bare = batch_of()
    assert (sure_label(bare, 0.0, literal=literal) == IGNORE).all()
    zeros = batch_of(soft=torch.zeros(2, classes, 3, 4), soft_weight=torch.zeros(2, 3, 4))
    assert (sure_label(zeros, 0.0, literal=literal) == IGNORE).all()


def test_padding_has_no_average(tmp_path):
    ctx = Sweep(tmp_path, batch_of())
    ctx.batch.valid[0, :, 2:] = False
    update_averages(predicting(torch.tensor([0.0, 0.0, 1.0])), ctx, 0.2)
    soft, weight = ctx.targets.get(ctx.batch.ids)
    label = sure_label(batch_of(soft=soft, soft_weight=weight), 0.8)
    assert torch.equal(label == 2, ctx.batch.valid)


def test_images_keep_averages_of_their_own(tmp_path):
    p = torch.zeros(2, 3, 3, 4)
    p[0, 1], p[1, 2] = 1, 1
    ctx = Sweep(tmp_path, batch_of())
    update_averages(predicting(p), ctx, 0.2)
    soft, weight = ctx.targets.get(ctx.batch.ids[::-1])
    assert sure_label(batch_of(soft=soft, soft_weight=weight), 0.8)[:, 0, 0].tolist() == [2, 1]


def test_predictions_are_made_in_the_runs_precision_and_without_gradients(tmp_path):
    seen = []

    def net(image):
        seen.append((torch.is_autocast_enabled("cpu"), torch.is_inference_mode_enabled()))
        return predicting(torch.tensor([0.5, 0.5, 0.0]))(image)

    update_averages(net, Sweep(tmp_path, batch_of(), lambda: torch.autocast("cpu", torch.bfloat16)), 0.2)
    assert seen == [(True, True)]
    assert not torch.is_autocast_enabled("cpu")
