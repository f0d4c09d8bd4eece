import numpy as np
import torch

from pointillist.data.augment.loader import sweep
from pointillist.data.augment.recipes import augmentation_named
from pointillist.data.augment.source import SliceSource
from pointillist.data.cache.build import cached
from pointillist.data.cache.settings import CacheSettings
from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import make_phantoms
from pointillist.nets.unet import UNet
from pointillist.train.batchnorm import recalibrate, training_images


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


def test_images_come_in_batches_like_those_of_training(tmp_path):
    dataset = Dataset.open(make_phantoms(tmp_path / "D", training=2, testing=0, seed=1))
    source = SliceSource.open(cached(dataset, CacheSettings(32)))
    slices, augmentation = np.arange(len(source.cache)), augmentation_named("acdc")
    batches = list(training_images(source, slices, augmentation, batch=5, seed=3))
    assert [tuple(images.shape) for images in batches] == [(5, 1, 32, 32)] * (len(slices) // 5)
    unaugmented = torch.cat([batch.image for batch in sweep(source, slices, 5)])
    moved = [not (image == unaugmented).flatten(1).all(1).any() for image in torch.cat(batches)]
    assert 0.4 < np.mean(moved) < 0.9  # three quarters are turned, flipped or rotated
    again = torch.cat(list(training_images(source, slices, augmentation, batch=5, seed=3)))
    assert torch.equal(again, torch.cat(batches))
    assert [len(images) for images in training_images(source, slices[:3], augmentation, batch=5, seed=3)] == [3]
