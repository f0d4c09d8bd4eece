from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.data.batch import Batch
from pointillist.methods import Recipe, build_method, trimix
from pointillist.methods._mix import draw_boxes
from pointillist.nets.registry import build_net
from pointillist.runtime.clock import Clock, derive_seed
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE
from tests.methods.small import Together

SPEC = TaskSpec(("background", "a", "b"), ("MR",))


def method_of(**settings):
    torch.manual_seed(1)
    return build_method("trimix", build_net("unet", 1, 3), SPEC, settings).eval()  # eval: no dropout


def batch_of(count=4, size=32):
    g = torch.Generator().manual_seed(2)
    label = torch.randint(0, 3, (count, size, size), generator=g)
    label[torch.rand(label.shape, generator=g) < 0.8] = IGNORE
    valid = torch.ones_like(label, dtype=torch.bool)
    valid[0, :, :10] = False
    label[~valid] = IGNORE
    image = torch.randn(count, 1, size, size, generator=g) * valid[:, None]  # 0 outside, and nowhere else
    return Batch(image, label, valid, None, tuple(f"case/{i}" for i in range(count)))


def clock(step=0, total=100):
    return Clock(seed=3, step=step, epoch=0, total=total)


def step_with_its_inputs(method, batch, when, monkeypatch):
    """The terms of a step, and what each network was shown and each cross-entropy was told."""
    shown, told, marked_ce = [], [], trimix.marked_ce
    with monkeypatch.context() as patch:
        patch.setattr(trimix, "marked_ce", lambda z, y: (told.append(y), marked_ce(z, y))[1])
        hooks = [net.register_forward_pre_hook(lambda net, x: shown.append((net, *x))) for net in nets_of(method)]
        torch.manual_seed(4)
        terms = method.step(batch, when).terms
    for hook in hooks:
        hook.remove()
    return terms, shown, told


def nets_of(method):
    return [method.net, *method.others]


def pasted_higher(step):
    return derive_seed(3, step, "trimix pasted") % 2 == 1


STEPS = {higher: next(step for step in range(99) if pasted_higher(step) is higher) for higher in (False, True)}
both_ways = pytest.mark.parametrize("step", STEPS.values(), ids=["lower", "higher"])


def published_losses(nets, batch, *, higher):
    """The public step, re-derived: float masks, softmaxes of permuted predictions, argmax of their mix."""
    count = len(batch)
    torch.manual_seed(4)
    orders = [torch.arange(count), torch.randperm(count), torch.randperm(count)]
    masks = draw_boxes(count, batch.image.shape[2:], 0.2)[:, None].float()
    masks, images, labels = ([of[order] for order in orders] for of in (masks, batch.image, batch.label[:, None]))
    plain = [net(batch.image).logits for net in nets]
    soft = [logits.softmax(1)[order].detach() for logits, order in zip(plain, orders, strict=True)]
    losses = {}
    for i, net in enumerate(nets):
        one, other = (j for j in range(3) if j != i)
        if higher:
            one, other = other, one
        mask = masks[one]
        logits = net(mask * images[one] + (1 - mask) * images[other]).logits
        mixed = (mask * labels[one] + (1 - mask) * labels[other])[:, 0].long()
        pseudo = (mask * soft[one] + (1 - mask) * soft[other]).argmax(1)
        losses[f"pce_{i + 1}"] = F.cross_entropy(plain[i], batch.label, ignore_index=IGNORE)
        losses[f"mixed_{i + 1}"] = F.cross_entropy(logits, mixed, ignore_index=IGNORE)
        losses[f"pseudo_{i + 1}"] = F.cross_entropy(logits, pseudo)
    return losses


@both_ways
def test_literal_is_the_public_formulation(step, monkeypatch):
    method, batch = method_of(literal=True), batch_of()
    terms, _, _ = step_with_its_inputs(method, batch, clock(step), monkeypatch)
    published = published_losses(nets_of(method), batch, higher=pasted_higher(step))
    assert set(terms) == set(published)
    for name, value in published.items():
        torch.testing.assert_close(terms[name].value, value, msg=name)


@both_ways
def test_pseudo_labels_count_where_there_is_an_image(step, monkeypatch):
    batch, method = batch_of(), method_of()
    terms, shown, told = step_with_its_inputs(method, batch, clock(step), monkeypatch)
    literal, _, everywhere = step_with_its_inputs(method_of(literal=True), batch, clock(step), monkeypatch)
    for i, (net, mixed) in enumerate(shown[3:]):
        pseudo, whole = told[4 + 2 * i], everywhere[4 + 2 * i]
        outside = mixed[:, 0] == 0
        assert outside.any()
        assert torch.equal(pseudo == IGNORE, outside)
        assert (whole != IGNORE).all()
        assert torch.equal(pseudo[~outside], whole[~outside])
        here, literally = (one[f"pseudo_{i + 1}"].value for one in (terms, literal))
        logits = net(mixed).logits
        torch.testing.assert_close(here, F.cross_entropy(logits, pseudo, ignore_index=IGNORE))
        assert here != literally
    assert all(terms[name].value == literal[name].value for name in terms if not name.startswith("pseudo"))


@both_ways
def test_equal_networks_give_equal_pseudo_labels_up_to_permutation(step, monkeypatch):
    method, batch = method_of(area=1.0, literal=True), batch_of()
    for other in method.others:
        other.load_state_dict(method.net.state_dict())
    _, shown, told = step_with_its_inputs(method, batch, clock(step), monkeypatch)
    said = method.net(batch.image).logits.argmax(1)
    for (_, mixed), pseudo in zip(shown[3:], told[4::2], strict=True):
        order = [next(i for i in range(4) if torch.equal(batch.image[i], one)) for one in mixed]
        assert sorted(order) == [0, 1, 2, 3]
        assert torch.equal(pseudo, said[order])


def test_each_network_learns_from_the_other_two(monkeypatch):
    """Networks that each predict one class everywhere: pseudo labels name whose they are."""
    method, batch = method_of(literal=True), batch_of()
    for number, net in enumerate(nets_of(method)):
        net.decoder.output.weight.data.zero_()
        net.decoder.output.bias.data = F.one_hot(torch.tensor(number), 3).float()
    for higher, step in STEPS.items():
        _, _, told = step_with_its_inputs(method, batch, clock(step), monkeypatch)
        for i, pseudo in enumerate(told[4::2]):
            one, other = (j for j in range(3) if j != i)
            counts = torch.bincount(pseudo.flatten(), minlength=3) / pseudo.numel()
            pasted, onto = (other, one) if higher else (one, other)
            assert counts[i] == 0
            assert counts[pasted] == pytest.approx(0.2, abs=0.03)
            assert counts[onto] == pytest.approx(0.8, abs=0.03)


def test_without_a_box_mixed_images_are_the_batch_in_another_order(monkeypatch):
    terms, _, _ = step_with_its_inputs(method_of(area=0.0), batch_of(), clock(), monkeypatch)
    for i in (1, 2, 3):
        torch.testing.assert_close(terms[f"mixed_{i}"].value, terms[f"pce_{i}"].value)


def test_no_gradient_passes_through_pseudo_labels(monkeypatch):
    monkeypatch.setattr(trimix, "Parts", Together)
    method = method_of()
    terms = method.step(batch_of(), clock()).terms
    for i, net in enumerate(nets_of(method), start=1):
        loss = terms[f"pseudo_{i}"].value
        for other in nets_of(method):
            gradients = torch.autograd.grad(loss, list(other.parameters()), retain_graph=True, allow_unused=True)
            assert all((gradient is None) is (other is not net) for gradient in gradients)


def test_weights_and_start():
    method, batch = method_of(weight_mixed=0.3, weight_pseudo=0.7, start=0.5), batch_of()
    before, after = (method.step(batch, clock(step)).terms for step in (49, 50))
    assert set(before) == {"pce_1", "pce_2", "pce_3"}
    assert {name: term.weight for name, term in after.items()} == {
        f"{name}_{i}": weight for name, weight in (("pce", 1), ("mixed", 0.3), ("pseudo", 0.7)) for i in (1, 2, 3)
    }


def test_an_image_and_its_mix_have_batchnorm_statistics_of_their_own():
    method = method_of().train()
    method.step(batch_of(), clock())
    for net in nets_of(method):
        assert net.encoder[0][1].num_batches_tracked == 2


def test_three_networks_that_the_seed_decides():
    first, again = method_of(), method_of()
    weights = [net.encoder[0][0].weight for net in nets_of(first)]
    assert len({float(weight.sum().detach()) for weight in weights}) == 3
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    torch.manual_seed(2)
    third = build_method("trimix", first.net, SPEC, {})
    assert not torch.equal(third.others[0].encoder[0][0].weight, weights[1])


def test_the_first_network_predicts_and_the_recipe_is_the_sources():
    method = method_of()
    assert method.predictor() is method.net
    assert method.recipe == Recipe(lr=0.03)
    assert method.needs.min_batch == 2
