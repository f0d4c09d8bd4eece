from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file

from pointillist.errors import InputError
from pointillist.nets import resnet, resnet_unet
from pointillist.nets.resnet import ResNet
from pointillist.nets.resnet_unet import ResNetUNet


def image(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(resnet, "_WIDTHS", (8, 9, 10, 11))  # oneDNN breaks the heap on fewer than 8 (its issue 6035)
    monkeypatch.setattr(resnet_unet, "_DECODER", (8, 6, 5, 4, 3))
    torch.manual_seed(0)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters_and_names_of_34_layers_are_torchvisions():
    with torch.device("meta"):
        net, colour = ResNetUNet(1, 4, depth=34), ResNet(3, 34)
    assert count(colour) == 21_797_672 - 513_000  # without the classifier
    assert count(net) == 24_431_524
    names = net.encoder.state_dict()
    assert tuple(names["layer3.0.downsample.0.weight"].shape) == (256, 128, 1, 1)
    assert not any(name.startswith(("layer1.0.downsample", "layer1.0.conv3")) for name in names)
    assert [len(net.encoder.get_submodule(f"layer{i}")) for i in (1, 2, 3, 4)] == [3, 4, 6, 3]
    assert net.encoder.layer2[0].conv1.stride == (2, 2)
    assert net.channels == (1, 64, 64, 128, 256, 512)


def test_a_basic_block_is_the_residual_of_two_convolutions(narrow):
    block = ResNet(1, 34).eval().layer2[0]
    x = image(2, 8, 6, 6)
    y = block.conv2(block.bn1(block.conv1(x)).relu()) / (1 + block.bn2.eps) ** 0.5
    shortcut = torch.nn.functional.conv2d(x, block.downsample[0].weight, stride=2) / (1 + block.bn2.eps) ** 0.5
    torch.testing.assert_close(block(x), (y + shortcut).relu())
    plain = ResNet(1, 34).eval().layer1[1]
    z = plain.conv2(plain.bn1(plain.conv1(x)).relu()) / (1 + plain.bn2.eps) ** 0.5
    torch.testing.assert_close(plain(x), (z + x).relu())


def test_parameters_and_names_are_torchvisions():
    with torch.device("meta"):
        net, colour = ResNetUNet(1, 4), ResNet(3)
    assert count(colour) == 25_557_032 - 2_049_000  # without the classifier
    assert count(net) == 32_516_260
    names = net.encoder.state_dict()
    assert tuple(names["layer3.0.downsample.0.weight"].shape) == (1024, 512, 1, 1)
    assert tuple(names["layer4.2.conv2.weight"].shape) == (512, 512, 3, 3)
    assert [len(net.encoder.get_submodule(f"layer{i}")) for i in (1, 2, 3, 4)] == [3, 4, 6, 3]
    assert net.encoder.layer2[0].conv2.stride == (2, 2)  # not conv1, where the first paper has it
    assert net.channels == (1, 64, 256, 512, 1024, 2048)


@pytest.mark.parametrize("depth", [34, 50])
@pytest.mark.parametrize("size", [(32, 32), (33, 50)])
def test_any_size_keeps_its_grid(narrow, size, depth):
    net = ResNetUNet(2, 3, depth=depth).eval()
    x = image(1, 2, *size)
    out = net(x)
    assert out.logits.shape == (1, 3, *size)
    assert torch.equal(out.stages[0], x)
    assert [tuple(s.shape[1:]) for s in out.stages] == [
        (c, *(-(-side // stride) for side in size)) for c, stride in zip(net.channels, net.strides, strict=True)
    ]
    assert [level.shape[2:] for level in out.levels] == [stage.shape[2:] for stage in out.stages[:-1]]
    assert torch.equal(net.decoder.output(out.levels[0]), out.logits)


@pytest.mark.parametrize("depth", [34, 50])
def test_every_parameter_learns_and_weights_are_drawn_anew(narrow, depth):
    net = ResNetUNet(1, 3, depth=depth)
    net(image(2, 1, 64, 64)).logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    other = net.fresh(3)
    assert not torch.equal(other.encoder.conv1.weight, net.encoder.conv1.weight)
    spread = other.encoder.layer4[0].conv2.weight.std()
    assert spread.item() == pytest.approx((2 / (9 * 11)) ** 0.5, rel=0.2)


def test_grafts_reach_every_stage(narrow):
    net = ResNetUNet(1, 3).eval()
    plain = net(image(1, 1, 32, 32))
    net.graft(3, torch.nn.Tanh())
    out = net(image(1, 1, 32, 32))
    assert torch.equal(out.stages[3], plain.stages[3].tanh())
    assert torch.equal(out.stages[2], plain.stages[2])


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 2, 32, 32), (1, 1, 31, 32)])
def test_unfit_images_are_refused(narrow, shape):
    with pytest.raises(ValueError, match=r"the image must be \(batch, 1, height, width\) with sides of at least 32"):
        ResNetUNet(1, 3)(torch.zeros(shape))


def saved(path, tensors):
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize(("channels", "depth"), [(1, 50), (2, 50), (3, 50), (1, 34), (3, 34)])
def test_pretrained_weights_are_loaded_without_their_classifier(narrow, tmp_path, name, channels, depth):
    source = ResNet(3, depth).state_dict()
    path = saved(tmp_path / name, source | {"fc.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2)})
    net = ResNetUNet(channels, 3, depth=depth)
    net.load_encoder(path)
    for key, value in source.items():
        if key != "conv1.weight":
            assert torch.equal(net.encoder.state_dict()[key], value), key
    grey = image(1, 1, 32, 32)
    colour = torch.nn.functional.conv2d(grey.expand(1, 3, 32, 32), source["conv1.weight"], stride=2, padding=3)
    torch.testing.assert_close(net.encoder.conv1(grey.expand(1, channels, 32, 32)), colour, rtol=1e-4, atol=1e-5)


def test_other_weights_are_refused(narrow, tmp_path):
    net = ResNetUNet(1, 3)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    weights = ResNet(3).state_dict()
    del weights["layer1.0.conv2.weight"]
    with pytest.raises(InputError, match="not those of a ResNet-50") as caught:
        net.load_encoder(saved(tmp_path / "a.pth", weights))
    assert "layer1.0.conv2.weight" in caught.value.received
    for one, other in ((34, 50), (50, 34)):
        with pytest.raises(InputError, match=f"not those of a ResNet-{one}") as caught:
            ResNetUNet(1, 3, depth=one).load_encoder(saved(tmp_path / "b.pth", ResNet(3, other).state_dict()))
        assert f"resnet{one}" in caught.value.todo
    wide = ResNet(3).state_dict() | {"conv1.weight": torch.zeros(9, 3, 7, 7)}
    with pytest.raises(InputError, match="not those of a ResNet-50"):
        net.load_encoder(saved(tmp_path / "wide.pth", wide))
    for content in ([1, 2], {"state_dict": ResNet(3).state_dict()}):
        with pytest.raises(InputError, match="cannot be read"):
            net.load_encoder(saved(tmp_path / "other.pth", content))
    with pytest.raises(InputError, match="cannot be read"):
        net.load_encoder(tmp_path / "none.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\x00")
    with pytest.raises(InputError, match="cannot be read"):
        net.load_encoder(tmp_path / "cut.safetensors")
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile",)


def test_code_in_a_file_is_not_run(narrow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Hostile()}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="cannot be read"):
        ResNetUNet(1, 3).load_encoder(tmp_path / "a.pth")
    assert not (tmp_path / "hostile").exists()
