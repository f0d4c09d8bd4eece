"""Losses of which it is known whether they lead to the truth."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.data.batch import Batch
from pointillist.types import IGNORE

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def measured():
    sys.path.insert(0, str(BENCHMARKS))  # where its forms are
    try:
        return runpy.run_path(str(BENCHMARKS / "losses_at_truth.py"))["measured"]
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def batch():
    label = torch.randint(3, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    valid = torch.ones_like(label, dtype=torch.bool)
    valid[:, 0] = False
    return Batch(torch.zeros(2, 1, 8, 8), label.where(valid, label.new_tensor(IGNORE)), valid, None, ("a", "b"))


def distance(batch):
    truth = F.one_hot(batch.label.where(batch.valid, batch.label.new_tensor(0)), 3).movedim(-1, 1)
    return lambda p: ((p - truth).square() * batch.valid.unsqueeze(1)).sum()


def test_a_distance_from_the_truth_leads_there_and_its_opposite_does_not(measured, batch):
    logits = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    near = distance(batch)
    found, opposite = (measured(loss, logits, batch) for loss in (near, lambda p: -near(p)))
    wrong = (logits.argmax(1) != batch.label) & batch.valid
    assert (found["truth"], found["lower"]) == (0, 1)
    assert found["likeliest"] == 2 * wrong.sum()  # a wrong pixel misses one and adds one
    assert found["prediction"] == pytest.approx(near(logits.softmax(1)).item())
    assert found["grown"] > 0
    assert found["cosine"] > 0.5
    assert (opposite["lower"], opposite["cosine"]) == (0, pytest.approx(-found["cosine"]))


def test_a_gradient_across_the_way_has_no_cosine(measured, batch):
    logits = torch.zeros(2, 3, 8, 8)  # margins alone: cross-entropy counts none of them
    outside = measured(lambda p: (p[:, 0] * ~batch.valid).sum(), logits, batch)
    assert outside["cosine"] == 0
