from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from pointillist.data.batch import Batch
from pointillist.losses import pixel_contrast
from pointillist.methods import Recipe, build_method, pclmix
from pointillist.methods._mix import CutMix, draw_boxes
from pointillist.nets.registry import build_net
from pointillist.runtime.clock import Clock, derive_seed
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

SPEC = TaskSpec(("background", "a", "b"), ("MR",))


def method_of(**settings):
    torch.manual_seed(1)
    return build_method("pclmix", build_net("unet", 1, 3), SPEC, settings).eval()  # eval: no dropout


def batch_of(count=3, size=32):
    g = torch.Generator().manual_seed(2)
    label = torch.randint(0, 3, (count, size, size), generator=g)
    label[torch.rand(label.shape, generator=g) < 0.8] = IGNORE
    valid = torch.ones_like(label, dtype=torch.bool)
    valid[0, :, :10] = False
    label[~valid] = IGNORE
    image = torch.randn(count, 1, size, size, generator=g) * valid[:, None]
    return Batch(image, label, valid, None, tuple(f"case/{i}" for i in range(count)))


def clock(step=0, total=100):
    return Clock(seed=3, step=step, epoch=0, total=total)


def step_of(method, when, batch=None):
    torch.manual_seed(4)
    return method.step(batch or batch_of(), when)


class OneProcess:
    gather = staticmethod(lambda x: x)


def weights(out):
    return {name: term.weight for name, term in out.terms.items()}


@pytest.mark.parametrize("literal", [False, True])
def test_one_pass_a_batch_serves_both_decoders(literal):
    method = method_of(literal=literal)
    passes = []
    for module in (method.net.encoder[0], method.net.decoder, method.auxiliary):
        module.register_forward_hook(lambda module, *_: passes.append(module))
    step_of(method, clock(1))
    batches = 2 if literal else 3
    assert [passes.count(m) for m in (method.net.encoder[0], method.net.decoder, method.auxiliary)] == [batches] * 3


def test_what_counts_when():
    method = method_of(start=0.2, start_ctr=0.5)
    early, late, end = (step_of(method, clock(step)) for step in (10, 49, 100))
    assert set(early.terms) == {"pce_c", "pce_t", "contrast"}
    assert early.carry == late.carry == {}
    assert late.terms["contrast"].value == 0
    assert set(end.carry) == {"means", "present"}
    assert weights(end)["contrast"] == pytest.approx(0.15)
    assert weights(late)["contrast"] == pytest.approx(0.15 * 0.49**0.9)
    expected = {"pce": 1, "mixed": 1, "contrast": 0.15}
    for name, weight in weights(end).items():
        kind, part = name.partition("_")[::2]
        if kind in expected and kind != "contrast":
            assert weight == pytest.approx(0.6 if part[0] == "c" else 0.4)
    assert weights(end)["mix_12"] == weights(end)["mix_21"] == 1
    ramped = math.exp(-5 * (1 - 0.8 / 1.26) ** 2)
    assert weights(end)["het"] == weights(end)["het_12"] == weights(end)["het_21"] == pytest.approx(ramped)


ABLATIONS = {
    1: ({"lambda_ctr": 0, "lambda_con": 0}, {"contrast", "het", "mix"}),
    2: ({"lambda_con": 0}, {"het", "mix"}),
    3: ({"lambda_ctr": 0, "lambda_mix": 0}, {"contrast", "mix"}),
    4: ({"lambda_ctr": 0}, {"contrast"}),
    5: ({"lambda_mix": 0}, {"mix"}),
    6: ({"supervise_t": False}, {"pce_t", "mixed_t"}),
    7: ({}, set()),
}


@pytest.mark.parametrize("number", ABLATIONS)
def test_every_ablation_is_a_matter_of_settings(number):
    settings, gone = ABLATIONS[number]
    method = method_of(**settings)
    out = step_of(method, clock(100))
    off = {name.removesuffix("_12").removesuffix("_21") for name, weight in weights(out).items() if weight == 0}
    assert off == gone
    if number in (1, 6):
        out.loss.backward()
        assert [name for name, p in method.named_parameters() if p.grad is None] == []


def public_terms(method, batch, when):
    """The public step re-derived: float masks, softmaxes of permuted logits, the argmax of their mix."""
    torch.manual_seed(4)
    first, second = torch.randperm(len(batch)), torch.randperm(len(batch))
    boxes = draw_boxes(len(batch), batch.image.shape[2:], 0.2)[:, None].float()

    def decoded(image):
        stages = method.net.encode(image)
        return method.net.decode(stages).logits, method.auxiliary(stages).logits

    def ce(logits, label):
        return F.cross_entropy(logits, label, ignore_index=IGNORE)

    c, t = decoded(batch.image)
    soft_c, soft_t = c.softmax(1).detach()[first], t.softmax(1).detach()[second]
    name = "21" if derive_seed(3, when.step, "pclmix pasted") % 2 else "12"
    pairs = [(batch.image[first], batch.image[second]), (soft_c, soft_t), (batch.label[first], batch.label[second])]
    mask = boxes[first]
    if name == "21":
        pairs, mask = [(b, a) for a, b in pairs], boxes[second]
    image, pseudo = (mask * a + (1 - mask) * b for a, b in pairs[:2])
    label = mask[:, 0] * pairs[2][0] + (1 - mask[:, 0]) * pairs[2][1]
    label, pseudo = label.long(), pseudo.argmax(1)
    mixed_c, mixed_t = decoded(image)
    return {
        "pce_c": ce(c, batch.label),
        "pce_t": ce(t, batch.label),
        "het": F.mse_loss(c, t),
        f"mixed_c_{name}": ce(mixed_c, label),
        f"mixed_t_{name}": ce(mixed_t, label),
        f"mix_{name}": ce(mixed_c, pseudo) + 0.4 * ce(mixed_t, pseudo),
        f"het_{name}": F.mse_loss(mixed_c, mixed_t),
    }


@pytest.mark.parametrize("name", ["12", "21"])
def test_literal_is_the_public_step(name):
    when = clock(next(s for s in range(99) if derive_seed(3, s, "pclmix pasted") % 2 == (name == "21")))
    method = method_of(literal=True, start_ctr=1.0)
    out = step_of(method, when)
    expected = public_terms(method, batch_of(), when)
    assert set(out.terms) - {"contrast"} == set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(out.terms[key].value, value, msg=key)
    assert [weights(out)[key] for key in ("pce_c", "pce_t", f"mixed_c_{name}", f"mixed_t_{name}")] == [1, 0.4, 1, 0.4]


def pixelwise(method):
    """Both decoders as 1×1 convolutions of the image, in float64."""
    heads = [nn.Conv2d(1, 3, 1).double() for _ in range(2)]
    method.heads = nn.ModuleList(heads)
    method.net.encode = lambda image: (image.double(),) * 5
    method._decoded = lambda stages: tuple(head(stages[0]) for head in heads)
    method.embed = nn.Identity()
    method._averaged = lambda pair, share: torch.lerp(pair[0].softmax(1), pair[1].softmax(1), share)
    return method


def test_a_pixelwise_network_is_as_consistent_as_can_be():
    method = pixelwise(method_of(mix_consistency="neg_cos", start_ctr=1.0))
    out = step_of(method, clock())
    for name in ("mix_12", "mix_21"):
        assert out.terms[name].value.item() == pytest.approx(0, abs=1e-12)
    literal = pixelwise(method_of(mix_consistency="neg_cos", start_ctr=1.0, literal=True))
    out = step_of(literal, clock())  # each side of a box from another decoder
    assert next(out.terms[name].value for name in ("mix_12", "mix_21") if name in out.terms) > 1e-4


def logits_of(seed):
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2


@pytest.mark.parametrize("mix_consistency", ["ce_hard", "neg_cos"])
def test_what_teaches_takes_no_gradient(mix_consistency):
    method, batch = method_of(mix_consistency=mix_consistency), batch_of()
    plain = (logits_of(0).requires_grad_(), logits_of(1).requires_grad_())
    assert not any(one.requires_grad for one in method._said(plain, batch.valid))
    assert not method._confirmed(plain, batch, (8, 8), clock()).requires_grad


def test_hard_labels_are_those_of_the_averaged_prediction_and_mixed_like_images():
    method, batch = method_of(lambda_t=0.3), batch_of()
    plain = logits_of(0), logits_of(1)
    said, again = method._said(plain, batch.valid)
    assert torch.equal(said, again)
    q = 0.7 * plain[0].softmax(1) + 0.3 * plain[1].softmax(1)
    assert torch.equal(said, torch.where(batch.valid, q.argmax(1), IGNORE))
    mix = next(iter(method._mixes(batch, clock()).values()))
    assert isinstance(mix, CutMix)
    pasted = mix(q, q).argmax(1)
    inside = mix(batch.valid, batch.valid)
    assert torch.equal(mix(said, said), torch.where(inside, pasted, IGNORE))
    literal = method_of(literal=True)._said(plain, batch.valid)
    assert [torch.equal(one, z.argmax(1)) for one, z in zip(literal, plain, strict=True)] == [True, True]


def test_identical_decoders_are_not_apart():
    z = logits_of(0)
    for literal in (False, True):
        assert method_of(literal=literal)._apart((z, z.clone()), batch_of().valid, clock()).value == 0


def test_confirmed_are_marks_and_sure_pixels_of_which_there_come_more():
    method, batch = method_of(), batch_of()
    plain = logits_of(0), logits_of(1)
    sure = []
    for step in (0, 50, 100):
        label = method._confirmed(plain, batch, (32, 32), clock(step))
        marked = batch.label != IGNORE
        assert torch.equal(label[marked], batch.label[marked])
        assert (label[~batch.valid] == IGNORE).all()
        q = 0.6 * plain[0].softmax(1) + 0.4 * plain[1].softmax(1)
        entropy = -(q * q.log()).sum(1)
        assert entropy.max() <= math.log(3) + 1e-6
        limit = (0.375 + 0.125 * clock(step).ramp(1.0)) * math.log(3)
        expected = (entropy < limit) & batch.valid & ~marked
        assert torch.equal(label != IGNORE, expected | marked)
        assert torch.equal(label[expected], q.argmax(1)[expected])
        sure.append(int(expected.sum()))
    assert 0 < sure[0] < sure[1] < sure[2]


def test_literal_confirms_by_the_even_mean_below_half_of_the_entropy_of_four_classes():
    method, batch = method_of(literal=True), batch_of()
    plain = logits_of(0), logits_of(1)
    q = (plain[0].softmax(1) + plain[1].softmax(1)) / 2
    sure = -(q * (q + 1e-6).log()).sum(1) < (0.75 + 0.25 * math.exp(-5)) * math.log(2)
    label = method._confirmed(plain, batch, (32, 32), clock())
    assert torch.equal(label != IGNORE, sure | (batch.label != IGNORE))


def test_all_classes_are_anchors_and_literally_the_background_alone():
    label = torch.zeros(1, 28, 28, dtype=torch.int64)
    label[0, :7, :7], label[0, 10:17, 10:17] = 1, 2  # 49 pixels each: the largest a class gets on ACDC is 52
    found = [label.flatten()[method_of(literal=literal)._anchors(label.flatten(1))] for literal in (False, True)]
    assert found[0].bincount().tolist() == [32, 32, 32]
    assert found[1].bincount().tolist() == [100]


def test_the_queue_fills_and_decides_the_contrast():
    method = method_of(stride=2, threshold=1.0)
    out = step_of(method, clock(90))
    assert out.terms["contrast"].value == 0  # nothing to compare with yet
    method.after_step(out.carry, OneProcess)
    assert method.queue.written.tolist() == [3, 3, 3]
    out = step_of(method, clock(90))
    contrast = out.terms["contrast"].value
    assert contrast > 0
    out.loss.backward()
    assert method.embed[0].weight.grad.abs().sum() > 0
    method.queue.vectors[0].neg_()
    assert step_of(method, clock(90)).terms["contrast"].value != contrast
    method.queue.written.zero_()
    assert step_of(method, clock(90)).terms["contrast"].value == 0


def test_anchors_that_cannot_be_contrasted_are_not_counted(monkeypatch):
    method, asked = method_of(stride=2, threshold=1.0), []
    method.after_step(step_of(method, clock(90)).carry, OneProcess)
    method.queue.written[2] = 0
    monkeypatch.setattr(
        pclmix, "pixel_contrast", lambda *args, **kw: (asked.append(args), pixel_contrast(*args, **kw))[1]
    )
    value = step_of(method, clock(90)).terms["contrast"].value
    ((anchors, label, *memory),) = asked
    assert sorted(set(label.tolist())) == [0, 1, IGNORE]
    torch.testing.assert_close(value, pixel_contrast(anchors, label, *memory, tau=0.07))


def test_the_published_queue_has_no_background():
    method = method_of(literal=True, stride=2, threshold=1.0, queue=5)
    torch.testing.assert_close(method.queue.vectors.norm(dim=2), torch.tensor([[0.0], [1.0], [1.0]]).expand(3, 5))
    out = step_of(method, clock(90))
    method.after_step(out.carry, OneProcess)
    assert method.queue.written.tolist() == [5, 8, 8]
    assert (method.queue.vectors[0] == 0).all()


def test_the_cnn_branch_is_shipped_and_the_queue_is_saved():
    method = method_of()
    assert method.predictor() is method.net
    assert not any(name.startswith(("auxiliary", "embed", "queue")) for name in method.predictor().state_dict())
    assert {"queue.vectors", "queue.written"} < set(method.state_dict())
    assert method.recipe == Recipe(lr=0.03)
    assert method.needs.min_batch == 2
    assert method.net.strides[method.stage] == 8
