"""Runs that begin with what an earlier run learned."""

import json
import shutil

import pytest
import torch

from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import make_phantoms
from pointillist.errors import InputError
from pointillist.predict.model import load_model, read_description
from pointillist.train.checkpoint import load_checkpoint
from pointillist.train.plan import Plan
from pointillist.train.run import new_method, resume, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("earlier")


@pytest.fixture(scope="module")
def dataset(folder):
    return make_phantoms(folder / "D", training=2, testing=0, seed=1)


def plan(dataset, method="pce", **changes):
    return Plan(**{"dataset": str(dataset), "method": method, "iterations": 2, "size": 32, "batch": 4} | changes)


@pytest.fixture(scope="module")
def earlier(folder, dataset):
    """A run of dmpls, whose second decoder no model holds; statistics are estimated again after the last checkpoint."""
    train(plan(dataset, "dmpls", seed=5, recalibrate_bn=True), folder / "earlier")
    return folder / "earlier"


def begun(dataset, method, earlier, **changes):
    return new_method(plan(dataset, method, init=str(earlier), **changes), Dataset.open(dataset))


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", ["pce", "dmpls", "uamt", "scribble2label"])
def test_every_method_begins_with_the_earlier_model(dataset, earlier, method):
    weights = load_model(earlier)[0].state_dict()
    assert equal(begun(dataset, method, earlier).net.state_dict(), weights)


def test_a_teacher_begins_with_the_earlier_weights(dataset, earlier):
    method = begun(dataset, "uamt", earlier)
    assert equal(method.teacher.state_dict(), load_model(earlier)[0].state_dict())


def test_a_second_decoder_goes_on_where_the_same_method_ended(dataset, earlier):
    ended = load_checkpoint(earlier / "checkpoints")[0]["method"]
    auxiliary = {name: one for name, one in ended.items() if name.startswith("auxiliary.")}
    method = begun(dataset, "dmpls", earlier)
    assert auxiliary
    assert all(torch.equal(method.state_dict()[name], one) for name, one in auxiliary.items())
    assert not equal(
        {name: one for name, one in new_method(plan(dataset, "dmpls"), Dataset.open(dataset)).state_dict().items()
         if name.startswith("auxiliary.")}, auxiliary
    )  # fmt: skip


@pytest.mark.parametrize("missing", ["run.json", "checkpoints"])
def test_a_model_alone_is_enough(dataset, earlier, tmp_path, missing):
    shutil.copytree(earlier, tmp_path / "copy")
    (shutil.rmtree if missing == "checkpoints" else lambda path: path.unlink())(tmp_path / "copy" / missing)
    method = begun(dataset, "dmpls", tmp_path / "copy")
    assert equal(method.net.state_dict(), load_model(earlier)[0].state_dict())
    fresh = new_method(plan(dataset, "dmpls"), Dataset.open(dataset))
    assert equal(method.auxiliary.state_dict(), fresh.auxiliary.state_dict())


def test_a_model_with_grafts_goes_on_under_the_method_that_grafts_alone(dataset, folder):
    train(plan(dataset, "attenscribble", seed=3), folder / "grafted")
    method = begun(dataset, "attenscribble", folder / "grafted")
    assert equal(method.net.state_dict(), load_model(folder / "grafted")[0].state_dict())
    with pytest.raises(InputError, match="another network, or of another task"):
        begun(dataset, "pce", folder / "grafted")


@pytest.mark.parametrize("field", ["classes", "channels", "net"])
def test_a_model_of_another_task_is_refused_once(dataset, earlier, tmp_path, field):
    other = tmp_path / "D"
    shutil.copytree(dataset, other, ignore=shutil.ignore_patterns("cache"))
    content = json.loads((other / "dataset.json").read_text())
    if field == "classes":
        ignore = content["labels"].pop("ignore")
        content["labels"] |= {"another": ignore, "ignore": ignore + 1}
    if field == "channels":
        content["channel_names"]["0"] = "CT"
    (other / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="another network, or of another task"):
        begun(other, "pce", earlier, net="resnet34_unet" if field == "net" else "unet")


def test_two_kinds_of_first_weights_exclude_each_other(dataset, earlier):
    with pytest.raises(InputError, match="two kinds of weights"):
        plan(dataset, init=str(earlier), pretrained="resnet.pth")


def test_a_run_says_what_it_began_with_and_needs_it_only_to_begin(dataset, earlier, tmp_path):
    shutil.copytree(earlier, tmp_path / "earlier")
    train(plan(dataset, init=str(tmp_path / "earlier")), tmp_path / "run")
    digest = read_description(earlier).sha256
    assert read_description(tmp_path / "run").provenance["init"] == {"run": "earlier", "sha256": digest}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["plan"]["init_sha256"] == digest
    shutil.rmtree(tmp_path / "earlier")
    resume(tmp_path / "run")
