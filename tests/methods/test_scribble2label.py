from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.data.batch import Batch
from pointillist.data.phantoms import make_phantoms
from pointillist.methods import build_method, scribble2label
from pointillist.nets.network import NetOut
from pointillist.nets.registry import build_net
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.train.plan import Plan
from pointillist.train.run import train
from pointillist.types import IGNORE

SPEC = TaskSpec(("background", "a", "b", "c"), ("MR",))
GROWN = 1 - 0.8**2  # after two updates


def method_of(**settings):
    return build_method("scribble2label", build_net("unet", 1, 4), SPEC, settings)


def batch_of():
    g = torch.Generator().manual_seed(0)
    label = torch.randint(0, 4, (2, 8, 8), generator=g)
    label[torch.rand(label.shape, generator=g) < 0.8] = IGNORE
    soft = (torch.randn(2, 4, 8, 8, generator=g) * 3).softmax(1) * GROWN
    weight = torch.full((2, 8, 8), GROWN)
    return Batch(torch.zeros(2, 1, 8, 8), label, label >= 0, None, ("a", "b"), soft, weight)


def out_of(seed=1):
    logits = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    return NetOut(logits, (), ())


def clock(step, total=60_000, epoch=0):
    return Clock(seed=0, step=step, epoch=epoch, total=total)


def test_sure_labels_count_after_6000_of_60000_steps():
    method, batch = method_of(), batch_of()
    assert set(method.terms(out_of(), batch, clock(5999))) == {"pce"}
    terms = method.terms(out_of(), batch, clock(6000))
    assert {name: term.weight for name, term in terms.items()} == {"pce": 1, "sure": 0.5}


def test_the_term_is_the_mean_over_unmarked_pixels_that_are_sure():
    out, batch = out_of(), batch_of()
    value = method_of().terms(out, batch, clock(6000))["sure"].value
    losses = []
    for n in range(2):
        for row in range(8):
            for column in range(8):
                average = batch.soft[n, :, row, column] / GROWN
                if batch.label[n, row, column] == IGNORE and average.max() > 0.8:
                    scores = out.logits[n, :, row, column]
                    losses.append(scores.logsumexp(0) - scores[average.argmax()])
    assert 10 < len(losses) < 100
    torch.testing.assert_close(value, torch.stack(losses).mean())


def test_uncorrected_averages_of_two_updates_teach_nothing():
    out, batch = out_of(), batch_of()
    literal = method_of(literal=True).terms(out, batch, clock(6000))["sure"].value
    literal.backward()
    assert literal.item() == 0
    assert (out.logits.grad == 0).all()
    later = replace(batch, soft=batch.soft / GROWN, soft_weight=batch.soft_weight / GROWN)
    values = [method_of(literal=one).terms(out, later, clock(6000))["sure"].value for one in (True, False)]
    torch.testing.assert_close(*values)  # nothing to correct any more
    assert values[0] > 0


def test_literal_is_the_public_loss():
    out, batch = out_of(), batch_of()
    batch = replace(batch, soft=batch.soft / GROWN * 0.95, soft_weight=torch.full((2, 8, 8), 0.95))
    pseudo = torch.full_like(batch.label, IGNORE)
    for k in range(4):
        pseudo[(batch.soft[:, k] > 0.8) & (batch.label == IGNORE)] = k
    expected = F.cross_entropy(out.logits, batch.label, ignore_index=IGNORE)
    expected = expected + 0.5 * F.cross_entropy(out.logits, pseudo, ignore_index=IGNORE)
    terms = method_of(literal=True).terms(out, batch, clock(6000))
    torch.testing.assert_close(sum(term.weight * term.value for term in terms.values()), expected)
    assert not torch.isclose(method_of().terms(out, batch, clock(6000))["sure"].value, terms["sure"].value)


@pytest.mark.parametrize(("refresh", "expected"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4]), (5, [5])])
def test_averages_are_updated_every_few_epochs_but_not_at_the_end(refresh, expected, monkeypatch):
    updates = []
    monkeypatch.setattr(scribble2label, "update_averages", lambda _, ctx, alpha: updates.append((ctx, alpha)))
    method = method_of(refresh=refresh, alpha=0.3)
    for epoch in range(1, 7):
        method.after_epoch(SimpleNamespace(clock=clock(epoch * 10, total=60, epoch=epoch)))
    assert [ctx.clock.epoch for ctx, _ in updates] == expected
    assert {alpha for _, alpha in updates} == {0.3}


@pytest.mark.slow
def test_a_run_predicts_in_eval_mode_in_its_precision_and_leaves_the_network_alone(tmp_path, monkeypatch):
    phantoms = make_phantoms(tmp_path / "D", training=2, testing=0, seed=1)
    update, generations, modes = scribble2label.update_averages, [], set()

    def watched(net, ctx, alpha):
        before = {name: value.clone() for name, value in net.state_dict().items()}
        hook = net.register_forward_hook(lambda net, _, out: modes.add((net.training, out.logits.dtype)))
        update(net, ctx, alpha)
        hook.remove()
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        soft, weight = ctx.targets.get([name for batch in ctx.sweep() for name in batch.ids])
        torch.testing.assert_close(soft.sum(1), weight, rtol=0, atol=3e-3)
        assert (weight > 0).all()
        generations.append(ctx.targets.generation)

    monkeypatch.setattr(scribble2label, "update_averages", watched)
    plan = Plan(
        str(phantoms), "scribble2label", iterations=16, size=32, batch=4, seed=3, checkpoint_every=16,
        augmentation="acdc", precision="bf16-mixed",
    )  # fmt: skip
    train(plan, tmp_path / "run")
    assert modes == {(False, torch.bfloat16)}
    assert generations == list(range(1, len(generations) + 1))
    assert len(generations) >= 2
