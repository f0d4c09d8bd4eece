"""What can go wrong for a user, each with one message: what, where, expected, received, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")

_SIMILAR = 0.6
"""Share of the letters that two names have in common from which one may be a misspelling of the other."""


class PointillistError(Exception):
    """A named failure that the command line shows without a traceback (exit code 1).

    Args:
        what: one sentence that says what is wrong.
        where: the file, case or field it is wrong in.
        expected: what would have been right.
        received: what was found instead.
        todo: what the user can do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = "",
        expected: object = "",
        received: object = "",
        todo: str = "",
    ) -> None:
        self.what = what
        self.where = str(where)
        self.expected = str(expected)
        self.received = str(received)
        self.todo = todo
        super().__init__(what, self.where, self.expected, self.received, todo)

    def __reduce__(self) -> tuple[object, ...]:
        fields = {
            "where": self.where,
            "expected": self.expected,
            "received": self.received,
            "todo": self.todo,
        }
        return _rebuild, (type(self), self.what, fields)

    def __str__(self) -> str:
        rows = (
            ("where", self.where),
            ("expected", self.expected),
            ("received", self.received),
            ("what to do", self.todo),
        )
        return "\n".join([self.what, *(f"  {name + ':':<12}{text}" for name, text in rows if text)])


def _rebuild(kind: type[PointillistError], what: str, fields: dict[str, str]) -> PointillistError:
    """Unpickle an error raised in a worker process (keyword arguments do not survive the default protocol)."""
    return kind(what, **fields)


class DamagedFileError(PointillistError):
    """A file is truncated, corrupt, empty, of another format, or larger than it may be."""


class GeometryError(PointillistError):
    """Spacing, orientation or shape is impossible, contradictory, or differs between files that must agree."""


class LabelError(PointillistError):
    """A label image holds values that no class has, or is not a label image at all."""


class ArchiveError(PointillistError):
    """An archive holds members that must not be unpacked."""


class DatasetError(PointillistError):
    """A dataset folder is incomplete, inconsistent, or in the way."""


class InputError(PointillistError):
    """An argument or setting that cannot be used."""


def nearest(name: str, names: Iterable[str]) -> str:
    """What to do about a name that there is not: the one that was probably meant, where one is similar.

    Args:
        name: what was given.
        names: what there is, and what the message lists as expected.
    """
    near = get_close_matches(name, names, n=1, cutoff=_SIMILAR)
    return f"did you mean '{near[0]}'?" if near else "choose one of these"


def named(table: Mapping[str, T], name: str, *, what: str, where: str) -> T:
    """The entry of a table that a user named.

    Args:
        table: entries by name.
        name: what the user wrote.
        what: the message when there is none, for example ``there is no such network``.
        where: the option or field the name came from.

    Raises:
        InputError: if there is none of this name; the message lists them and proposes the nearest.
    """
    if name in table:
        return table[name]
    raise InputError(what, where=where, expected=", ".join(table), received=name, todo=nearest(name, table))
