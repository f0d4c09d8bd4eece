"""Steps in parts, against the same steps in one piece."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn

from pointillist.methods import Moment, Term, pclmix, trimix
from pointillist.methods._parts import Parts
from tests.methods.small import Together, at, batch_of, method_of, unet


class Kept:
    """A tensor that a graph keeps for its way back."""

    def __init__(self, tensor):
        self.tensor = tensor


class Watched(nn.Module):
    """Notes how much graphs keep whenever it is called."""

    def __init__(self):
        super().__init__()
        self.linear, self.alive, self.counts = nn.Linear(3, 3).double(), weakref.WeakSet(), []

    def keep(self, tensor):
        kept = Kept(tensor)
        self.alive.add(kept)
        return kept

    def forward(self, x):
        self.counts.append(len(self.alive))
        with torch.autograd.graph.saved_tensors_hooks(self.keep, lambda kept: kept.tensor):
            return self.linear(x).exp()


def parts_of(net, kind, factors=(1.0, -2.0, 0.5)):
    """A step of three passes, of which the second does not count and the third has a parameter for itself."""
    scale = nn.Parameter(torch.full((), 2.0, dtype=torch.float64))
    parts = kind([*net.parameters(), scale])
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for number, factor in enumerate(factors):
        value = (net(factor * x) * (scale if number == 2 else 1)).mean()
        parts.add({f"a{number}": Term(value, 3.0), f"b{number}": Term(value.square(), 0.0 if number == 1 else 0.5)})
    out = parts.step({})
    out.loss.backward()
    return out, [p.grad for p in (*net.parameters(), scale)]


def test_loss_values_and_gradients_are_those_of_one_piece():
    torch.manual_seed(0)
    net = Watched()
    (out, gradients), together = parts_of(net, Parts), Watched()
    together.load_state_dict(net.state_dict())
    expected, expected_gradients = parts_of(together, Together)
    torch.testing.assert_close(out.loss, expected.loss)
    assert {name: (t.value.item(), t.weight) for name, t in out.terms.items()} == {
        name: (t.value.item(), t.weight) for name, t in expected.terms.items()
    }
    torch.testing.assert_close(gradients, expected_gradients)


def test_only_one_part_is_held_at_a_time():
    one_by_one, together = Watched(), Watched()
    parts_of(one_by_one, Parts)
    parts_of(together, Together)
    assert one_by_one.counts == [0, 0, 0]
    first, second, third = together.counts
    assert (first, third) == (0, 2 * second)
    assert second > 0


def test_the_gradient_takes_the_factor_of_the_loss():
    net = Watched()
    parts = Parts(net.parameters())
    parts.add({"a": Term(net(torch.ones(1, 3, dtype=torch.float64)).sum())})
    (once, *_) = torch.autograd.grad(parts.step({}).loss, list(net.parameters()))
    parts = Parts(net.parameters())
    parts.add({"a": Term(net(torch.ones(1, 3, dtype=torch.float64)).sum())})
    (thrice, *_) = torch.autograd.grad(3 * parts.step({}).loss, list(net.parameters()))
    torch.testing.assert_close(thrice, 3 * once)


def test_values_by_themselves_have_no_gradient_that_could_be_wrong():
    net = Watched()
    parts = Parts(net.parameters())
    parts.add({"a": Term(net(torch.ones(1, 3, dtype=torch.float64)).sum())})
    assert not parts.step({}).terms["a"].value.requires_grad


def test_gradients_are_forgotten_once_they_are_handed_out():
    """Whoever keeps the loss of a step, as a log does, keeps no second set of gradients through the next one."""
    net, kept = Watched(), weakref.WeakSet()
    parts = Parts(net.parameters())
    parts.add({"a": Term(net(torch.ones(1, 3, dtype=torch.float64)).sum())})

    def keep(tensor):
        kept.add(found := Kept(tensor))
        return found

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one.tensor):
        loss = parts.step({}).loss
    assert len(kept) == 2
    loss.backward()
    assert len(kept) == 0
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_parameters_that_no_part_uses_get_no_gradient():
    used, unused = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
    parts = Parts([used, unused, nn.Parameter(torch.ones(()), requires_grad=False)])
    parts.add({"a": Term(used * 2)})
    parts.step({}).loss.backward()
    assert used.grad == 2
    assert unused.grad is None


@pytest.mark.parametrize("name", ["pclmix", "trimix"])
@pytest.mark.parametrize("settings", [{}, {"literal": True}, {"start": 1.0}])
def test_methods_steps_in_parts_have_the_gradient_of_one_piece(name, settings, monkeypatch):
    gradients = []
    for kind in (Parts, Together):
        monkeypatch.setattr({"pclmix": pclmix, "trimix": trimix}[name], "Parts", kind)
        torch.manual_seed(1)
        method = method_of(name, unet(), **settings).eval()  # no dropout
        torch.manual_seed(2)
        method(Moment(batch_of(), at(90)))["loss"].backward()
        gradients.append({key: p.grad for key, p in method.named_parameters()})
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_under_autocast_gradients_are_no_further_from_float32_than_those_of_one_piece(monkeypatch):
    """The way back of a part runs inside of the autocast of the step, and must not be cast by it."""
    errors, exact = {}, None
    for kind, low in ((Together, False), (Together, True), (Parts, True)):
        monkeypatch.setattr(trimix, "Parts", kind)
        torch.manual_seed(1)
        method = method_of("trimix", unet()).eval()
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = method(Moment(batch_of(), at(90)))["loss"]
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in method.parameters()])
        exact = gradient if exact is None else exact
        errors[kind] = float((gradient - exact).norm() / exact.norm())
    assert 0 < errors[Parts] < 1.1 * errors[Together]
