"""The runs of a suite: their names, their places on the disk, and how far each is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pointillist.benchmark.claims import is_claimed
from pointillist.benchmark.results import read_result
from pointillist.benchmark.sources import AnySource
from pointillist.benchmark.suite import Entry, Suite
from pointillist.errors import DamagedFileError, InputError, nearest
from pointillist.methods import Recipe, method_named
from pointillist.runtime.events import read_events
from pointillist.train.plan import Plan

State = Literal["done", "recorded", "running", "failed", "partly", "to do"]
# fields that came after the first results
_LATER = {"border", "select", "keep", "validate_every", "regions", "hold_out_share"}
BEGIN = "benchmark"
"""The event that the runner writes whenever it begins or goes on with a run."""


@dataclass(frozen=True)
class Machine:
    """What a run computes on.

    Attributes:
        device: ``cpu``, ``cuda`` …
        precision: of training.
        threads: of the processor.
    """

    device: str
    precision: Literal["32-true", "bf16-mixed"]
    threads: int


@dataclass(frozen=True)
class Job:
    """One run: a method on a fold with a seed.

    Attributes:
        suite: it belongs to.
        entry: the method.
        fold: counted from 1; None for the held-out cases of the dataset.
        seed: of training.
        out: the folder of the benchmark.
    """

    suite: Suite
    entry: Entry
    fold: int | None
    seed: int
    out: Path

    @property
    def place(self) -> str:
        """Fold and seed: ``fold1-seed1``."""
        return f"{'test' if self.fold is None else f'fold{self.fold}'}-seed{self.seed}"

    @property
    def title(self) -> str:
        """The run, for people."""
        return f"{self.entry.title}, {self.place.replace('-', ', ')}"

    @property
    def folder(self) -> Path:
        """Of the run: what ``pointillist train`` writes, predictions, the recalibrated model."""
        return self.out / "runs" / self.suite.name / self.entry.label / self.place

    @property
    def source(self) -> AnySource:
        """Where its dataset comes from."""
        return self.entry.source(self.suite.dataset)

    @property
    def claim(self) -> Path:
        """The file of whoever is working on it."""
        return self.folder.with_name(f"{self.place}.claim")

    @property
    def result(self) -> Path:
        """The results file; where it is, the run is done."""
        return self.out / "results" / self.suite.name / self.entry.label / f"{self.place}.json"

    @property
    def kept_as(self) -> str:
        """File name of the results where all of a suite lie in one folder."""
        return f"{self.entry.label}-{self.place}.json"

    def recorded(self, record: Path | None) -> list[Path]:
        """Results files of this very run in a folder of recorded ones, whatever data it saw; its own suite's first.

        Suites ask some runs of each other again: an ablation has its method as it is, a curve its last point.

        Raises:
            DamagedFileError: if its own suite's file is none.
        """
        if record is None:
            return []
        own = record / self.suite.name / self.kept_as
        labels = (self.entry.name, f"{self.entry.name}-{'[0-9a-f]' * 8}")
        others = {path for label in labels for path in record.glob(f"*/{label}-{self.place}.json")} - {own}
        found = [own] * (own.exists() and self._made(own))
        for path in sorted(others):
            with suppress(DamagedFileError):  # of another suite, whose own runs will name it
                found += [path] * self._made(path)
        return found

    def _made(self, path: Path) -> bool:
        fingerprint: str = read_result(path)["fingerprint"]
        return fingerprint == self.fingerprint

    @property
    def failure(self) -> Path:
        """The error text of a run that failed."""
        return self.out / "failures" / self.suite.name / self.entry.label / f"{self.place}.txt"

    @property
    def recipe(self) -> Recipe:
        """The method's recipe with the suite's changes and then the entry's."""
        return self.entry.recipe.applied(self.suite.recipe.applied(method_named(self.entry.name).recipe))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides the result, but for code, machine and the content of the data."""
        suite = self.suite
        content = {
            "dataset": self.source.model_dump(exclude_defaults=True),
            **suite.model_dump(include={"iterations", "size", "augmentation", "normalisation", "grid"}),
            "net": self.net,
            "instances": suite.instances,
            # as they are by default, these go unnamed, and older results stay valid
            **suite.model_dump(include=_LATER, exclude_defaults=True),
            **self.entry.model_dump(include={"groups", "select", "hold_out_share"}, exclude_none=True),
            "method": self.entry.name,
            "settings": self.entry.all_settings(),
            "recipe": asdict(self.recipe),
            "batch": self.batch,
            "fold": self.fold,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def batch(self) -> int:
        """Images a step."""
        return self.suite.batch or self.recipe.batch

    @property
    def net(self) -> str:
        """Name of the network."""
        return self.entry.net or self.suite.net

    @property
    def steps_saved(self) -> int:
        """Optimiser steps of the newest checkpoint."""
        saved = sorted((self.folder / "checkpoints").glob("step_*.sha256"))
        return int(saved[-1].stem.removeprefix("step_")) if saved else 0

    @property
    def state(self) -> State:
        """How far it is."""
        if self.result.exists():
            return "done"
        if is_claimed(self.claim):
            return "running"
        if self.failure.exists():
            return "failed"
        return "partly" if (self.folder / "run.json").exists() else "to do"

    def plan(self, dataset: Path, machine: Machine) -> Plan:
        """The run as ``train`` takes it.

        Args:
            dataset: the prepared dataset.
            machine: what to compute on.
        """
        suite = self.suite
        return Plan(
            dataset=str(dataset.resolve()),
            method=self.entry.name,
            settings=self.entry.settings,
            fold=self.fold,
            groups=self.entry.groups,
            iterations=suite.iterations,
            size=suite.size,
            batch=self.batch,
            net=self.net,
            seed=self.seed,
            **asdict(machine),
            augmentation=suite.augmentation,
            normalisation=suite.normalisation,
            grid=suite.grid,
            recipe=self.recipe,
            checkpoint_every=suite.checkpoint_every,
            select=self.entry.select or suite.select,
            hold_out_share=self.entry.hold_out_share or suite.hold_out_share,
            keep=suite.keep,
            validate_every=suite.validate_every,
        )

    def check_unchanged(self) -> None:
        """Refuse to go on with, or to count as done, what was begun with another version of the suite.

        Raises:
            InputError: naming the run.
        """
        begun = [event["fingerprint"] for event in self.begun()]
        known = [read_result(self.result)["fingerprint"]] if self.result.exists() else begun
        if any(one != self.fingerprint for one in known):
            raise InputError(
                "a run was made with another version of this suite, or with other defaults of the method",
                where=self.result if self.result.exists() else self.folder,
                expected="the suite as it is now",
                received=f"other settings, recipe, data or budget than {self.title} has now",
                todo="choose another folder, or remove the old run and its results file",
            )

    def begun(self) -> list[dict[str, Any]]:
        """The runner's own events: one whenever it began or went on."""
        return [event for event in read_events(self.folder / "events.jsonl") if event["event"] == BEGIN]


def jobs_of(
    suite: Suite,
    out: Path,
    *,
    methods: Sequence[str] = (),
    folds: Sequence[int] = (),
    seeds: Sequence[int] = (),
) -> list[Job]:
    """The runs of a suite, all methods of a seed before the next seed.

    Args:
        suite: what is compared.
        out: the folder of the benchmark.
        methods: entries to restrict it to, by title or label; a pattern, ``pscv*``, chooses several, and so does a
            method's name where no entry goes by the bare name. Empty for all.
        folds: likewise.
        seeds: likewise.

    Raises:
        InputError: if a restriction names what the suite does not hold.
    """
    meant = {word: _meant(word, suite.methods) for word in methods}
    known_words = [word for entry in suite.methods for word in (entry.name, entry.title, entry.label)]
    for field, foreign, known in (
        ("methods", [word for word, entries in meant.items() if not entries], known_words),
        ("folds", [fold for fold in folds if fold not in suite.places], suite.places),
        ("seeds", [seed for seed in seeds if seed not in suite.seeds], suite.seeds),
    ):
        if foreign:
            raise InputError(
                f"the suite holds no such {field}",
                where=f"suite {suite.name}",
                expected=", ".join(dict.fromkeys(map(str, known))),
                received=", ".join(map(str, foreign)),
                todo=nearest(str(foreign[0]), known_words) if field == "methods" else "choose one of these",
            )
    chosen = [entry.label for entries in meant.values() for entry in entries]
    return [
        Job(suite, entry, fold, seed, out)
        for seed in suite.seeds
        if not seeds or seed in seeds
        for fold in suite.places
        if not folds or fold in folds
        for entry in suite.methods
        if not methods or entry.label in chosen
    ]


def _meant(word: str, entries: Sequence[Entry]) -> list[Entry]:
    """The entries that somebody asks for; a row without settings can so be asked for alone."""
    titled = [one for one in entries if word in (one.title, one.label) or fnmatchcase(one.title, word)]
    return titled or [one for one in entries if one.name == word]
