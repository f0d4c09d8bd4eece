"""A time budget becomes a number of steps before training begins."""

import time

import numpy as np
import pytest
import torch

from pointillist.data.phantoms import make_phantoms
from pointillist.errors import InputError
from pointillist.methods import Recipe
from pointillist.predict.model import load_model
from pointillist.runtime.events import read_events
from pointillist.train import pace
from pointillist.train.plan import Plan, read_plan
from pointillist.train.run import resume, train


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    dataset = make_phantoms(tmp_path_factory.mktemp("pace") / "D", training=2, testing=0, seed=1)
    return {"dataset": str(dataset), "method": "pce", "size": 32, "batch": 4, "minutes": 0.05}


class Clockwork(torch.nn.Module):
    """Takes as long for a step as it is told."""

    def __init__(self, seconds):
        super().__init__()
        self.weight, self.left = torch.nn.Parameter(torch.zeros(1)), iter(seconds)

    def param_groups(self, lr):
        return [{"params": [self.weight], "lr": lr}]

    def forward(self, _):
        time.sleep(next(self.left))
        return {"loss": self.weight.sum()}


class Nothing:
    def to(self, _):
        return self


def test_a_step_takes_its_median_without_the_first():
    steps = [0.5, 0.02, 0.02, 0.4]
    found = pace.seconds_a_step(
        Clockwork(steps), Recipe(), lambda _: Nothing(), device="cpu", precision="32-true"
    )  # fmt: skip
    assert 0.02 <= found < 0.1


def test_the_budget_is_spent_on_steps_and_on_statistics(monkeypatch):
    monkeypatch.setattr(pace, "seconds_a_step", lambda *_, **__: 0.3)
    monkeypatch.setattr(pace, "TargetStore", lambda _: None)
    method, train = Clockwork([]), np.arange(100)
    method.needs = type("Needs", (), {"soft_targets": False, "shared_geometry": False})

    def steps(**changes):
        plan = Plan("D", "pce", minutes=1, batch=10, **changes)
        return pace.affordable_iterations(plan, method, None, train, None)

    assert steps() == 200
    assert steps(recalibrate_bn=True) == 196  # one pass of ten batches, a third of a step each
    assert steps(recalibrate_bn=True, hold_out=True, validate_every=10) == 147  # and one every ten steps


def test_the_plan_holds_the_steps_and_the_schedule_spans_them(options, tmp_path):
    train(Plan(**options), tmp_path / "run")
    plan = read_plan(tmp_path / "run")
    events = list(read_events(tmp_path / "run" / "events.jsonl"))
    assert plan.minutes == 0.05
    assert events[0]["total"] == plan.iterations > 3
    last = [event for event in events if event["event"] == "step"][-1]
    assert last["step"] == plan.iterations
    assert last["lr"] < 0.01 * (2 / plan.iterations) ** 0.8  # the rate has come down to its end
    resume(tmp_path / "run")
    assert read_plan(tmp_path / "run") == plan


def test_weights_do_not_depend_on_the_steps_that_were_timed(options, tmp_path, monkeypatch):
    monkeypatch.setattr("pointillist.train.run.affordable_iterations", lambda *_: 4)
    train(Plan(**options), tmp_path / "given")
    monkeypatch.undo()

    def timed(*arguments):
        pace.affordable_iterations(*arguments)
        return 4

    monkeypatch.setattr("pointillist.train.run.affordable_iterations", timed)
    train(Plan(**options), tmp_path / "timed")
    one, other = (load_model(tmp_path / name)[0].state_dict() for name in ("given", "timed"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_a_budget_must_be_one(options, minutes):
    with pytest.raises(InputError, match="time budget must be a positive"):
        Plan(**options | {"minutes": minutes})


def test_several_processes_take_no_budget(options, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="cannot share a time budget"):
        train(Plan(**options), tmp_path / "run")
