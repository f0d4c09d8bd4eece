"""The laws that every training method obeys, over the whole registry."""

import copy
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from pointillist.data.augment.loader import make_batch, sweep
from pointillist.data.augment.recipes import augmentation_named
from pointillist.data.augment.source import SliceSource
from pointillist.data.cache.build import cached
from pointillist.data.cache.settings import CacheSettings
from pointillist.errors import InputError
from pointillist.methods import Method, Moment, build_method, methods
from pointillist.nets.registry import NETS, build_net
from pointillist.runtime.clock import Clock
from pointillist.train.checkpoint import load_checkpoint, save_checkpoint
from pointillist.train.plan import Plan
from pointillist.train.run import new_method, resume, train
from pointillist.train.trainer import Stopped, Trainer
from pointillist.types import IGNORE

NAMES = list(methods())
ADDS_TO_PCE = {
    "contour": "weight",
    "contrast_map": "weight",
    "cvm": "weight",
    "dense_crf": "weight",
    "direct_variational": "weight",
    "entropy_min": "weight",
    "gated_crf": "weight",
    "intensity_variance": "weight",
    "mixmatch": "weight",
    "mumford_shah": "lambda_ms",
    "normalized_cut": "weight",
    "peng": "weight",
    "pscv": "lambda_cv mu",
    "s2l_contrast": {"weight": 0, "scales": "R1x1 lambda=0 + R4x4 lambda=0"},
    "scribble2label": "weight",
    "total_variation": "weight",
    "uamt": "weight",
    "ustm": "weight",
}
SHORT_RUNS = {  # for what the published settings do not reach in a few steps
    "pclmix": {"stride": 2, "threshold": 1.0},
    "s2l_contrast": {"threshold": 0.3},
    "scribble2label": {"threshold": 0.3},
}


def plan_for(dataset, name, **changes):
    plan = Plan(
        str(dataset.root), name, iterations=6, size=32, batch=4, seed=5, fold=2, checkpoint_every=3, validate_every=3,
        augmentation="acdc",
    )  # fmt: skip
    return replace(plan, **changes)


def source_for(dataset, method, size=32):
    truth = method.needs.dense_truth
    return SliceSource.open(cached(dataset, CacheSettings(size, truth=truth)), labels="truth" if truth else "marks")


def batch_for(dataset, method, count=4, epoch=0, size=32):
    source = source_for(dataset, method, size)
    return make_batch(source, np.arange(count), augmentation_named("none"), seed=0, epoch=epoch)


def clock(step=3, total=6):
    return Clock(seed=5, step=step, epoch=0, total=total)


def step_of(method, batch, when=None):
    torch.manual_seed(0)
    return method(Moment(batch, when or clock()))


@pytest.mark.parametrize("name", NAMES)
def test_law_2_methods_are_final(name):
    kind = methods()[name]
    assert not kind.__subclasses__()
    assert issubclass(kind, Method)
    assert kind.__doc__
    assert kind.paper


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in NAMES])
def unbroken(request, dataset, tmp_path_factory):
    """Every method's plan for six epochs, its run, and a copy of it that was stopped after three."""
    settings = SHORT_RUNS.get(request.param, {})
    plan = plan_for(dataset, request.param, iterations=18, checkpoint_every=9, settings=settings)
    folder = tmp_path_factory.mktemp(request.param)
    train(plan, folder / "whole")
    _train_until(plan, folder / "broken", 9)
    return plan, folder


def test_law_3_a_resumed_run_is_the_unbroken_run(unbroken):
    _, folder = unbroken
    shutil.copytree(folder / "broken", folder / "resumed")
    resume(folder / "resumed")
    assert _differing(folder / "whole", folder / "resumed") == []


def test_law_1_forgetting_what_a_method_remembers_changes_the_result(unbroken, dataset):
    plan, folder = unbroken
    for memory in _memories(new_method(plan, dataset)):
        run = folder / f"without-{memory}"
        shutil.copytree(folder / "broken", run)
        state = load_checkpoint(run / "checkpoints")[0]
        if memory == "targets":
            state["targets"] = {"generation": 0}
        for key, value in state["method"].items():
            if key.partition(".")[0] == memory:
                value.zero_()
        save_checkpoint(run / "checkpoints", state["step"], state)
        resume(run)
        assert _differing(folder / "whole", run), f"{plan.method} never reads its {memory}"


def _memories(method):
    """What a method carries from step to step beside the networks it trains."""
    children = {name for name, child in method.named_children() if not any(p.requires_grad for p in child.parameters())}
    buffers = {name for name, _ in method.named_buffers(recurse=False)}
    parameters = {name for name, p in method.named_parameters(recurse=False) if not p.requires_grad}
    named = {key.partition(".")[0] for key in method.state_dict()}  # children without any state remember nothing
    return sorted((children | buffers | parameters) & named) + ["targets"] * method.needs.soft_targets


def _differing(one, other):
    """Names of the tensors in which two runs ended differently."""
    one, other = (load_checkpoint(run / "checkpoints")[0] for run in (one, other))
    assert one["step"] == other["step"]
    return [key for key, value in one["method"].items() if not torch.equal(value, other["method"][key])]


def _train_until(plan, run, step):
    """Start a run and stop it, as SIGTERM would, after a step."""
    one_step = Trainer._one_step

    def stopping(self, now):
        self._stop = now.step + 1 == step
        return one_step(self, now)

    Trainer._one_step = stopping
    try:
        with pytest.raises(Stopped):
            train(plan, run)
    finally:
        Trainer._one_step = one_step


@pytest.mark.parametrize("name", NAMES)
def test_law_5_nothing_marked_gives_finite_losses_and_gradients(dataset, name):
    method = new_method(plan_for(dataset, name), dataset)
    batch = batch_for(dataset, method)
    empty = replace(batch, label=torch.full_like(batch.label, IGNORE))
    loss = step_of(method, empty)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", NAMES)
def test_law_6_classes_are_interchangeable(dataset, name):
    """Renaming foreground classes, with the output layers' rows, renames the prediction, keeps loss and gradients."""
    method = new_method(plan_for(dataset, name), dataset).eval()
    batch = batch_for(dataset, method)
    order = torch.tensor([0, 2, 3, 1])  # new class of each old class
    renamed = copy.deepcopy(method)
    heads = [
        name for name, layer in method.named_modules() if isinstance(layer, torch.nn.Conv2d) and layer.out_channels == 4
    ]
    rows = {f"{head}.{part}" for head in heads for part in ("weight", "bias")}
    twins = [(name in rows, old, renamed.get_parameter(name)) for name, old in method.named_parameters()]
    for is_head, old, new in twins:
        if is_head:
            new.data[order] = old.data
    label = torch.where(batch.label == IGNORE, batch.label, order[batch.label.clamp(max=3)])
    first, second = step_of(method, batch), step_of(renamed, replace(batch, label=label))
    assert torch.allclose(first["loss"], second["loss"], rtol=1e-4)
    first["loss"].backward()
    second["loss"].backward()
    for is_head, old, new in twins:
        if old.requires_grad:
            theirs = new.grad[order] if is_head else new.grad
            assert torch.allclose(old.grad, theirs, rtol=1e-3, atol=1e-4 * max(1e-3, old.grad.abs().max()))
    before = method.predictor()(batch.image).logits
    after = renamed.predictor()(batch.image).logits
    assert torch.allclose(before, after[:, order], atol=1e-5)


@pytest.mark.parametrize("name", sorted(ADDS_TO_PCE))
def test_law_7_with_weight_0_it_is_partial_cross_entropy(dataset, name):
    plain = new_method(plan_for(dataset, "pce"), dataset)
    weights = ADDS_TO_PCE[name]
    settings = dict.fromkeys(weights.split(), 0) if isinstance(weights, str) else weights
    other = new_method(plan_for(dataset, name, settings=settings), dataset)
    batch = batch_for(dataset, plain)
    losses = [step_of(method, batch)["loss"] for method in (plain, other)]
    for loss in losses:
        loss.backward()
    assert torch.equal(*losses)
    for ours, theirs in zip(plain.net.parameters(), other.net.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-7)


@pytest.mark.slow
def test_law_8_a_model_outlives_its_method(dataset, tmp_path):
    for name in NAMES:
        train(plan_for(dataset, name, iterations=1), tmp_path / name)
    code = (
        "import sys, pathlib, torch; from pointillist.predict.model import load_model\n"
        f"for run in sorted(pathlib.Path({str(tmp_path)!r}).iterdir()):\n"
        "    net, description = load_model(run, 'cpu')\n"
        "    assert net.eval()(torch.zeros(1, 1, 32, 32)).logits.shape == (1, 4, 32, 32)\n"
        "    print(run.name)\n"
        "assert not any(name.startswith(('pointillist.methods', 'pointillist.train')) for name in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(NAMES)


@pytest.mark.parametrize("net", [pytest.param(net, marks=() if net == "unet" else pytest.mark.slow) for net in NETS])
@pytest.mark.parametrize("name", NAMES)
def test_law_9_every_parameter_learns_whatever_the_network(dataset, name, net):
    size = max(32, build_net(net, 1, 4).strides[-1])
    method = new_method(plan_for(dataset, name, net=net, size=size), dataset)
    step_of(method, batch_for(dataset, method, count=2, size=size), clock(step=6))["loss"].backward()
    assert [key for key, p in method.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_law_10_a_few_images_are_learned_by_heart(dataset, name, tmp_path):
    plan = plan_for(
        dataset,
        name,
        iterations=60,
        augmentation="none",
        checkpoint_every=60,
        validate_every=20,
        recalibrate_bn=True,
        fold=None,
    )
    train(plan, tmp_path / "run")
    method = new_method(plan, dataset)
    method.load_state_dict(load_checkpoint(tmp_path / "run" / "checkpoints")[0]["method"])
    method.train()
    source = source_for(dataset, method)
    (batch,) = sweep(source, np.arange(16), 16)
    with torch.no_grad():
        predicted = method.predictor()(batch.image).logits.argmax(1)
    marked = batch.label != IGNORE
    assert (predicted[marked] == batch.label[marked]).float().mean() > 0.9


def test_settings_are_checked_before_anything_is_trained(dataset, tmp_path):
    for settings, message in (
        ({"wieght": 1}, "did you mean 'weight'"),
        ({"weight": -1}, "in 0 … 100"),
        ({"radius": 2.5}, "int in 1 … 20"),
        ({"weight": "much"}, "float in 0 … 100"),
    ):
        with pytest.raises(InputError) as error:
            train(plan_for(dataset, "gated_crf", settings=settings), tmp_path / "run")
        assert message in str(error.value)
        assert not (tmp_path / "run").exists()


def test_an_unknown_method_is_named(dataset, tmp_path):
    with pytest.raises(InputError, match="no such method") as error:
        train(plan_for(dataset, "gated_cfr"), tmp_path / "run")
    assert "did you mean 'gated_crf'" in error.value.todo


def test_settings_come_as_text_from_the_command_line(dataset):
    net = build_net("unet", 1, 4)
    method = build_method("gated_crf", net, dataset.spec, {"weight": "1", "radius": "3", "start": "0.25"})
    assert (method.weight, method.radius, method.start) == (1.0, 3, 0.25)
    with pytest.raises(InputError, match="ce_dice or ce"):
        build_method("full", net, dataset.spec, {"loss": "dice"})


def test_the_list_of_methods_is_complete(capsys):
    from pointillist.cli.main import main

    with pytest.raises(SystemExit):
        main(["methods", "--json"])
    content = json.loads(capsys.readouterr().out)
    assert sorted(content) == NAMES
    assert content["gated_crf"]["settings"]["weight"] == {
        "name": "weight", "kind": "float", "default": 0.1, "low": 0, "high": 100, "choices": [],
        "text": "λ.",
    }  # fmt: skip
