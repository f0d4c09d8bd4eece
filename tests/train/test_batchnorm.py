import torch

from pointillist.nets.unet import UNet
from pointillist.train.batchnorm import recalibrate


def test_statistics_are_the_mean_over_the_batches():
    torch.manual_seed(0)
    net = UNet(1, 2)
    images = [torch.rand(3, 1, 32, 32) * scale for scale in (1, 5, 9)]
    recalibrate(net, images)
    first = net.encoder[0]
    with torch.no_grad():
        before = [first[0](image) for image in images]
    mean = torch.stack([features.mean((0, 2, 3)) for features in before]).mean(0)
    assert torch.allclose(first[1].running_mean, mean, atol=1e-5)
    assert not net.training
    assert all(not module.training for module in net.modules())
    assert first[1].momentum == 0.1


def test_dropout_is_off_while_statistics_are_taken():
    torch.manual_seed(0)
    net, images = UNet(1, 2), [torch.rand(2, 1, 32, 32)]
    recalibrate(net, images)
    first = {name: value.clone() for name, value in net.state_dict().items()}
    recalibrate(net.train(), images)
    for name, value in net.state_dict().items():
        assert torch.equal(value, first[name]), name
