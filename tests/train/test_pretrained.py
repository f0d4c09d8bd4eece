from __future__ import annotations

import pytest
import torch

from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import make_phantoms
from pointillist.methods import Recipe
from pointillist.nets import resnet, resnet_unet
from pointillist.nets.resnet import ResNet
from pointillist.predict.model import read_description
from pointillist.train.checkpoint import load_checkpoint
from pointillist.train.plan import Plan, read_plan
from pointillist.train.run import new_method, resume, train


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(resnet, "_WIDTHS", (8, 9, 10, 11))  # oneDNN breaks the heap on fewer than 8 (its issue 6035)
    monkeypatch.setattr(resnet_unet, "_DECODER", (8, 6, 5, 4, 3))


def test_a_run_begins_with_the_pretrained_encoder(narrow, tmp_path):
    dataset = make_phantoms(tmp_path / "D", training=2, testing=0, seed=1)
    weights = ResNet(3).state_dict()
    torch.save(weights, tmp_path / "resnet50.pth")
    options = {
        "dataset": str(dataset),
        "method": "pce",
        "net": "resnet50_unet",
        "iterations": 1,
        "size": 32,
        "batch": 4,
    }
    plan = Plan(**options, pretrained=str(tmp_path / "resnet50.pth"), recipe=Recipe(lr=0.0))
    random = new_method(Plan(**options), Dataset.open(dataset))
    begun = new_method(plan, Dataset.open(dataset))
    name = "layer3.0.conv2.weight"
    assert torch.equal(begun.net.encoder.state_dict()[name], weights[name])
    assert not torch.equal(random.net.encoder.state_dict()[name], weights[name])
    assert torch.equal(begun.net.decoder.output.weight, random.net.decoder.output.weight)  # the seed decides the rest

    train(plan, tmp_path / "run")
    assert read_plan(tmp_path / "run") == plan
    assert read_description(tmp_path / "run").provenance["pretrained"] == "resnet50.pth"
    trained = load_checkpoint(tmp_path / "run" / "checkpoints")[0]["method"]
    assert torch.equal(trained[f"net.encoder.{name}"], weights[name])
    resume(tmp_path / "run")
