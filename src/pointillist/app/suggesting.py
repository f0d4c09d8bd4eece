"""In a job, or in the worker: where to click next, as a file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pointillist.data.dataset import Dataset
from pointillist.data.suggest import Suggestion, suggestions
from pointillist.data.writers import write_json

_PLACES = 12


def write_suggestions(
    dataset: Dataset, *, predictions: str | Path, target: str | Path, other: str | Path | None = None
) -> None:
    """Rank cases and places, and write them.

    Args:
        dataset: its marks count.
        predictions: of a run, with their uncertainty.
        target: the file.
        other: predictions of another run.
    """
    found = suggestions(dataset, Path(predictions), None if other is None else Path(other))
    write_json(Path(target), listed(list(found)))


def listed(found: list[Suggestion]) -> dict[str, Any]:
    """Suggestions as the page takes them, cases with most to gain first."""
    ranked = sorted(found, key=lambda one: -one.score)
    places = {one.case: [_place(asdict(place)) for place in one.places[:_PLACES]] for one in ranked if one.places}
    return {"cases": [{"id": one.case, "score": round(one.score, 6)} for one in ranked], "places": places}


def _place(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "row": fields["row"],
        "col": fields["column"],
        "slice": fields["slice"],
        "score": round(fields["score"], 4),
        "class": fields["cls"],
    }
