from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from pointillist.errors import InputError
from pointillist.nets import UNet


class Damp(nn.Module):
    """A graft of one weight, which starts as half."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.constant_(self.factor, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Attend(nn.Module):
    """A graft that also gives a map."""

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return x, {"attention": x.mean(1, keepdim=True)}


class Bare(nn.Module):
    """A graft that cannot draw its weight anew."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Halve(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, ::2]


def small() -> UNet:
    torch.manual_seed(0)
    return UNet(1, 3, channels=(4, 6, 8), dropout=(0.1, 0.1, 0.1))


@pytest.fixture
def net() -> UNet:
    return small()


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 1, 17, 22, generator=torch.Generator().manual_seed(1))


def equal(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(x == y and torch.equal(u, v) for (x, u), (y, v) in pairs)


def test_fresh_draws_other_weights_of_the_same_architecture(net):
    other = net.fresh(7)
    assert [(k, v.shape) for k, v in other.state_dict().items()] == [(k, v.shape) for k, v in net.state_dict().items()]
    for (name, mine), theirs in zip(net.named_parameters(), other.parameters(), strict=True):
        assert mine.data_ptr() != theirs.data_ptr(), name
        assert mine.ndim < 4 or not torch.equal(mine, theirs), name


def test_fresh_follows_its_seed_alone(net):
    first = net.fresh(7)
    torch.rand(5)
    net(torch.randn(2, 1, 16, 16)).logits.sum().backward()  # moves statistics and fills gradients
    again = net.fresh(7)
    assert equal(first, again)
    assert not equal(first, net.fresh(8))
    assert all(p.grad is None for p in again.parameters())
    assert again.encoder[0][1].running_mean.eq(0).all()


def test_fresh_leaves_the_random_state_and_the_net_alone(net):
    before, weights = torch.get_rng_state(), copy.deepcopy(net)
    net.fresh(7)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(net, weights)


def test_fresh_keeps_mode_precision_and_frozen_parameters(net):
    net.eval().double().requires_grad_(False)
    other = net.fresh(7)
    assert not other.training
    assert {p.dtype for p in other.parameters()} == {torch.float64}
    assert not any(p.requires_grad for p in other.parameters())


def test_fresh_takes_grafts_along(net):
    net.graft(1, Damp())
    with torch.no_grad():
        net.grafts["1"].factor.fill_(3)
    assert net.fresh(7).grafts["1"].factor == 0.5


def test_fresh_refuses_modules_that_cannot_draw_anew(net):
    net.graft(1, Bare())
    with pytest.raises(TypeError, match="Bare owns parameters but cannot draw them anew"):
        net.fresh(7)


def test_a_graft_changes_its_stage_and_all_that_follows(net, image):
    net.eval()
    before = net(image)
    net.graft(1, Damp())
    after = net(image)
    torch.testing.assert_close(after.stages[0], before.stages[0])
    torch.testing.assert_close(after.stages[1], before.stages[1] / 2)
    assert not torch.equal(after.stages[2], before.stages[2])
    assert not torch.equal(after.logits, before.logits)


def test_a_graft_is_trained_and_saved(net, image):
    net.graft(2, Damp())
    net(image).logits.square().sum().backward()
    assert net.grafts["2"].factor.grad.abs() > 0
    with torch.no_grad():
        net.grafts["2"].factor.fill_(0.9)
    assert net.state_dict()["grafts.2.factor"] == torch.tensor(0.9)
    copied = small()
    copied.graft(2, Damp())
    copied.load_state_dict(net.state_dict())
    assert torch.equal(copied.eval()(image).logits, net.eval()(image).logits)


def test_what_a_graft_shows_appears_beside_the_logits(net, image):
    assert net(image).side == {}
    net.graft(1, Attend())
    out = net(image)
    assert torch.equal(out.side["attention"], out.stages[1].mean(1, keepdim=True))
    assert len(net.encode(image)) == 3  # without a place for maps they are dropped


@pytest.mark.parametrize("stage", [-1, 3])
def test_grafts_on_missing_stages_are_refused(net, stage):
    with pytest.raises(ValueError, match=f"stage must be 0 … 2, got {stage}"):
        net.graft(stage, Damp())


def test_a_stage_bears_one_graft(net):
    net.graft(1, Damp())
    with pytest.raises(ValueError, match="stage 1 already bears a graft"):
        net.graft(1, Damp())


def test_a_graft_must_keep_the_shape(net, image):
    net.graft(1, Halve())
    with pytest.raises(
        ValueError, match=r"the graft on stage 1 must keep the shape \(2, 6, 8, 11\), got \(2, 3, 8, 11\)"
    ):
        net(image)


def test_a_new_decoder_has_weights_of_its_own(net, image):
    decoder = net.new_decoder()
    mine, theirs = list(net.decoder.parameters()), list(decoder.parameters())
    assert [p.shape for p in mine] == [p.shape for p in theirs]
    assert not any(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True) if a.ndim == 4)
    stages = net.encode(image)
    out = decoder(stages)
    assert out.logits.shape == net.decode(stages).logits.shape
    out.logits.sum().backward()
    assert all(p.grad is None for p in mine)
    assert all(p.grad is not None for p in theirs)


def test_forward_is_decode_after_encode(net, image):
    net.eval()
    assert torch.equal(net(image).logits, net.decode(net.encode(image)).logits)


def test_a_network_without_a_published_encoder_takes_no_pretrained_weights(net, tmp_path):
    with pytest.raises(InputError, match="takes no pretrained weights") as caught:
        net.load_encoder(tmp_path / "weights.pth")
    assert caught.value.received == "UNet"
