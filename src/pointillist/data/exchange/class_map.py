"""Other programs' names of classes, and the dataset's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pointillist.errors import InputError, LabelError, nearest
from pointillist.types import IGNORE

_NUMBERED = re.compile(r"(.+?)[-_ ]\d+")


@dataclass(frozen=True)
class ClassMap:
    """What a program's class is called in the dataset.

    Attributes:
        classes: the dataset's, by index.
        stated: class index, or IGNORE, of the names that the user mapped.
        default: class of shapes without a name; None refuses them.
    """

    classes: tuple[str, ...]
    stated: Mapping[str, int] = field(default_factory=dict)
    default: int | None = None

    @classmethod
    def of(cls, classes: tuple[str, ...], pairs: Iterable[str] = (), default: str | None = None) -> ClassMap:
        """From what the user wrote.

        Args:
            classes: the dataset's.
            pairs: ``theirs=ours``, several in one text parted by commas; ``ignore`` leaves a class out.
            default: name of the class of shapes that have none.

        Raises:
            InputError: if a pair is none, or names a class that the dataset lacks.
        """
        stated: dict[str, int] = {}
        for pair in (one.strip() for text in pairs for one in text.split(",") if one.strip()):
            theirs, equals, ours = (part.strip() for part in pair.rpartition("="))
            if not equals or not theirs or not ours:
                raise InputError(
                    "this is no pair of classes",
                    where="--class-map",
                    expected="theirs=ours, for example Tumor=lesion",
                    received=pair,
                    todo="write the other program's name, an equals sign, and the dataset's name",
                )
            stated[theirs] = IGNORE if ours.lower() == "ignore" else _own(ours, classes, "--class-map")
        return cls(classes, stated, None if default is None else _own(default, classes, "--class"))

    def find(self, name: str | None) -> int | None:
        """Class index of a name, IGNORE if it is to be left out, None if it is not known."""
        if name is None:
            return self.default
        known = dict(zip(self.classes, range(len(self.classes)), strict=True))
        for table in (dict(self.stated), known):
            if name in table:
                return table[name]
            folded = {key.casefold(): value for key, value in table.items()}
            if name.strip().casefold() in folded:
                return folded[name.strip().casefold()]
        return None

    def index(self, name: str | None, where: str) -> int:
        """Class index of a name, IGNORE if it is to be left out.

        Names are compared without regard to case; a program's running number at the end of a name (``gland-12``) is
        left aside where the name with it is not known.

        Args:
            name: as the program calls it, None where it has none.
            where: file and shape, for messages.

        Raises:
            LabelError: if the dataset has no such class, with the nearest one named; or if there is no name, and no
                class was stated for shapes without one.
        """
        numbered = _NUMBERED.fullmatch(name) if name else None
        for one in (name, numbered[1] if numbered else name):
            found = self.find(one)
            if found is not None:
                return found
        if name is None:
            raise LabelError(
                "a shape has no class",
                where=where,
                expected=f"one of {', '.join(self.classes)}",
                received="no name",
                todo="name its class in the program that it was drawn in, or say --class NAME for all of them",
            )
        raise LabelError(
            "the dataset has no class of this name",
            where=where,
            expected=", ".join(self.classes),
            received=name,
            todo=f"{_near(name, self.classes)}; say so with --class-map '{name}=…', or '{name}=ignore' to leave it out",
        )


def _near(name: str, classes: tuple[str, ...]) -> str:
    """The nearest class whatever its case, as ``nearest`` proposes it."""
    folded = {one.casefold(): one for one in classes}
    text = nearest(name.casefold(), folded)
    return next((f"did you mean '{ours}'?" for key, ours in folded.items() if f"'{key}'" in text), text).rstrip("?")


def _own(name: str, classes: tuple[str, ...], where: str) -> int:
    found = ClassMap(classes).find(name)
    if found is None:
        raise InputError(
            "the dataset has no class of this name",
            where=where,
            expected=", ".join(classes),
            received=name,
            todo=_near(name, classes),
        )
    return found
