"""What would help the marks of a case, said in a line, from the check of label health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_FEW_EMPTY_SLICES = 2
_MANY_SLICES = 4
_SPREAD = 0.3

Hint = dict[str, Any]


def hints(health: dict[str, Any] | None, classes: Sequence[str], others: Sequence[bool]) -> list[Hint]:
    """At most a few hints, the most useful first.

    Args:
        health: ``LabelHealth`` as JSON, None where it is not known yet.
        classes: names, the background first.
        others: of each class, whether other cases have marks of it.

    Returns:
        Each with ``what`` to do, ``why``, and the ``action`` that does it: ``{"class": index}`` chooses a class.
    """
    if health is None:
        return []
    marked = [*health["marked"], *[0] * len(classes)][: len(classes)]
    if not any(marked):
        return [
            {
                "what": "Click each structure once, and the background once",
                "why": "A click for every class is enough to begin; scribbles teach more.",
                "action": {"class": 1},
            }
        ]
    found = [*_background(marked, classes), *_missing(marked, classes, others), *_slices(health)]
    if health["contradictory"]:
        found.append(
            {
                "what": f"Look at {health['contradictory']} pixels that two classes cover",
                "why": "The later stroke counts there. Erase what is wrong, if that is not what you mean.",
            }
        )
    if health["outside"]:
        found.append(
            {
                "what": f"Undo {len(health['outside'])} strokes that lie outside the image",
                "why": "They mark nothing.",
            }
        )
    return found


def _background(marked: Sequence[int], classes: Sequence[str]) -> list[Hint]:
    if marked[0]:
        return []
    return [
        {
            "what": f"Mark {classes[0]}, near the borders of the structures",
            "why": "A network learns where a structure ends from background marks.",
            "action": {"class": 0},
        }
    ]


def _missing(marked: Sequence[int], classes: Sequence[str], others: Sequence[bool]) -> list[Hint]:
    """Classes that have marks nowhere: they cannot be learned. One that other cases have may be absent here."""
    gone = [cls for cls in range(1, len(classes)) if not marked[cls] and not others[cls]]
    return [
        {
            "what": f"Mark {classes[cls]} where it is to be seen",
            "why": "No image has a mark of it, so it cannot be learned.",
            "action": {"class": cls},
        }
        for cls in gone[:2]
    ]


def _slices(health: dict[str, Any]) -> list[Hint]:
    slices, unmarked = health["slices"], health["unmarked_slices"]
    if slices < _MANY_SLICES:
        return []
    found: list[Hint] = []
    if slices - unmarked < _SPREAD * slices:
        found.append(
            {
                "what": f"Mark more slices: {slices - unmarked} of {slices} hold marks",
                "why": "A mark on every third slice teaches more than many on one.",
            }
        )
    if health["background_slices"] < _FEW_EMPTY_SLICES:
        found.append(
            {
                "what": "Mark a slice or two at the ends as background alone",
                "why": "Otherwise structures are found beyond where they end.",
                "action": {"class": 0},
            }
        )
    return found
