"""What each of two processes does for law 4: train every plan, then take one gradient with frozen normalisation.

Run by torchrun: two_processes.py PLANS.json OUT. OUT/METHOD.pt holds the gradients.
"""

import json
import sys
from pathlib import Path

import torch

from pointillist.methods import Moment
from pointillist.runtime.distributed import gather, leave, rank, world
from pointillist.train import run as runs
from pointillist.train.plan import Plan
from pointillist.train.trainer import Trainer
from tests.contract.halves import CLOCK, half_batch, seed_of

OUT = Path(sys.argv[2])


def check_equal(trainer: Trainer):
    """Weights, queues, counters and the generation of targets are the same in both processes."""
    held = {
        name: value.double().reshape(1, -1)
        for name, value in trainer.method.state_dict().items()
        if not name.endswith("num_batches_tracked")  # of calls, not of batches: who has nothing to embed does not call
    }
    held["generation of targets"] = torch.tensor([[float(trainer._targets.generation)]])
    for name, value in held.items():
        both = gather(value)
        assert torch.equal(both[0], both[1]), name


def save_gradient(plan: Plan, trainer: Trainer):
    fresh = Trainer(plan, runs.new_method(plan, runs.Dataset.open(Path(plan.dataset))), trainer.source, trainer.train,
                    trainer.selection, OUT / "gradients")  # fmt: skip
    fresh.method.eval()
    torch.manual_seed(seed_of(rank()))
    batch = half_batch(trainer.source, rank(), shared_geometry=fresh.method.needs.shared_geometry)
    fresh._fabric.backward(fresh._module(Moment(batch, CLOCK(rank())))["loss"])
    if rank() == 0:
        gradients = {name: p.grad for name, p in fresh.method.named_parameters() if p.grad is not None}
        torch.save(gradients, OUT / f"{plan.method}.pt")


def main():
    for options in json.loads(Path(sys.argv[1]).read_text()):
        plan = Plan(**options)
        trainers = []
        finish = runs._finish

        def checked(plan, run, trainer, *, resume, finish=finish, trainers=trainers):
            finish(plan, run, trainer, resume=resume)
            trainers.append(trainer)

        runs._finish = checked
        runs.train(plan, OUT / "runs" / plan.method)
        runs._finish = finish
        assert world() == 2
        check_equal(trainers[0])
        save_gradient(plan, trainers[0])
        if rank() == 0:
            (OUT / f"{plan.method}.done").touch()
    leave()


if __name__ == "__main__":
    main()
