from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pointillist.errors import InputError
from pointillist.nets import resnet, two_component
from pointillist.nets.resnet import ResNet
from pointillist.nets.two_component import TwoComponentNet


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(resnet, "_WIDTHS", (8, 9, 10, 11))  # oneDNN breaks the heap on fewer than 8 (its issue 6035)
    torch.manual_seed(0)


def image(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def net_of(classes=2, dropout=0.0):
    return TwoComponentNet(3, classes, channels=(4, 5, 6, 7, 8), dropout=(dropout,) * 5)


def test_the_map_has_256_channels_at_stride_16():
    with torch.device("meta"):
        net = TwoComponentNet(3, 2)
        out = net(torch.empty(1, 3, 4096, 4096))
    assert tuple(out.stages[1].shape) == (1, 256, 256, 256)
    assert sum(p.numel() for p in net.parameters()) == 10_020_498
    assert sum(p.numel() for p in net.extractor.parameters()) == 21_797_672 - 513_000 - 13_114_368  # of 34 layers
    assert not any(name.startswith("layer4") for name in net.extractor.state_dict())
    assert tuple(out.levels[0].shape) == (1, 16, 256, 256)


@pytest.mark.parametrize("size", [(256, 256), (259, 300)])
def test_any_size_keeps_its_grid(narrow, size):
    net, x = net_of(3).eval(), image(1, 3, *size)
    out = net(x)
    assert out.logits.shape == (1, 3, *size)
    assert torch.equal(out.stages[0], x)
    side = -(-size[0] // 16)
    assert [one.shape[2] for one in out.stages[1:]] == [side, side, side // 2, side // 4, side // 8, side // 16]
    assert [one.shape[2] for one in out.levels] == [side, side // 2, side // 4, side // 8]
    enlarged = nn.functional.interpolate(net.decoder.unet.output(out.levels[0]), size=size, mode="bilinear")
    assert torch.equal(enlarged, out.logits)


def test_a_cell_of_the_map_answers_for_its_16_pixels(narrow):
    """What a cell of the finest level changes lies evenly around its pixels."""
    net = net_of().eval()
    stages = tuple(torch.zeros_like(stage) for stage in net(image(1, 3, 256, 256)).stages)
    before = net.decode(stages).logits
    stages[2][:, :, 5, 9] = 100
    _, _, rows, columns = (net.decode(stages).logits != before).nonzero(as_tuple=True)
    assert (rows.min() + rows.max(), columns.min() + columns.max()) == (2 * 16 * 5 + 15, 2 * 16 * 9 + 15)
    assert rows.max() - rows.min() < 9 * 16  # three convolutions, and half a cell to either side


def test_maps_computed_again_give_the_same_gradients_and_statistics(narrow, monkeypatch):
    plain, again = net_of(), None
    again = copy.deepcopy(plain)
    calls = []
    stem = ResNet.stem
    monkeypatch.setattr(ResNet, "stem", lambda self, x: (calls.append(self), stem(self, x))[1])
    for net, limit in ((plain, 2**22), (again, 2 * 256 * 256)):
        monkeypatch.setattr(two_component, "_AGAIN", limit)
        for step in range(2):
            net.zero_grad()
            net(image(2, 3, 256, 256, seed=step)).logits.square().mean().backward()
    assert [sum(one is net.extractor for one in calls) for net in (plain, again)] == [2, 4]
    assert all(
        torch.equal(one.grad, other.grad) for one, other in zip(plain.parameters(), again.parameters(), strict=True)
    )
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in plain.state_dict().items())
    assert again.extractor.bn1.num_batches_tracked == 2
    assert again.extractor.bn1.momentum == 0.1
    calls.clear()
    with torch.no_grad():
        again(image(2, 3, 256, 256))
    assert len(calls) == 1


def kept_by_backward(net):
    """Numbers that a pass leaves for the backward pass."""
    kept = {}

    def keep(x):
        kept[x.data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        net(image(2, 3, 256, 256))
    return sum(kept.values())


def test_what_is_kept_of_a_large_batch_is_small(narrow, monkeypatch):
    whole = kept_by_backward(net_of())
    monkeypatch.setattr(two_component, "_AGAIN", 0)
    assert kept_by_backward(net_of()) < whole / 2


def test_every_parameter_learns_and_weights_are_drawn_anew(narrow):
    net = net_of()
    net(image(2, 3, 256, 256)).logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    other = net.fresh(3)
    assert not torch.equal(other.extractor.conv1.weight, net.extractor.conv1.weight)
    assert not torch.equal(other.encoder[0][0].weight, net.encoder[0][0].weight)


def test_grafts_reach_the_map_and_the_unet(narrow):
    net, x = net_of().eval(), image(1, 3, 256, 256)
    plain = net(x)
    net.graft(3, nn.Tanh())
    assert torch.equal(net(x).stages[3], plain.stages[3].tanh())
    net.graft(1, nn.Tanh())
    assert torch.equal(net(x).stages[1], plain.stages[1].tanh())


@pytest.mark.parametrize("shape", [(3, 256, 256), (1, 1, 256, 256), (1, 3, 255, 256)])
def test_unfit_images_are_refused(narrow, shape):
    with pytest.raises(ValueError, match=r"the image must be \(batch, 3, height, width\) with sides of at least 256"):
        net_of()(torch.zeros(shape))


def test_weights_of_a_whole_resnet_fill_the_extractor(narrow, tmp_path):
    source = ResNet(3, 34).state_dict()
    torch.save(source | {"fc.weight": torch.zeros(2, 2)}, tmp_path / "r.pth")
    net = net_of()
    net.load_encoder(tmp_path / "r.pth")
    loaded = net.extractor.state_dict()
    assert all(torch.equal(value, source[key]) for key, value in loaded.items())
    assert any(key.startswith("layer4") for key in source)
    torch.save(ResNet(3, 50).state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match="not those of a ResNet-34"):
        net.load_encoder(tmp_path / "other.pth")
