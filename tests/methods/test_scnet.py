from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pointillist.data.batch import Batch, MarkPoints
from pointillist.data.targets import TargetStore
from pointillist.losses import mixed_pseudo, noise_robust_dice, partial_ce, partial_dice
from pointillist.methods import build_method
from pointillist.methods.scnet import Heads, _ranked, _some, superpixel_label, superpixels
from pointillist.nets.registry import build_net
from pointillist.runtime.clock import Clock, derive_seed
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

SPEC = TaskSpec(("background", "a", "b"), ("MRI",))


def batch_of(count=2, size=32, marked=0.1, targets=True):
    g = torch.Generator().manual_seed(0)
    image = torch.rand(count, 1, size, size, generator=g)
    label = torch.randint(0, 3, (count, size, size), generator=g)
    label[torch.rand(label.shape, generator=g) > marked] = IGNORE
    none = torch.zeros(0, dtype=torch.long)
    marks = MarkPoints(none, torch.zeros(0, 2), none, none)
    batch = Batch(image, label, torch.ones_like(label, dtype=torch.bool), marks, tuple(map(str, range(count))))
    if not targets:
        return batch
    soft = torch.rand(count, 3, size, size, generator=g).softmax(1)
    return replace(batch, soft=soft, soft_weight=torch.rand(label.shape, generator=g))


def at(step, total=100):
    return Clock(seed=1, step=step, epoch=0, total=total)


def method_of(**settings):
    torch.manual_seed(0)
    return build_method("scnet", build_net("unet", 1, 3), SPEC, settings)


# --- superpixels


def by_counting(parts, label, classes):
    out = np.full_like(label, IGNORE)
    for number in np.unique(parts):
        marks = {int(one) for one in label[parts == number] if one != IGNORE}
        if len(marks) == 1:
            out[parts == number] = marks.pop()
    return out


def test_a_superpixel_takes_the_only_class_of_its_marks():
    rng = np.random.default_rng(0)
    for share in (0, 0.05, 0.3, 1):
        label = rng.integers(0, 4, (30, 20)).astype(np.uint8)
        label[rng.random(label.shape) > share] = IGNORE
        parts = rng.integers(0, 40, (5, 5)).repeat(6, 0).repeat(4, 1)
        filled = superpixel_label(parts, label, 4)
        assert np.array_equal(filled, by_counting(parts, label, 4))
        assert filled.dtype == np.uint8


def test_superpixels_of_one_pixel_leave_the_marks_as_they_are():
    label = np.array([[0, IGNORE, 2], [IGNORE, 1, IGNORE]], np.uint8)
    assert np.array_equal(superpixel_label(np.arange(6).reshape(2, 3), label, 3), label)


def test_one_superpixel_with_two_classes_is_ignored_and_with_one_is_filled():
    label = np.full((4, 4), IGNORE, np.uint8)
    label[0, 0] = 1
    assert (superpixel_label(np.zeros((4, 4), int), label, 3) == 1).all()
    label[3, 3] = 2
    assert (superpixel_label(np.zeros((4, 4), int), label, 3) == IGNORE).all()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_superpixels_keep_to_the_borders_of_what_is_in_the_image(channels):
    image = np.full((channels, 64, 64), 0.2)
    image[:, 20:47, 13:50] = 0.8
    parts = superpixels(image, 60, 15)
    assert parts.shape == (64, 64)
    assert parts.min() == 0
    assert 30 < len(np.unique(parts)) < 100
    inside = np.unique(parts[20:47, 13:50])
    outside = np.unique(parts[image[0] == 0.2])
    assert not set(inside) & set(outside)


def test_superpixels_of_a_blank_image():
    assert superpixels(np.zeros((1, 32, 32)), 20, 15).max() > 5


class Sweep:
    def __init__(self, store, batch):
        self.targets, self.clock, self._batch = store, at(0), batch

    def sweep(self):
        yield self._batch


def test_before_training_superpixels_are_filled_and_stored(tmp_path):
    store, batch, method = TargetStore(tmp_path), batch_of(marked=0.02, targets=False), method_of(segments=30)
    batch = replace(batch, image=batch.image * 0.1 + torch.arange(32) / 32)
    method.before_training(Sweep(store, batch))
    soft, weight = store.get(batch.ids)
    for image, label, one, known in zip(batch.image, batch.label, soft, weight, strict=True):
        filled = superpixel_label(superpixels(image.double().numpy(), 30, 15.0), label.numpy().astype(np.uint8), 3)
        assert np.array_equal(known.numpy() == 1, filled != IGNORE)
        assert np.array_equal(one.argmax(0).numpy()[filled != IGNORE], filled[filled != IGNORE])
        assert (one.sum(0) == known).all()
        assert 0.1 < (filled != IGNORE).mean() < 0.9


# --- the heads


def heads_of_identity():
    heads = Heads(32, 3)
    heads.projection, heads.prediction = nn.Identity(), nn.Identity()
    return heads


def attraction(heads, features, label, correct=None, **options):
    correct = torch.ones_like(label, dtype=torch.bool) if correct is None else correct
    return heads.attraction(features, label, correct, **{"memory": 4, "best": True} | options)


def test_features_equal_to_the_memory_cost_nothing():
    torch.manual_seed(0)
    one = torch.randn(3, 32)
    label = torch.randint(0, 3, (60,))
    assert attraction(heads_of_identity(), one[label], label).item() == pytest.approx(0, abs=1e-6)
    assert attraction(heads_of_identity(), torch.randn(60, 32), label) > 0.1


@pytest.mark.parametrize("present", [(1, 2), (2,)])
def test_it_is_the_mean_over_all_classes_of_the_public_table_of_distances(present):
    torch.manual_seed(0)
    heads, features, correct = heads_of_identity().eval(), torch.randn(50, 32, requires_grad=True), torch.rand(50) < 0.5
    label = torch.tensor((0, *present))[torch.randint(0, 1 + len(present), (50,))]
    total = 0.0
    for number in present:
        selector, memory_selector = heads.selectors[number - 1], heads.memory_selectors[number - 1]
        drawn, candidates = features[label == number], features[(label == number) & correct].detach()
        memory = candidates[torch.sigmoid(selector(candidates))[:, 0].argsort(descending=True)][:4]
        memory = nn.functional.normalize(memory, dim=1)
        distances = 1 - nn.functional.normalize(drawn, dim=1) @ memory.T
        w, v = torch.sigmoid(selector(drawn.detach())), torch.sigmoid(memory_selector(memory)).T
        total += (distances * (len(w) / w.sum() * w) * (v.shape[1] / v.sum() * v)).mean()
    value = attraction(heads, features, label, correct)
    torch.testing.assert_close(value, total / 3)
    inputs = [features, *heads.parameters()]
    for ours, theirs in zip(
        *(torch.autograd.grad(x, inputs, allow_unused=True) for x in (value, total / 3)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_the_background_has_no_memory():
    torch.manual_seed(0)
    heads, features = Heads(16, 3), torch.randn(40, 16, requires_grad=True)
    value = attraction(heads, features, torch.zeros(40, dtype=torch.long))
    value.backward()
    assert value.item() == 0
    assert (features.grad == 0).all()


@pytest.mark.parametrize(("n", "right"), [(0, 0), (1, 1), (2, 1), (5, 0), (5, 1), (2, 2)])
def test_few_pixels_are_finite(n, right):
    features = torch.randn(n, 16, requires_grad=True)
    correct = torch.arange(n) < right
    value = attraction(Heads(16, 3), features, torch.ones(n, dtype=torch.long), correct)
    value.backward()
    assert value.isfinite()
    assert features.grad is not None
    assert (value > 0) == (right > 1)


def test_the_best_ranked_are_remembered_and_literally_the_worst():
    features = torch.arange(10.0).view(-1, 1)[torch.randperm(10)]
    assert sorted(_ranked(features, nn.Identity(), 3, best=True)[:, 0].tolist()) == [7, 8, 9]
    assert sorted(_ranked(features, nn.Identity(), 3, best=False)[:, 0].tolist()) == [0, 1, 2]
    assert torch.equal(_ranked(features, nn.Identity(), 10, best=True), features)


def test_at_most_so_many_pixels_a_class_are_looked_at():
    rows = torch.arange(1000)
    assert torch.equal(_some(rows, 1000), rows)
    drawn = _some(rows, 100)
    assert len(drawn) == 100
    assert drawn.unique().numel() > 80
    seen = []
    heads = Heads(16, 3)
    heads.projection.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    attraction(heads, torch.randn(300, 16), torch.arange(300) % 3, limit=20)
    attraction(heads, torch.randn(300, 16), torch.arange(300) % 3)
    assert seen == [60, 300]


def test_selectors_of_all_classes_start_equal_and_are_apart():
    for selectors in (Heads(16, 4).selectors, Heads(16, 4).memory_selectors):
        first, *others = selectors
        assert len(others) == 2
        for other in others:
            assert torch.equal(first[0].weight, other[0].weight)
            assert first[0].weight is not other[0].weight


# --- the method


def test_weights_and_schedule():
    method, batch = method_of(), batch_of()
    weights = {}
    for step in (0, 25, 50, 99):
        weights[step] = {name: term.weight for name, term in method.step(batch, at(step)).terms.items()}
    fixed = {"pce_1": 0.5, "pce_2": 0.5, "mixed": 0.5, "superpixel": 0.005}
    for step, share in ((0, np.exp(-5)), (25, np.exp(-1.25)), (50, 1), (99, 1)):
        assert weights[step] == pytest.approx({**fixed, "contrast": 0.01 * share})


def test_before_it_starts_it_is_partial_cross_entropy_of_both_decoders():
    method, batch = method_of(start=0.5).eval(), batch_of()
    out = method.step(batch, at(49))
    assert {name for name, term in out.terms.items() if term.value != 0} == {"pce_1", "pce_2"}
    stages = method.net.encode(batch.image)
    logits = method.net.decode(stages).logits, method.auxiliary(stages).logits
    torch.testing.assert_close(out.loss, sum(partial_ce(one, batch.label) for one in logits) / 2)


@pytest.mark.parametrize(("when", "organs"), [(0, True), (50, True), (50, False)])
def test_every_parameter_has_a_gradient_in_every_step(when, organs):
    """Before the contrast begins, and where nothing but background is predicted."""
    method = method_of(start=0.5)
    if not organs:
        for decoder in (method.net.decoder, method.auxiliary):
            decoder.output.bias.data[0] = 1e3
    method.step(batch_of(), at(when)).loss.backward()
    assert [name for name, p in method.named_parameters() if p.grad is None] == []
    moved = any((p.grad != 0).any() for p in method.heads.parameters())
    assert moved == (when == 50 and organs)


def test_the_heads_are_not_shipped():
    method = method_of()
    shipped = {id(p) for p in method.predictor().parameters()}
    assert not shipped & {id(p) for p in [*method.heads.parameters(), *method.auxiliary.parameters()]}


@pytest.mark.parametrize("literal", [False, True])
def test_terms_from_their_equations(literal):
    method, batch = method_of(literal=literal).eval(), batch_of()
    terms = method.step(batch, at(60)).terms
    stages = method.net.encode(batch.image)
    p = [one.logits.softmax(1) for one in (method.net.decode(stages), method.auxiliary(stages))]
    known = batch.soft_weight > 0.5
    between = torch.full_like(batch.label, IGNORE) if literal else batch.label
    label = torch.where(known, batch.soft.argmax(1), between)
    dice = partial_dice if literal else noise_robust_dice
    torch.testing.assert_close(terms["superpixel"].value, (dice(p[0], label) + dice(p[1], label)) / 2)
    beta = derive_seed(1, 60, "scnet beta") / 2**63
    torch.testing.assert_close(terms["mixed"].value, mixed_pseudo(*p, beta))


def test_both_branches_are_attracted_by_what_each_has_right():
    method, batch = method_of().eval(), batch_of()
    given = []
    attract = method.heads.attraction
    method.heads.attraction = lambda *args, **options: given.append((args, options)) or attract(*args, **options)
    value = method.step(batch, at(60)).terms["contrast"].value
    torch.testing.assert_close(value, sum(attract(*args, **options) for args, options in given))
    stages = method.net.encode(batch.image)
    outs = method.net.decode(stages), method.auxiliary(stages)
    beta = derive_seed(1, 60, "scnet beta") / 2**63
    p = [out.logits.softmax(1) for out in outs]
    pseudo = (beta * p[0] + (1 - beta) * p[1]).argmax(1).flatten()
    for out, ((features, label, correct), options) in zip(outs, given, strict=True):
        torch.testing.assert_close(features, out.levels[0].permute(0, 2, 3, 1).reshape(-1, 16))
        assert torch.equal(label, pseudo)
        assert torch.equal(correct, out.logits.argmax(1).flatten() == pseudo)
        assert options == {"memory": 32, "best": True}


def test_without_targets_the_marks_are_the_superpixels_and_literally_nothing():
    batch = batch_of(targets=False)
    for literal in (False, True):
        method = method_of(literal=literal).eval()
        value = method.step(batch, at(60)).terms["superpixel"].value
        assert (value == 0) == literal


def test_under_autocast_it_is_finite():
    method = method_of()
    with torch.autocast("cpu", torch.bfloat16):
        out = method.step(batch_of(), at(60))
    out.loss.backward()
    assert all(p.grad.isfinite().all() for p in method.parameters())
