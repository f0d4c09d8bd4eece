"""Runs that are killed, stopped, resumed, and trained by two processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from pointillist.data.dataset import Dataset
from pointillist.data.marked import read_marked, write_marked
from pointillist.data.phantoms import make_phantoms
from pointillist.data.writers import write_label
from pointillist.errors import DamagedFileError, DatasetError, InputError
from pointillist.predict.model import load_model
from pointillist.runtime.events import read_events
from pointillist.train.checkpoint import load_checkpoint
from pointillist.train.plan import Plan, best_precision, idle_threads, read_plan, split_of
from pointillist.train.run import resume, train
from pointillist.train.trainer import Trainer
from tests.patience import PATIENCE_S

TRAIN = """
import sys, json
from pointillist.train.plan import Plan
from pointillist.train.run import resume, train
from pointillist.train.trainer import Trainer
from pointillist.train.trainer import Stopped
from pathlib import Path
plan, run = Plan(**json.loads(sys.argv[1])), Path(sys.argv[2])
try:
    resume(run) if (run / "run.json").exists() else train(plan, run)
except Stopped:
    sys.exit(7)
"""


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return make_phantoms(tmp_path_factory.mktemp("trainer") / "D", training=2, testing=0, seed=1)


@pytest.fixture
def options(phantoms):
    return {
        "dataset": str(phantoms), "method": "dmpls", "iterations": 24, "size": 32, "batch": 4, "seed": 3,
        "checkpoint_every": 2, "augmentation": "acdc",
    }  # fmt: skip


def start(options, run, code=TRAIN):
    with run.with_suffix(".log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(options), str(run)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
        )


def finished(process, run):
    assert process.wait(timeout=PATIENCE_S) == 0, run.with_suffix(".log").read_text()


def weights(run):
    return load_checkpoint(run / "checkpoints")[0]["method"]


def read_details(run):
    return json.loads((run / "run.json").read_text())


def count(run, kind):
    return sum(event["event"] == kind for event in read_events(run / "events.jsonl"))


KILL_INSIDE_A_WRITE = """
import os, signal, pathlib
original = pathlib.Path.replace
def killing(self, target):
    if "step_00000012.pt" in str(target):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, target)
pathlib.Path.replace = killing
"""


@pytest.mark.slow
def test_a_run_killed_five_times_ends_as_the_unbroken_one(options, tmp_path):
    finished(start(options, tmp_path / "whole"), tmp_path / "whole")
    run = tmp_path / "killed"
    process = start(options, run, KILL_INSIDE_A_WRITE + TRAIN)
    assert process.wait(timeout=PATIENCE_S) == -signal.SIGKILL  # in the middle of writing a checkpoint
    assert not list((run / "checkpoints").glob("step_00000012.pt"))
    for delay in (0.0, 0.15, 0.3, 0.45):
        resumes = count(run, "resume")
        process = start(options, run)
        while process.poll() is None and count(run, "resume") == resumes:
            time.sleep(0.01)
        time.sleep(delay)
        process.kill()
        process.wait()
    finished(start(options, run), run)
    for key, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(run)[key]), key


@pytest.mark.slow
def test_sigterm_saves_and_stops(options, tmp_path):
    run = tmp_path / "run"
    process = start(options | {"iterations": 2000, "checkpoint_every": 1000}, run)
    while process.poll() is None and count(run, "step") < 2:
        time.sleep(0.02)
    process.terminate()
    assert process.wait(timeout=PATIENCE_S) == 7
    state, _ = load_checkpoint(run / "checkpoints")
    logged = [event["step"] for event in read_events(run / "events.jsonl") if event["event"] == "step"]
    assert 1 < logged[-1] <= state["step"] < 2000
    assert list(read_events(run / "events.jsonl"))[-1]["event"] == "stop"
    assert not (run / "model.safetensors").exists()


def test_the_log_tells_the_whole_story(options, tmp_path):
    seen = []
    train(Plan(**options | {"iterations": 20}), tmp_path / "run", on_progress=seen.append)
    events = list(read_events(tmp_path / "run" / "events.jsonl"))
    assert events[0]["event"] == "start"
    assert [event["event"] for event in events[-2:]] == ["end", "model"]
    assert events[0]["steps_an_epoch"] * 4 <= read_details(tmp_path / "run")["slices"]["train"]
    steps = [event for event in events if event["event"] == "step"]
    told = [event["step"] for event in steps]
    assert {1, 10, 20} <= set(told)  # and whatever else a slow machine has time to say
    assert told == sorted(set(told))
    assert set(steps[0]["terms"]) == {"pce_1", "pce_2", "mixed"}
    assert steps[0]["lr"] > steps[1]["lr"]
    assert steps[0]["seconds_left"] > 0
    assert [progress.step for progress in seen] == told
    assert read_plan(tmp_path / "run") == Plan(**options | {"iterations": 20})


def test_selection_on_held_out_marks_ships_the_best_weights(options, tmp_path, monkeypatch):
    measured = Trainer._partial_ce_on_selection
    scores = iter([0.5, 0.1, 0.4, 0.3, 0.2, 0.6])

    def scripted(self):
        assert 0 < measured(self) < 10
        return next(scores)

    monkeypatch.setattr(Trainer, "_partial_ce_on_selection", scripted)
    changes = {"method": "pce", "select": "marks", "validate_every": 4, "iterations": 22, "keep": 3}
    plan = Plan(**options | changes)
    train(plan, tmp_path / "run")
    events = list(read_events(tmp_path / "run" / "events.jsonl"))
    validations = [event for event in events if event["event"] == "validation"]
    assert [event["step"] for event in validations] == [4, 8, 12, 16, 20, 22]  # and at the end
    assert [event["improved"] for event in validations] == [True, True, False, False, False, False]
    net, _ = load_model(tmp_path / "run")
    kept = load_checkpoint(tmp_path / "run" / "best")[0]["method"]
    assert (tmp_path / "run" / "best" / "step_00000008.pt").exists()
    last = weights(tmp_path / "run")
    shipped = {f"net.{name}": value for name, value in net.state_dict().items()}
    assert all(torch.equal(value, kept[name]) for name, value in shipped.items())
    assert not all(torch.equal(value, last[name]) for name, value in shipped.items())
    on_the_way = sorted((tmp_path / "run" / "kept").iterdir())
    assert [folder.name for folder in on_the_way] == ["step_00000007", "step_00000015", "step_00000022"]
    models = [load_model(folder) for folder in on_the_way]
    assert [description.provenance["iterations"] for _, description in models] == [7, 15, 22]
    assert all(torch.equal(value, last[f"net.{name}"]) for name, value in models[-1][0].state_dict().items())
    assert not torch.equal(models[0][0].decoder.output.weight, models[1][0].decoder.output.weight)


def test_marks_can_be_held_out_without_selecting_on_them(options, tmp_path):
    plan = Plan(**options | {"method": "pce", "hold_out": True, "validate_every": 3, "iterations": 6})
    train(plan, tmp_path / "run")
    assert count(tmp_path / "run", "validation") == 2
    assert not (tmp_path / "run" / "best").exists()
    assert read_details(tmp_path / "run")["slices"]["selection"] > 0


@pytest.fixture
def three_slices_marked(phantoms, tmp_path):
    """The phantoms with marks on two slices of the first case and one of the last."""
    folder = tmp_path / "few"
    shutil.copytree(phantoms, folder, ignore=shutil.ignore_patterns("cache"))
    dataset = Dataset.open(folder)
    wanted = {dataset.training[0].id: (0, 2), dataset.training[-1].id: (1,)}
    for case in dataset.training:
        marked = read_marked(dataset, case)
        strokes = tuple(one for one in marked.strokes if int(one.points[0, 2]) in wanted.get(case.id, ()))
        write_marked(dataset, case, replace(marked, strokes=strokes))
    return folder


def test_only_marked_slices_are_drawn_on_request(options, three_slices_marked, tmp_path):
    few = options | {"dataset": str(three_slices_marked), "method": "pce", "iterations": 2}
    train(Plan(**few, only_marked=True), tmp_path / "run")
    assert read_details(tmp_path / "run")["slices"] == {"train": 3, "selection": 0}
    assert read_plan(tmp_path / "run").batch == 3  # of the 4 that were asked for
    train(Plan(**few), tmp_path / "all")
    assert read_details(tmp_path / "all")["slices"]["train"] > 3
    train(Plan(**few, only_marked=True, hold_out=True), tmp_path / "held")
    assert sorted(read_details(tmp_path / "held")["slices"].values()) == [1, 2]  # a marked case, not any case


def test_selection_holds_out_whole_groups(options, phantoms):
    dataset = Dataset.open(phantoms)
    fold, selection = split_of(Plan(**options, hold_out=True), dataset)
    groups = {case.id: case.group for case in dataset.training}
    assert {groups[case] for case in selection}.isdisjoint({groups[case] for case in fold.train})
    assert len(selection) + len(fold.train) == len(dataset.training)
    asked = split_of(Plan(**options | {"method": "contrast_map"}), dataset)  # which wants validation
    assert asked == (fold, selection)


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, float("nan")])
def test_an_impossible_share_is_refused(options, share):
    with pytest.raises(InputError, match="cannot be held out") as raised:
        Plan(**options, hold_out_share=share)  # whether it validates or not
    assert raised.value.where == "--hold-out-share"


@pytest.mark.parametrize(("share", "count"), [(0.1, 1), (0.4, 2), (0.8, 4)])
def test_so_many_groups_are_held_out(options, tmp_path, share, count):
    dataset = make_phantoms(tmp_path / "five", training=5, testing=0, seed=0)
    _, selection = split_of(Plan(**options, hold_out=True, hold_out_share=share), Dataset.open(dataset))
    assert len({case.group for case in Dataset.open(dataset).training if case.id in selection}) == count


def test_dense_truth_neither_trains_nor_selects_in_secret(options, phantoms, tmp_path):
    with pytest.raises(InputError, match="would select on it"):
        train(Plan(**options | {"method": "full", "select": "marks"}), tmp_path / "run")
    dense = tmp_path / "dense"
    shutil.copytree(phantoms, dense)
    description = json.loads((dense / "dataset.json").read_text())
    del description["labels"]["ignore"]
    (dense / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="dense truth, not marks"):
        train(Plan(**options | {"dataset": str(dense)}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_dataset_without_marks_is_refused(options, phantoms, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(phantoms, bare, ignore=shutil.ignore_patterns("marks", "cache"))
    dataset = Dataset.open(bare)
    for case in dataset.training:
        labels = dataset.sparse_labels(case)
        empty = np.full_like(labels.array, dataset.spec.ignore_on_disk)
        write_label(case.sparse, empty, labels.grid)
    for only_marked in (False, True):
        with pytest.raises(InputError, match="no training case holds a mark"):
            train(Plan(**options | {"dataset": str(bare), "only_marked": only_marked}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_is_refused_before_anything_is_written(options, tmp_path):
    for changes, error, message in (
        ({"fold": 3}, InputError, "no such fold"),
        ({"batch": 999}, InputError, "fewer training images"),
        ({"net": "unett"}, InputError, "unet"),
        ({"augmentation": "acdcc"}, InputError, "acdc"),
        ({"dataset": str(tmp_path)}, DatasetError, "not a dataset"),
    ):
        with pytest.raises(error, match=message):
            train(Plan(**options | changes), tmp_path / "run")
        assert not (tmp_path / "run" / "run.json").exists()
    with pytest.raises(InputError, match="iterations"):
        Plan(**options | {"iterations": 0})
    with pytest.raises(InputError, match="--keep"):
        Plan(**options | {"keep": 25})
    with pytest.raises(InputError, match="no run to resume"):
        resume(tmp_path / "run")


def test_a_run_is_not_overwritten_and_a_damaged_one_is_named(options, tmp_path):
    plan = Plan(**options | {"iterations": 2})
    train(plan, tmp_path / "run")
    with pytest.raises(DatasetError, match="holds a run already"):
        train(plan, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").glob("*.pt"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match="no checkpoint"):
        resume(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"plan": {"dataset": 3}}')
    with pytest.raises(InputError, match=r"run\.json cannot be understood"):
        resume(tmp_path / "run")


def test_a_loss_that_is_no_number_stops_the_run_with_a_message(options, tmp_path):
    plan = Plan(**options | {"method": "pce", "iterations": 30})
    with pytest.raises(InputError, match="no longer a number"):
        train(replace(plan, recipe=replace(plan.recipe, lr=1e30)), tmp_path / "run")


def test_defaults_fit_the_machine():
    assert best_precision("cpu") in ("32-true", "bf16-mixed")
    assert 1 <= idle_threads() <= (os.cpu_count() or 1)
