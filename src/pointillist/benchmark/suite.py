"""Suites: what is compared, as a small YAML file that is checked to the last field before anything runs."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from pointillist.benchmark.published import published
from pointillist.benchmark.sources import AnySource, FolderSource, Section, Source
from pointillist.data.augment.recipes import augmentation_named
from pointillist.data.cache.grids import GridName
from pointillist.data.cache.normalise import NormalisationName
from pointillist.data.compressed import read_bytes
from pointillist.data.dataset import Dataset
from pointillist.data.simulate import generator_named
from pointillist.errors import InputError, nearest
from pointillist.methods import Recipe, method_named
from pointillist.methods._settings import checked_settings, settings_of
from pointillist.nets.registry import NETS

Positive = Annotated[int, Field(ge=1)]


class RecipeChanges(Section):
    """Where optimisation differs from the method's own recipe."""

    optimizer: Literal["sgd", "adam"] | None = None
    lr: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    momentum: float | None = Field(default=None, ge=0, lt=1)
    schedule: Literal["poly", "constant"] | None = None

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe with the changes made."""
        return replace(recipe, **self.model_dump(exclude_none=True))


class Entry(Section):
    """One method of a suite.

    Attributes:
        name: of the method.
        settings: where they differ from its defaults.
        recipe: changes for this method alone, after the suite's.
        net: name of the network, where it is not the suite's.
        groups: patients or slides that are trained on, drawn by the seed; None takes all.
        count: marks of a class in a slice (or what else the suite's generator counts), in place of the suite's number.
        select: as of the suite, for this method alone.
        hold_out_share: likewise.
        tuned: which settings were chosen by looking at results, and where.
        tuned_folds: those of the suite whose results were looked at; they say nothing about the method.
    """

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)
    recipe: RecipeChanges = RecipeChanges()
    net: str | None = None
    groups: int | None = Field(default=None, ge=1)
    count: int | None = Field(default=None, ge=1)
    select: Literal["last", "marks"] | None = None
    hold_out_share: float | None = Field(default=None, gt=0, lt=1)
    tuned: dict[str, str] = Field(default_factory=dict)
    tuned_folds: tuple[Positive, ...] = ()

    @property
    def label(self) -> str:
        """The method's name, with a hash where the entry changes anything about it."""
        changes: dict[str, Any] = {"settings": self.settings, "recipe": self.recipe.model_dump(exclude_none=True)}
        changes |= self._others()
        if not any(changes.values()):
            return self.name
        return f"{self.name}-{hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()[:8]}"

    @property
    def title(self) -> str:
        """The method and its settings, for people."""
        words = {**self.settings, **self.recipe.model_dump(exclude_none=True), **self._others()}
        return " ".join([self.name, *(f"{key}={value}" for key, value in words.items())])

    def source(self, of_suite: AnySource) -> AnySource:
        """Where its dataset comes from: the suite's, with its own number of marks."""
        if self.count is None or of_suite.marks is None:
            return of_suite
        return of_suite.model_copy(update={"marks": of_suite.marks.model_copy(update={"count": self.count})})

    def _others(self) -> dict[str, Any]:
        return self.model_dump(include={"net", "groups", "count", "select", "hold_out_share"}, exclude_none=True)

    def all_settings(self) -> dict[str, Any]:
        """Every setting of the method with the value it has here.

        Raises:
            InputError: if there is no such method or setting, or a value cannot be.
        """
        known = settings_of(method_named(self.name))
        return {name: one.default for name, one in known.items()} | checked_settings(self.name, known, self.settings)


class Suite(Section):
    """What is compared on one dataset.

    Attributes:
        name: of the suite; names its folders.
        protocol: in words: what is held out, what is learned from, what is kept.
        dataset: where it comes from, and the marks.
        methods: names, or entries with settings.
        folds: counted from 1; or ``test``: train on every training case, evaluate the held-out ones.
        seeds: of training.
        iterations: optimiser steps.
        size: rows and columns of a training image.
        batch: images a step; None takes the recipe's.
        net: name of the network.
        augmentation: its name.
        normalisation: of intensities, by name.
        grid: how slices get their size, by name.
        recipe: changes for all methods; whatever is not named is as the method's source has it.
        instances: whether objects are evaluated too.
        regions: whether accuracy, precision, recall, Cohen's κ and AUC are, a case and pooled over all cases.
        border: share of the columns that a third reading makes background at either end; 0 = there is none. See
            ``pointillist.predict.predictor.Predictor``.
        checkpoint_every: optimiser steps between checkpoints.
        validate_every: optimiser steps between validations on held-out marks, for methods that ask for them.
        select: ``marks`` holds training groups out and keeps the best weights by their marks.
        hold_out_share: share of the training groups that is held out, where validation is asked for.
        keep: models that every run keeps on the way, each evaluated, so that rules of selection can be compared.
        published: tables of papers that ask the same, as ``PAPER, table N, DATASET``.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    protocol: str = Field(min_length=1)
    dataset: Source
    methods: tuple[Entry, ...] = Field(min_length=1)
    folds: Annotated[tuple[Positive, ...], Field(min_length=1)] | Literal["test"]
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    iterations: Positive
    size: int = Field(ge=16, le=8192)
    batch: Positive | None = None
    net: str = "unet"
    augmentation: str = "acdc"
    normalisation: NormalisationName = "acdc"
    grid: GridName = "zoom0"
    recipe: RecipeChanges = RecipeChanges()
    instances: bool = False
    regions: bool = False
    border: float = Field(default=0.0, ge=0, lt=0.5)
    checkpoint_every: Positive = 250
    validate_every: Positive = 250
    select: Literal["last", "marks"] = "last"
    hold_out_share: float = Field(default=0.1, gt=0, lt=1)
    keep: int = Field(default=0, ge=0)
    published: tuple[str, ...] = ()

    @field_validator("methods", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        return [{"name": one} if isinstance(one, str) else one for one in value] if isinstance(value, list) else value

    def shortened(self, iterations: int) -> Suite:
        """A trial of so many optimiser steps, under a name of its own."""
        return self.model_copy(update={"name": f"{self.name}-{iterations}", "iterations": iterations})

    def elsewhere(self, dataset: Dataset) -> Suite:
        """The same question asked of another dataset, under a name of its own; marks are drawn as for the suite's own.

        Its folds are the dataset's; the held-out cases are read where it has none.
        """
        source = FolderSource(importer="folder", source=dataset.root.name, name=dataset.name, marks=self.dataset.marks)
        changes = {
            "name": f"{self.name}-{re.sub('[^A-Za-z0-9._-]', '-', dataset.root.name)}",
            "protocol": f"{self.name} on other data, {dataset.name}, of which this does not speak: {self.protocol}",
            "dataset": source,
            "folds": self.folds if dataset.splits() else "test",
            "border": 0.0,
            "published": (),
        }
        return self.model_copy(update=changes)

    @property
    def places(self) -> tuple[int | None, ...]:
        """The folds, None for the held-out cases of the dataset."""
        return (None,) if self.folds == "test" else self.folds


def shipped() -> dict[str, Path]:
    """The suites that come with the package, by name."""
    folder = Path(str(files("pointillist.benchmark"))) / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_suite(name: str) -> Suite:
    """Read and check a suite.

    Args:
        name: of a shipped suite, or the path of a YAML file.

    Raises:
        InputError: naming the field, if there is no such suite, a key is unknown or a value cannot be.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else shipped().get(name)
    if path is None or not path.is_file():
        raise InputError(
            "there is no such suite",
            where=path or "argument SUITE",
            expected=f"{', '.join(shipped())}, or the path of a .yaml file",
            received=name,
            todo=nearest(name, shipped()),
        )
    try:
        suite = Suite.model_validate(yaml.safe_load(read_bytes(path)))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(
            "the suite is no YAML file",
            where=path,
            expected="YAML in UTF-8",
            received=" ".join(str(error).split()),
            todo="mend the line that is named, or start from a suite that comes with the package",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            "the suite cannot be used",
            where=f"{path}, field {'.'.join(map(str, first['loc'])) or '(whole file)'}",
            expected=first["msg"],
            received=first["input"] if first["type"] != "missing" else "nothing",
            todo="see the suites that come with the package for every field",
        ) from error
    _check_names(suite, path)
    return suite


def _check_names(suite: Suite, path: Path) -> None:
    """What only the registries know: names of methods, settings, nets, augmentations and generators."""
    marks = suite.dataset.marks
    takes = ()
    if marks is not None:
        takes = _checked(lambda: generator_named(marks.generator), f"{path}, field dataset.marks.generator").takes
    for place, entry in enumerate(suite.methods):
        known = _checked(entry.all_settings, f"{path}, field methods.{place}")
        _known_keys(entry.tuned, known, f"{path}, field methods.{place}.tuned")
        looked_at = dict.fromkeys(suite.places if entry.tuned else ())
        _known_keys(entry.tuned_folds, looked_at, f"{path}, field methods.{place}.tuned_folds")
        _known_keys([entry.net] if entry.net else [], NETS, f"{path}, field methods.{place}.net")
        _known_keys(["count"] if entry.count else [], dict.fromkeys(takes), f"{path}, field methods.{place}.count")
    _checked(lambda: augmentation_named(suite.augmentation), f"{path}, field augmentation")
    _known_keys([suite.net], NETS, f"{path}, field net")
    _known_keys(suite.published, dict.fromkeys(one.place for one in published()), f"{path}, field published")
    twice = [label for label, count in Counter(entry.label for entry in suite.methods).items() if count > 1]
    if twice:
        raise InputError(
            "a method stands in the suite twice",
            where=f"{path}, field methods",
            expected="entries that differ in name, settings or recipe",
            received=twice,
            todo="remove one of the two, or give it other settings",
        )
    for field in ("seeds", "places"):
        if len(set(getattr(suite, field))) != len(getattr(suite, field)):
            raise InputError(
                f"the suite's {field} repeat",
                where=path,
                expected="each once",
                received=getattr(suite, field),
                todo="remove the repeats",
            )


def _checked(call: Any, where: str) -> Any:
    """Call, and say in which field what is wrong is."""
    try:
        return call()
    except InputError as error:
        place = where if error.where.startswith("--") else f"{where}, {error.where}"  # a suite has fields, not options
        raise InputError(
            error.what, where=place, expected=error.expected, received=error.received, todo=error.todo
        ) from error


def _known_keys(given: Any, known: Mapping[Any, Any], where: str) -> None:
    for key in given:
        if key not in known:
            raise InputError(
                "the suite names something that there is not",
                where=where,
                expected=", ".join(map(str, known)) or "nothing",
                received=key,
                todo=nearest(str(key), map(str, known)) if known else "remove it",
            )
