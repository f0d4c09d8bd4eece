"""The loop: one for every method. It knows steps, epochs, checkpoints and signals, and no method's name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pointillist.data.augment.loader import make_batch, sweep
from pointillist.data.augment.order import epoch_order
from pointillist.data.augment.recipes import augmentation_named
from pointillist.data.augment.source import SliceSource
from pointillist.data.targets import TargetStore
from pointillist.errors import InputError
from pointillist.losses import partial_ce
from pointillist.methods import Method, Moment, Score
from pointillist.runtime.clock import Clock
from pointillist.runtime.distributed import any_rank, average_buffers, rank, world
from pointillist.runtime.events import EventLog
from pointillist.train.batchnorm import recalibrate, training_images
from pointillist.train.checkpoint import load_checkpoint, save_checkpoint
from pointillist.train.context import RunContext
from pointillist.train.fabric import launch
from pointillist.train.plan import Plan
from pointillist.train.recipe import build_optimizer, rate_factor, set_rate
from pointillist.types import IGNORE

_LOG_EVERY, _LOG_SECONDS = 10, 2.0  # steps, or where they are slow, seconds


@dataclass(frozen=True)
class Progress:
    """How a run is doing, for whoever watches.

    Attributes:
        step: optimiser steps finished.
        total: of the run.
        terms: the loss's summands, unweighted, of the last step.
        seconds_left: at the pace so far.
    """

    step: int
    total: int
    terms: dict[str, float]
    seconds_left: float


class Stopped(Exception):  # noqa: N818 - not an error: the run was asked to stop, and saved
    """The run was asked to stop and has saved what it did."""


class Trainer:
    """Train one method as a plan says.

    Args:
        plan: the run.
        method: what is trained, on the processor.
        source: training images.
        train: numbers of the training slices.
        selection: numbers of the slices held out for selection on marks; may be empty.
        run: folder of the run.
        on_progress: called now and then.
    """

    def __init__(
        self,
        plan: Plan,
        method: Method,
        source: SliceSource,
        train: NDArray[np.int64],
        selection: NDArray[np.int64],
        run: Path,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        if len(train) < plan.batch * world():
            raise InputError(
                "there are fewer training images than one batch holds",
                where=f"{plan.dataset}, fold {plan.fold}",
                expected=f"at least {plan.batch * world()}",
                received=len(train),
                todo="lower --batch",
            )
        if plan.batch < method.needs.min_batch:
            raise InputError(
                f"method {method.name} needs several images a batch",
                where="--batch",
                expected=f"--batch {method.needs.min_batch} or more",
                received=plan.batch,
                todo="raise --batch, or choose another method",
            )
        self.plan, self.method, self.source = plan, method, source
        self.train, self.selection, self._run = train, selection, run
        self._report = on_progress
        self._fabric = launch(plan)
        self._optimizer = build_optimizer(plan.recipe, method.param_groups(plan.recipe.lr))
        self._rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._module, self._wrapped = self._fabric.setup(method, self._optimizer)
        self._augmentation = augmentation_named(plan.augmentation)
        self._targets = TargetStore(run / "targets")
        self._order: tuple[int, NDArray[np.int64]] = (-1, train)  # of the slices, and the epoch it holds for
        self._best: float | None = None
        self._step = 0
        self._stop = False
        self._began, self._seconds_before = time.monotonic(), 0.0

    @property
    def steps_an_epoch(self) -> int:
        """Optimiser steps in one pass over the training slices; the last, smaller batch is left out."""
        return len(self.train) // (self.plan.batch * world())

    @property
    def seconds(self) -> float:
        """Training time so far, over all sessions of the run."""
        return self._seconds_before + time.monotonic() - self._began

    @property
    def clock(self) -> Clock:
        """Where the run stands."""
        return Clock(self.plan.seed, self._step, self._step // self.steps_an_epoch, self.plan.iterations, rank())

    def fit(self, *, resume: bool = False, keep: Callable[[int], None] = lambda _: None) -> None:
        """Train to the end, from the start or from the newest whole checkpoint.

        Args:
            resume: whether to go on from a checkpoint.
            keep: called after the plan's ``kept_steps``, with the step, to keep the model as it is.

        Raises:
            Stopped: after SIGTERM or an interrupt, once everything is saved.
            DamagedFileError: if there is no whole checkpoint to resume from.
        """
        self._began = time.monotonic()
        with EventLog(self._run / "events.jsonl" if rank() == 0 else Path(os.devnull)) as log, self._signals():
            if resume:
                self._load(log)
            else:
                log.write(
                    "start", method=self.method.name, total=self.plan.iterations, steps_an_epoch=self.steps_an_epoch
                )
                self.method.before_training(self._context())
            self._loop(log, keep)
            average_buffers(self.method)
            self._fabric.barrier()
            if self.plan.select == "marks":
                best, passed_over = load_checkpoint(self._run / "best", self._fabric.device)
                self.method.load_state_dict(best["method"])
                for line in passed_over:
                    log.write("warning", message=line)
            log.write("end", step=self._step)

    def recalibrate(self) -> None:
        """Re-estimate the predictor's BatchNorm statistics on the training images."""
        plan = self.plan
        images = training_images(self.source, self.train, self._augmentation, batch=plan.batch, seed=plan.seed)
        recalibrate(self.method.predictor(), (image.to(self._fabric.device) for image in images))

    def _loop(self, log: EventLog, keep: Callable[[int], None]) -> None:
        began, first, kept_steps = time.monotonic(), self._step, self.plan.kept_steps
        logged = began
        while self._step < self.plan.iterations:
            clock = self.clock
            torch.manual_seed(clock.seed_for("step"))
            set_rate(self._optimizer, self._rates, rate_factor(self.plan.recipe, self._step, self.plan.iterations))
            out = self._one_step(clock)
            self._step += 1
            self._stop = any_rank(self._stop)
            context = self._context()
            self.method.after_step(out["carry"], context)
            if self._step % self.steps_an_epoch == 0:
                self.method.after_epoch(context)
            done = self._step - first
            now = time.monotonic()
            left = (now - began) / done * (self.plan.iterations - self._step)
            due = self._step % _LOG_EVERY == 0 or now - logged >= _LOG_SECONDS
            if done == 1 or due or self._step == self.plan.iterations:
                self._log_step(log, out, left)
                logged = now
            self._validate_if_due(log, context)
            if self._step in kept_steps:
                average_buffers(self.method)
                keep(self._step)
            if self._stop or self._step % self.plan.checkpoint_every == 0 or self._step == self.plan.iterations:
                self._save(log)
            if self._stop and self._step < self.plan.iterations:
                log.write("stop", step=self._step)
                raise Stopped

    def _one_step(self, clock: Clock) -> dict[str, Any]:
        self.method.train()
        batch = make_batch(
            self.source,
            self._slices_of(clock),
            self._augmentation,
            seed=self.plan.seed,
            epoch=clock.epoch,
            shared_geometry=self.method.needs.shared_geometry,
            targets=self._targets if self.method.needs.soft_targets else None,
        )
        out: dict[str, Any] = self._module(Moment(batch.to(self._fabric.device), clock))
        self._wrapped.zero_grad()
        self._fabric.backward(out["loss"])
        self._wrapped.step()
        return out

    def _slices_of(self, clock: Clock) -> NDArray[np.int64]:
        """This process's slices of this step."""
        if self._order[0] != clock.epoch:
            keys = self.source.cache.keys[self.train]
            self._order = clock.epoch, self.train[epoch_order(keys, self.plan.seed, clock.epoch)]
        place = (clock.step % self.steps_an_epoch * world() + rank()) * self.plan.batch
        return self._order[1][place : place + self.plan.batch]

    def _log_step(self, log: EventLog, out: dict[str, Any], seconds_left: float) -> None:
        terms = {name: float(value) for name, value in out["terms"].items()}
        loss = float(out["loss"].detach())
        if not np.isfinite(loss):
            raise InputError(
                "the loss is no longer a number",
                where=f"{self._run}, step {self._step}",
                expected="a finite loss",
                received=terms,
                todo="lower the learning rate or the weight of the term that grew",
            )
        rate = self._optimizer.param_groups[0]["lr"]
        log.write("step", step=self._step, lr=rate, loss=loss, terms=terms, seconds_left=round(seconds_left, 1))
        self._report(Progress(self._step, self.plan.iterations, terms, seconds_left))

    def _validate_if_due(self, log: EventLog, context: RunContext) -> None:
        due = self._step % self.plan.validate_every == 0 or self._step == self.plan.iterations
        if len(self.selection) == 0 or not due:
            return
        average_buffers(self.method)
        value = self._partial_ce_on_selection()
        improved = self._best is None or value < self._best
        log.write("validation", step=self._step, partial_ce=value, improved=improved)
        if improved:
            self._best = value
            if self.plan.select == "marks" and rank() == 0:
                save_checkpoint(self._run / "best", self._step, {"method": self.method.state_dict()})
        self.method.after_validation(context, Score(value, improved))

    @torch.no_grad()
    def _partial_ce_on_selection(self) -> float:
        if self.plan.recalibrate_bn:
            self.recalibrate()
        net = self.method.predictor().eval()
        total, count = 0.0, 0
        for batch in sweep(self.source, self.selection, self.plan.batch):
            label = batch.label.to(self._fabric.device)
            logits = net(batch.image.to(self._fabric.device)).logits
            total += float(partial_ce(logits, label, reduction="sum"))
            count += int((label != IGNORE).sum())
        return total / max(count, 1)

    def _context(self) -> RunContext:
        return RunContext(
            self.method,
            self.source,
            self.train,
            self._targets,
            self.clock,
            batch=self.plan.batch,
            device=self._fabric.device,
            autocast=self._fabric.autocast,
        )

    def _save(self, log: EventLog) -> None:
        if rank() == 0:
            state = {
                "method": self.method.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "step": self._step,
                "best": self._best,
                "targets": self._targets.state(),
                "seconds": self.seconds,
            }
            save_checkpoint(self._run / "checkpoints", self._step, state)
            log.write("checkpoint", step=self._step)
        self._fabric.barrier()

    def _load(self, log: EventLog) -> None:
        state, passed_over = load_checkpoint(self._run / "checkpoints", self._fabric.device)
        self.method.load_state_dict(state["method"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._step, self._best, self._seconds_before = state["step"], state["best"], state["seconds"]
        self._targets.restore(state["targets"])
        for line in passed_over:
            log.write("warning", message=line)
        log.write("resume", step=self._step)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and an interrupt ask the loop to save and stop after the step it is in."""

        def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
            self._stop = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
