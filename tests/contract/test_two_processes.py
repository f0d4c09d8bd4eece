"""Law 4: two processes train as one. One pair of processes serves all methods."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pointillist.benchmark.claims import claim_when_free
from pointillist.methods import Moment, methods
from pointillist.train.plan import Plan
from pointillist.train.run import new_method
from tests.contract.halves import CLOCK, half_batch, joined, two_groups
from tests.contract.test_methods import SHORT_RUNS, source_for

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def options_for(dataset, name):
    return {
        "dataset": str(dataset.root), "method": name, "iterations": 6, "size": 32, "batch": 2, "seed": 3,
        "checkpoint_every": 6, "validate_every": 2, "augmentation": "acdc", "precision": "32-true", "threads": 1,
        "settings": SHORT_RUNS.get(name, {}),
    }  # fmt: skip


@pytest.fixture(scope="module")
def together(dataset, tmp_path_factory, worker_id):
    """The folder of what two processes found, and what they said if they failed; made once, not by every worker."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "together"
    said = folder / "said.txt"
    with claim_when_free(folder / "together.claim"):
        if not said.exists():
            said.write_text(train_together(dataset, folder))
    return folder, said.read_text()


def train_together(dataset, folder):
    """Train every method in two processes, and return what they said."""
    plans = folder / "plans.json"
    plans.write_text(json.dumps([options_for(dataset, name) for name in methods()]))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*command, "-m", "tests.contract.two_processes", str(plans), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.stderr[-4000:]


@pytest.mark.parametrize("name", methods())
def test_two_processes_end_with_equal_weights(together, name):
    folder, said = together
    assert (folder / f"{name}.done").exists(), said


@pytest.mark.parametrize("name", methods())
def test_their_gradient_is_that_of_two_groups_in_one_process(together, dataset, name, monkeypatch):
    folder, said = together
    assert (folder / f"{name}.pt").exists(), said
    theirs = torch.load(folder / f"{name}.pt", weights_only=True)
    method = new_method(Plan(**options_for(dataset, name)), dataset)
    ours, _ = two_groups(method, source_for(dataset, method), monkeypatch)
    assert set(theirs) == set(ours)
    for key, gradient in ours.items():
        scale = max(float(gradient.abs().max()), 1e-6)
        torch.testing.assert_close(
            theirs[key], gradient, rtol=1e-4, atol=1e-5 * scale, msg=lambda m, key=key: f"{key}: {m}"
        )


@pytest.mark.parametrize("name", methods())
def test_cross_entropy_is_the_mean_over_the_labelled_pixels_of_both(dataset, name, monkeypatch):
    """The mean of two processes' means would be another number: the halves hold different numbers of marks."""
    method = new_method(Plan(**options_for(dataset, name)), dataset)
    source = source_for(dataset, method)
    _, terms = two_groups(method, source, monkeypatch)
    torch.manual_seed(0)
    both = [half_batch(source, rank, shared_geometry=False) for rank in (0, 1)]
    union = method(Moment(joined(*both), CLOCK(0)))["terms"]
    on_marks = [key for key in union if key.startswith(("pce", "ce"))]
    assert on_marks
    for key in on_marks:
        torch.testing.assert_close((terms[0][key] + terms[1][key]) / 2, union[key], rtol=1e-5, atol=1e-6, msg=key)
