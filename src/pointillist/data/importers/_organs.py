"""Where abdominal organs lie, to notice exchanged classes and headers that point the wrong way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pointillist.errors import LabelError
from pointillist.types import Floats, LabelMap

_LIVER, _RIGHT, _LEFT, _SPLEEN = "liver", "right kidney", "left kidney", "spleen"


def check_organs(dense: LabelMap, classes: Sequence[str], name: str) -> list[str]:
    """Compare the places of liver, kidneys and spleen with each other and with the directions that the header states.

    Args:
        dense: truth in canonical order.
        classes: names by class index.
        name: of the label file, for notes and messages.

    Returns:
        A note for every axis of the header that the organs contradict. Nothing is changed for it: the classes are
        right, only pictures of the case stand on their head or are mirrored.

    Raises:
        LabelError: if the liver lies on the side of the left kidney, or the spleen on that of the right: the classes
            are not what they should be, whatever the header says.
    """
    found = {organ: _centre(dense == classes.index(organ)) for organ in (_LIVER, _RIGHT, _LEFT, _SPLEEN)}
    centre = {organ: place for organ, place in found.items() if place is not None}
    if not {_RIGHT, _LEFT} <= centre.keys():
        return []
    right, left = centre[_RIGHT], centre[_LEFT]
    kidneys = (right + left) / 2
    for organ, own in ((_LIVER, right), (_SPLEEN, left)):
        if organ in centre and (centre[organ] - kidneys)[0] * (own - kidneys)[0] < 0:
            raise LabelError(
                "the organs do not lie where they belong",
                where=name,
                expected="liver and right kidney on one side, spleen and left kidney on the other",
                received=f"the {organ} on the other kidney's side",
                todo="check that this kind of import fits the source, and that its label values were not exchanged",
            )
    wrong = "header and pixels stay as they are"
    liver = centre.get(_LIVER)
    notes = []
    if right[0] < left[0]:
        notes.append(f"left-right-exchanged: by its organs the header interchanges left and right; {wrong} ({name})")
    if liver is not None and liver[1] < kidneys[1]:
        notes.append(f"front-back-exchanged: by its organs the header interchanges front and back; {wrong} ({name})")
    if liver is not None and liver[2] < kidneys[2]:
        notes.append(f"head-foot-exchanged: by its organs the header interchanges head and feet; {wrong} ({name})")
    return notes


def _centre(mask: LabelMap) -> Floats | None:
    """Mean index along every axis; None where there is nothing."""
    if not mask.any():
        return None
    profiles = [mask.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    return np.array([np.average(np.arange(len(profile)), weights=profile) for profile in profiles])
