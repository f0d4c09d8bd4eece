"""The classes of a dataset: named, added and taken away in the page.

In label files what nobody marked holds the number of classes, so another number of classes changes every label file.
A journal says what was begun: a server that was killed over it finishes it at the next start. In between, files hold
values beyond those that dataset.json states, which every reader refuses; none can be taken for a class.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pointillist.app.log import read_log
from pointillist.app.places import log_folder, log_path
from pointillist.data.dataset import Dataset
from pointillist.data.readers import read_label
from pointillist.data.writers import write_json, write_label
from pointillist.errors import InputError
from pointillist.spec import TaskSpec

_COLOUR = r"^#[0-9a-fA-F]{6}$"
_FOLDERS = ("labelsTr", "marks/base", "denseTr", "labelsTs")


class OneClass(BaseModel):
    """A class as the page names it; without a colour it gets one that colour-blind readers can tell apart."""

    model_config = ConfigDict(extra="ignore")
    name: Annotated[str, Field(min_length=1, max_length=100)]
    colour: Annotated[str, Field(pattern=_COLOUR)] | None = None


class Classes(BaseModel):
    """All classes, the background first."""

    model_config = ConfigDict(extra="forbid")
    classes: list[OneClass] = Field(min_length=2, max_length=254)


def read_classes(data: bytes) -> Classes:
    """The classes of a request.

    Raises:
        InputError: if the body is no such JSON.
    """
    try:
        return Classes.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(
            "the classes cannot be understood",
            where=f"field {'.'.join(map(str, first['loc'])) or '(whole body)'}",
            expected='{"classes": [{"name": "background", "colour": "#rrggbb"}, …]}',
            received=first["msg"],
            todo="give every class a name",
        ) from error


def colours_of(dataset: Dataset) -> tuple[str, ...]:
    """One ``#rrggbb`` a class: as chosen in the page, else the dataset's own."""
    own = dataset.spec.colours
    try:
        stated = json.loads((dataset.root / "dataset.json").read_bytes())["pointillist"]["colours"]
        return tuple(_colour(stated.get(name), own[place]) for place, name in enumerate(dataset.spec.classes))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return own


def was_named(dataset: Dataset) -> bool:
    """Whether somebody named the classes in the page."""
    try:
        return "colours" in json.loads((dataset.root / "dataset.json").read_bytes())["pointillist"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def rename(dataset: Dataset, *, classes: list[dict[str, Any]]) -> None:
    """In the worker: give a dataset these classes. The first ones keep their numbers, whatever their names.

    Args:
        dataset: which one.
        classes: name and colour of each; fewer than there are take the last ones away.

    Raises:
        InputError: if names repeat, or a class that is in use would go.
    """
    names = tuple(one["name"].strip() for one in classes)
    TaskSpec(names, dataset.spec.channels)
    old, new = len(dataset.spec.classes), len(names)
    for case in dataset.training if new < old else ():
        _check_unused(dataset, case.id, new)
    path = dataset.root / "dataset.json"
    content = json.loads(path.read_bytes())
    content["labels"] = {**{name: value for value, name in enumerate(names)}, "ignore": new}
    extra = content.setdefault("pointillist", {"format": 1})
    extra["colours"] = {name: one["colour"] for name, one in zip(names, classes, strict=True) if one["colour"]}
    if new == old:
        write_json(path, content)
        return
    write_json(_journal(dataset.root), {"from": old, "to": new, "dataset": content})
    finish(dataset.root)


def finish(root: Path) -> None:
    """Do what the journal says, from wherever it stopped."""
    journal = _journal(root)
    if not journal.exists():
        return
    begun = json.loads(journal.read_bytes())
    old, new, path = int(begun["from"]), int(begun["to"]), root / "dataset.json"
    if new < old:  # the smaller numbers first: files that are not changed yet are then refused, not misread
        write_json(path, begun["dataset"])
    for folder in _FOLDERS:
        for file in sorted((root / folder).glob(f"*{begun['dataset']['file_ending']}")):
            if not file.name.startswith("."):
                _renumber(file, old, new)
    write_json(path, begun["dataset"])
    journal.unlink()


def _renumber(file: Path, old: int, new: int) -> None:
    """Change the value of what nobody marked; a file that was changed before does not hold the old one."""
    labels = read_label(file)
    unmarked = labels.array == old
    if unmarked.any():
        write_label(file, np.where(unmarked, new, labels.array), labels.grid)


def _check_unused(dataset: Dataset, case_id: str, classes: int) -> None:
    case = dataset.case(case_id)
    labels = dataset.sparse_labels(case).array
    log = log_path(dataset.root, case_id)
    used = set(np.unique(labels[labels < len(dataset.spec.classes)]).tolist())
    if log.exists():
        used |= {kept.cls for kept in read_log(log).strokes.values() if kept.cls is not None}
    if case.dense is not None:
        dense = dataset.dense_labels(case).array
        used |= set(np.unique(dense[dense < len(dataset.spec.classes)]).tolist())
    gone = sorted(cls for cls in used if cls >= classes)
    if gone:
        raise InputError(
            "a class that is in use cannot be taken away",
            where=f"case {case_id}",
            expected="classes without marks",
            received=", ".join(dataset.spec.classes[cls] for cls in gone),
            todo="erase its marks first, or give it another name",
        )


def _journal(root: Path) -> Path:
    return log_folder(root) / "classes.json"


def _colour(stated: object, own: str) -> str:
    return stated if isinstance(stated, str) and re.fullmatch(_COLOUR, stated) else own
