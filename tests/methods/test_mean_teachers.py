"""uamt and ustm."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.methods import Moment
from pointillist.nets.network import NetOut
from pointillist.runtime.clock import derive_seed
from tests.methods.small import After, at, batch_of, method_of, pixel_net, unet

both = pytest.mark.parametrize("name", ["uamt", "ustm"])


def moment_with(quarters, total=100):
    """A step at which ustm turns by so many quarters."""
    step = next(s for s in range(total // 2, total) if derive_seed(0, s, "ustm quarters") % 4 == quarters)
    return at(step, total)


def terms_of(method, batch, clock, seed=0):
    torch.manual_seed(seed)
    return method.step(batch, clock).terms


@torch.no_grad()
def surer_when_bright(net):
    """Uniform where an image is 0, almost certain of class 0 where it is 1."""
    for p in net.parameters():
        p.zero_()
    net.features.weight.fill_(1.0)
    net.output.weight[0].fill_(1.0)


@both
def test_the_published_constants_are_the_defaults(name):
    method = method_of(name, pixel_net())
    assert (method.alpha, method.passes, method.noise, method.start, method.literal) == (0.99, 8, 0.1, 0.0, False)
    assert (method.weight, method.ramp) == {"uamt": (0.1, 0.5), "ustm": (1.0, 1.0)}[name]


@both
def test_the_weight_ramps_up_once_the_term_has_started(name):
    method = method_of(name, pixel_net(), weight=2.0, ramp=0.5, start=0.2, passes=1)
    batch = batch_of()
    assert set(terms_of(method, batch, at(19))) == {"pce"}
    weights = [terms_of(method, batch, at(step))["consistency"].weight for step in (20, 45, 70, 100)]
    assert weights == pytest.approx([2 * math.exp(-5), 2 * math.exp(-1.25), 2, 2])


@both
def test_nothing_is_lost_where_teacher_and_student_are_one_and_nothing_is_random(name):
    """With ustm: a pixel-wise network commutes with turning."""
    method = method_of(name, pixel_net(), noise=0.0)
    for quarters in range(4):
        value = terms_of(method, batch_of(h=12, w=20), moment_with(quarters))["consistency"].value
        assert value.item() == pytest.approx(0, abs=1e-12)


def test_where_neighbours_count_turning_does_cost():
    method = method_of("ustm", unet(dropout=0.0), noise=0.0)
    values = [terms_of(method, batch_of(), moment_with(q))["consistency"].value.item() for q in range(4)]
    assert values[0] == pytest.approx(0, abs=1e-10)
    assert min(values[1:]) > 1e-6


@both
@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_equal_to_the_public_formulation(name, literal, quarters):
    """Noise and dropout in the order of the public code, on an oblong image."""
    net = pixel_net()
    method = method_of(name, net, literal=literal)
    surer_when_bright(method.teacher)
    batch, clock = batch_of(h=12, w=20), moment_with(quarters)
    value = terms_of(method, batch, clock)["consistency"].value

    torch.manual_seed(0)
    turns = quarters if name == "ustm" else 0
    x = torch.rot90(batch.image, turns, [2, 3])
    noise = torch.clamp(torch.randn_like(x) * 0.1, -0.2, 0.2)
    target = method.teacher(x + noise).logits
    preds = []
    for _ in range(4):
        twice = x.repeat(2, 1, 1, 1)
        preds.append(method.teacher(twice + torch.clamp(torch.randn_like(twice) * 0.1, -0.2, 0.2)).logits)
    mean = F.softmax(torch.cat(preds), dim=1).reshape(8, len(x), 4, *x.shape[2:]).mean(0)
    eps, base, divisor = (1e-6, 2, 2) if literal else (0, 4, 4)
    uncertainty = -torch.sum(mean * torch.log(mean + eps), dim=1, keepdim=True)
    ramp = math.exp(-5 * (1 - clock.step / 100) ** 2)
    certain = (uncertainty < (0.75 + 0.25 * ramp) * math.log(base)).float()
    assert 0.05 < certain.mean() < 0.95
    turned = torch.rot90(net(batch.image).logits, turns, [2, 3])
    distance = (F.softmax(turned, dim=1) - F.softmax(target, dim=1)) ** 2
    assert value.item() == pytest.approx((torch.sum(certain * distance) / (divisor * certain.sum())).item(), rel=1e-5)


def test_without_turning_both_are_one():
    batch, clock = batch_of(), moment_with(0)
    values = [terms_of(method_of(name, unet()), batch, clock)["consistency"].value for name in ("uamt", "ustm")]
    assert torch.equal(*values)


@both
def test_all_pixels_uncertain_is_a_connected_zero(name):
    method = method_of(name, pixel_net())
    for p in method.teacher.parameters():
        p.data.zero_()  # uniform predictions
    out = terms_of(method, batch_of(), at(100))["consistency"].value
    out.backward()
    assert out.item() == 0
    assert all((p.grad == 0).all() for p in method.net.parameters())


@both
def test_the_teacher_gets_no_gradient_and_is_not_shipped(name):
    method = method_of(name, unet())
    torch.manual_seed(0)
    method(Moment(batch_of(), at(50)))["loss"].backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    assert all(p.grad is not None for p in method.net.parameters())
    assert method.predictor() is method.net
    assert sum(len(group["params"]) for group in method.param_groups(0.1)) == len(list(method.net.parameters()))


@both
def test_pixels_outside_the_image_count_in_the_public_codes_alone(name):
    batch = batch_of(h=12, w=20)
    batch.valid[:, :, 14:] = False
    values = []
    for literal in (False, True):
        method = method_of(name, pixel_net(), noise=0.0, literal=literal)
        surer_when_bright(method.teacher)
        with torch.no_grad():  # students differ from the teacher outside alone
            student = torch.where(batch.valid.unsqueeze(1), method.teacher(batch.image).logits, 0.0)
        method.net.forward = lambda _, student=student: NetOut(student, (), ())
        values.append(terms_of(method, batch, moment_with(1))["consistency"].value.item())
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert values[1] > 1e-3


@both
def test_the_teacher_is_the_student_after_one_step_and_its_mean_after_two(name):
    method = method_of(name, unet())
    weight, teacher = next(method.net.parameters()), next(method.teacher.parameters())
    weight.data.fill_(1.0)
    method.after_step({}, After(1))
    assert (teacher == 1).all()
    weight.data.fill_(2.0)
    method.after_step({}, After(2))
    assert (teacher == 1.5).all()
    weight.data.fill_(11.5)
    method.after_step({}, After(1000))
    torch.testing.assert_close(teacher, torch.full_like(teacher, 1.6))


def test_the_turn_is_the_same_on_every_process_and_changes_from_step_to_step(monkeypatch):
    method, batch, seen = method_of("ustm", pixel_net()), batch_of(), []

    def note(_, image, logits, *__, **___):
        seen.append(image)
        return logits.sum()

    monkeypatch.setattr("pointillist.methods.ustm.certain_consistency", note)
    for step in range(12):
        for rank in (0, 1):
            method.step(batch, replace(at(step), rank=rank))
    assert all(torch.equal(*pair) for pair in zip(seen[::2], seen[1::2], strict=True))
    turned = [torch.rot90(batch.image, q, (2, 3)) for q in range(4)]
    assert {q for q in range(4) for image in seen if torch.equal(image, turned[q])} == {0, 1, 2, 3}


@both
def test_the_mean_is_over_the_certain_pixels_of_all_processes(name, monkeypatch):
    method, batch = method_of(name, pixel_net()), batch_of()
    surer_when_bright(method.teacher)
    alone = terms_of(method, batch, at(50))["consistency"].value
    counts = []

    def with_another_process(count):
        counts.append(float(count))
        return torch.cat([count, torch.tensor([300.0])])

    monkeypatch.setattr("pointillist.runtime.distributed.gather", with_another_process)
    monkeypatch.setattr("pointillist.runtime.distributed.world", lambda: 2)
    together = terms_of(method, batch, at(50))["consistency"].value
    certain = counts[-1]
    assert 0 < certain < batch.label.numel()
    assert together.item() == pytest.approx(alone.item() * 2 * certain / (certain + 300), rel=1e-5)
