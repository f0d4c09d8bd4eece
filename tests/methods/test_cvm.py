"""CVM and its two siblings: targets, when they are made, and what is learned from them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from pointillist.data.batch import Batch
from pointillist.data.phantoms import make_phantoms
from pointillist.data.targets import TargetStore
from pointillist.errors import InputError
from pointillist.losses import partial_ce, weighted_kl
from pointillist.methods import Score, _region_targets, build_method
from pointillist.methods._contrast_map import contrast_maps, stretched
from pointillist.methods._region_targets import mean_by_class, over_classes, refresh_targets
from pointillist.nets.network import NetOut
from pointillist.nets.registry import build_net
from pointillist.runtime.clock import Clock
from pointillist.runtime.events import read_events
from pointillist.solvers.variational import two_regions
from pointillist.spec import TaskSpec
from pointillist.train.plan import Plan
from pointillist.train.run import train
from pointillist.types import IGNORE

SIBLINGS = {"cvm": "regions", "contrast_map": "contrast", "direct_variational": "regions"}
siblings = pytest.mark.parametrize("name", SIBLINGS)


def method_of(name="cvm", classes=2, **settings):
    spec = TaskSpec(("background", *"abc"[: classes - 1]), ("grey",))
    return build_method(name, build_net("unet", 1, classes), spec, settings)


def batch_of(classes=2, side=16, seed=0, **targets):
    """Two images: the first with two points a class, the second without a mark of class 1."""
    rng = torch.Generator().manual_seed(seed)
    label = torch.full((2, side, side), IGNORE)
    for k in range(classes):
        label[0, 2 + 3 * k, 2], label[0, 2 + 3 * k, 12] = k, k
        if k != 1:
            label[1, 2 + 3 * k, 5] = k
    image = torch.rand(2, 1, side, side, generator=rng)
    return Batch(image, label, torch.ones(2, side, side, dtype=torch.bool), None, ("a", "b"), **targets)


def out_of(classes=2, side=16, seed=1):
    """Features with a left and a right half, logits that follow them."""
    rng = torch.Generator().manual_seed(seed)
    half = (torch.arange(side) < side // 2).float() * 2 - 1
    levels = torch.randn(2, 6, side, side, generator=rng)
    levels[:, 0] += 3 * half
    logits = torch.randn(2, classes, side, side, generator=rng)
    logits[:, -1] += 3 * half
    return NetOut(logits.requires_grad_(), (), (levels,))


def soft_batch(classes=2):
    rng = torch.Generator().manual_seed(2)
    soft = (2 * torch.randn(2, classes, 16, 16, generator=rng)).softmax(1)
    weight = torch.ones(2, 16, 16)
    weight[1, :, 8:] = 0
    return batch_of(classes, soft=soft * weight.unsqueeze(1), soft_weight=weight)


def clock(step=10, total=100):
    return Clock(seed=0, step=step, epoch=0, total=total)


# --- the loss


@siblings
@pytest.mark.parametrize("classes", [2, 4])
def test_the_term_is_the_divergence_where_there_is_a_target(name, classes):
    out, batch = out_of(classes), soft_batch(classes)
    batch.valid[0, :4] = False
    terms = method_of(name, classes, weight=0.7).terms(out, batch, clock())
    assert {key: term.weight for key, term in terms.items()} == {"pce": 1.0, SIBLINGS[name]: 0.7}
    known = (batch.soft_weight == 1) & batch.valid
    expected = weighted_kl(out.logits, batch.soft, known)
    torch.testing.assert_close(terms[SIBLINGS[name]].value, expected)
    torch.testing.assert_close(terms["pce"].value, partial_ce(out.logits, batch.label))


@siblings
def test_hard_labels_instead_of_the_divergence(name):
    out, batch = out_of(), soft_batch()
    value = method_of(name, hard=True).terms(out, batch, clock())[SIBLINGS[name]].value
    label = torch.where(batch.soft_weight == 1, (batch.soft[:, 1] > 0.5).long(), IGNORE)
    torch.testing.assert_close(value, partial_ce(out.logits, label))


@siblings
@pytest.mark.parametrize("hard", [False, True])
def test_before_the_first_target_there_is_nothing_to_learn(name, hard):
    for targets in ({}, {"soft": torch.zeros(2, 2, 16, 16), "soft_weight": torch.zeros(2, 16, 16)}):
        out = out_of()
        value = method_of(name, hard=hard).terms(out, batch_of(**targets), clock())[SIBLINGS[name]].value
        value.backward()
        assert value.item() == 0
        assert (out.logits.grad == 0).all()


@siblings
def test_it_counts_after_its_start(name):
    method = method_of(name, start=0.3)
    assert set(method.terms(out_of(), soft_batch(), clock(29))) == {"pce"}
    assert set(method.terms(out_of(), soft_batch(), clock(30))) == {"pce", SIBLINGS[name]}
    assert method_of(name).start == 0


def test_targets_between_known_and_unknown_pixels_are_whole():
    out, batch = out_of(), soft_batch()
    faded = replace(batch, soft=batch.soft * 0.8, soft_weight=batch.soft_weight * 0.8)
    values = [method_of().terms(out, one, clock())["regions"].value for one in (batch, faded)]
    torch.testing.assert_close(*values)


# --- the targets


def test_targets_of_two_classes_are_the_mean_regions_of_the_foreground():
    out, batch = out_of(), batch_of()
    soft, weight = method_of().targets_of(out, batch)
    maps = contrast_maps(out.levels[0], batch.label, (1,), eta=0.6, most=8)
    assert maps.image.tolist() == [0, 0]
    u = stretched(two_regions(maps.z).u.mean(0))
    torch.testing.assert_close(soft[0], torch.stack([1 - u, u]))
    assert weight[0].min() == 1
    assert weight[1].max() == 0  # has no point of the foreground


def test_targets_of_several_classes_are_divided_by_their_sum():
    out, batch = out_of(4), batch_of(4)
    soft, weight = method_of(classes=4).targets_of(out, batch)
    maps = contrast_maps(out.levels[0], batch.label, (0, 1, 2, 3), eta=0.6, most=8)
    u = two_regions(maps.z).u
    for image in (0, 1):
        owned = [u[(maps.image == image) & (maps.classes == k)] for k in range(4)]
        whole = torch.stack([stretched(one.mean(0)) if len(one) else torch.zeros(16, 16) for one in owned])
        total = whole.sum(0)
        assert torch.equal(weight[image] == 1, total > 1e-3)
        known = total > 1e-3
        torch.testing.assert_close(soft[image][:, known], (whole / total)[:, known])
    assert (soft[1, 1] == 0).all()
    assert weight[1].sum() > 0


def test_the_contrast_map_itself_as_target():
    out, batch = out_of(), batch_of()
    soft, weight = method_of("contrast_map").targets_of(out, batch)
    z = contrast_maps(out.levels[0], batch.label, (1,), eta=0.6, most=8).z
    torch.testing.assert_close(soft[0, 1], stretched(z.mean(0)))
    assert weight.mean((1, 2)).tolist() == [1, 0]


@pytest.mark.parametrize("classes", [2, 4])
def test_regions_of_the_prediction_as_target(classes):
    out = out_of(classes)
    soft, weight = method_of("direct_variational", classes).targets_of(out, batch_of(classes))
    p = out.logits.detach().softmax(1)
    if classes == 2:
        torch.testing.assert_close(soft[:, 1], two_regions(p[:, 1]).u)
    else:
        u = two_regions(p.flatten(0, 1)).u.view_as(p)
        known = weight[:, None].expand_as(u) == 1
        torch.testing.assert_close(soft[known], (u / u.sum(1, keepdim=True))[known])
    assert weight.mean() > 0.9


def test_a_constant_prediction_has_no_regions():
    method, batch = method_of("direct_variational"), batch_of()
    logits = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    logits[0] = torch.tensor([0.3, -0.2]).view(2, 1, 1)
    _, weight = method.targets_of(NetOut(logits, (), ()), batch)
    assert weight.mean((1, 2)).tolist() == [0, 1]


def test_a_class_whose_prediction_is_constant_keeps_it():
    logits = out_of(3).logits.detach().clone()
    p = logits.softmax(1)
    p[:, 0] = 0.2
    p[:, 1:] *= 0.8 / p[:, 1:].sum(1, keepdim=True)
    soft, _ = method_of("direct_variational", 3).targets_of(NetOut(p.log(), (), ()), batch_of(3))
    u = two_regions(p[:, 1:].flatten(0, 1)).u.view(2, 2, 16, 16)
    torch.testing.assert_close(soft[:, 0], 0.2 / (0.2 + u.sum(1)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"eta": 0.0}, {"lam": 0.5}, {"beta": 1000.0}, {"sigma": 4.0}, {"points": 1}, {"fixed_constants": True},
        {"solver": "aos"}, {"literal": True}, {"background": True},
    ],
    ids=lambda settings: next(iter(settings)),
)  # fmt: skip
def test_every_setting_decides_targets(settings):
    out, batch = out_of(seed=3), batch_of()
    out.levels[0][:, 0] *= 0.3
    plain, other = (method_of(**chosen).targets_of(out, batch)[0] for chosen in ({}, settings))
    assert not torch.allclose(plain[0], other[0], atol=1e-3)


@pytest.mark.parametrize("name", ["cvm", "contrast_map"])
def test_with_maps_of_the_background_its_name_does_not_matter(name):
    out, batch = out_of(seed=3), batch_of()
    swapped = replace(batch, label=torch.where(batch.label == IGNORE, batch.label, 1 - batch.label))
    method = method_of(name, background=True)
    soft, weight = method.targets_of(out, batch)
    torch.testing.assert_close(method.targets_of(out, swapped), (soft.flip(1), weight))
    torch.testing.assert_close(soft.sum(1), weight)
    assert (weight[0].mean() > 0.9, weight[1].any()) == (True, False)  # the second image has no point of class 1
    alone = method_of(name)
    assert not torch.allclose(alone.targets_of(out, swapped)[0], alone.targets_of(out, batch)[0].flip(1), atol=0.1)


def test_of_two_maps_each_has_its_share():
    maps = torch.tensor([[[[0.2, 0.0]], [[0.6, 0.0]]]])
    soft, weight = over_classes(maps, torch.tensor([[True, True]]), torch.Size((1, 2)), background=True)
    torch.testing.assert_close(soft[0, :, 0, 0], torch.tensor([0.25, 0.75]))
    assert weight.tolist() == [[[1, 0]]]
    _, weight = over_classes(maps, torch.tensor([[False, True]]), torch.Size((1, 2)), background=True)
    assert not weight.any()


def test_features_come_from_any_tap():
    net = build_net("unet", 1, 2).eval()
    spec, batch = TaskSpec(("background", "a"), ("grey",)), batch_of(side=32)
    with torch.no_grad():
        out = net(batch.image)
    for tap, level in (("decoder", 0), ("decoder", 3), ("encoder", 2), ("encoder", 4)):
        method = build_method("contrast_map", net, spec, {"tap": tap, "level": level})
        soft, weight = method.targets_of(out, batch)
        features = (out.levels if tap == "decoder" else out.stages)[level]
        found = contrast_maps(features, batch.label, (1,), eta=0.6, most=8)
        mean, there = mean_by_class(found.z, found.image, found.classes, 2, 2)
        torch.testing.assert_close(soft, over_classes(mean, there, torch.Size((32, 32)))[0])
        assert weight.shape == (2, 32, 32)
    for tap, count in (("decoder", 4), ("encoder", 5)):
        with pytest.raises(InputError, match=f"the network's {tap} has no such level"):
            build_method("cvm", net, spec, {"tap": tap, "level": count})


# --- the refresh


@siblings
def test_targets_are_made_anew_at_a_new_best_score_but_not_at_the_end(name, monkeypatch):
    made = []
    monkeypatch.setattr(_region_targets, "refresh_targets", lambda *args: made.append(args))
    method = method_of(name)
    for step, improved in ((10, True), (20, False), (30, True), (100, True)):
        method.after_validation(SimpleNamespace(clock=clock(step)), Score(1.0, improved))
    assert [args[1].clock.step for args in made] == [10, 30]
    assert all(args[0] is method.net and args[2] == method.targets_of for args in made)
    assert method.needs.validation
    assert method.needs.soft_targets


def test_targets_are_0_where_there_are_none_and_in_padding(tmp_path):

    batch = batch_of()
    batch.valid[0, :, 12:] = False
    store = TargetStore(tmp_path)
    ctx = SimpleNamespace(targets=store, sweep=lambda: iter([batch]), autocast=nullcontext)
    soft, weight = torch.rand(2, 2, 16, 16), torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, 16, 16)
    refresh_targets(lambda _: None, ctx, lambda *_: (soft, weight))
    kept, known = store.get(batch.ids)
    assert torch.equal(known, weight * batch.valid)
    torch.testing.assert_close(kept, soft * known.unsqueeze(1), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_a_run_makes_targets_in_eval_mode_and_full_precision_and_learns_from_them(tmp_path, monkeypatch):
    phantoms = make_phantoms(tmp_path / "D", training=3, testing=0, seed=1)
    generations, seen = [], set()
    refresh = _region_targets.refresh_targets

    def watched(net, ctx, targets_of):
        def looked(out, batch):
            seen.add((net.training, torch.is_autocast_enabled("cpu"), out.logits.dtype))
            return targets_of(out, batch)

        refresh(net, ctx, looked)
        generations.append((ctx.clock.step, ctx.targets.generation))

    monkeypatch.setattr(_region_targets, "refresh_targets", watched)
    plan = Plan(
        str(phantoms), "cvm", iterations=12, size=32, batch=4, seed=3, checkpoint_every=12, validate_every=4,
        augmentation="acdc", precision="bf16-mixed",
    )  # fmt: skip
    train(plan, tmp_path / "run")
    assert seen == {(False, False, torch.bfloat16)}
    events = list(read_events(tmp_path / "run" / "events.jsonl"))
    improved = [event["step"] for event in events if event["event"] == "validation" and event["improved"]]
    assert generations == [(step, n) for n, step in enumerate((s for s in improved if s < 12), 1)]
    assert generations[0] == (4, 1)
    steps = {event["step"]: event["terms"] for event in events if event["event"] == "step"}
    assert steps[10]["regions"] > 0
