"""Which row of the papers' tables a method with its settings repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from pointillist.benchmark.comparison import Entrant
from pointillist.methods import methods
from pointillist.methods._settings import settings_of

_NO_OTHER_METHOD = {"start", "refresh"}
"""Settings that adapt a method to its budget: when a term begins to count, epochs for the number of images."""


def changed_settings(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a results file that differ from the defaults as they are now.

    Args:
        method: its name.
        settings: all of them.
    """
    known = settings_of(methods()[method])
    return {name: value for name, value in settings.items() if name in known and value != known[name].default}


def paper_row(method: str, settings: Mapping[str, Any]) -> str | None:
    """Name of the row in the papers' tables, ``pclmix`` or ``pclmix:#1 sup``; None for settings that no paper prints.

    Args:
        method: its name.
        settings: all of them.
    """
    if method not in methods():
        return None
    changed = {
        name: value for name, value in changed_settings(method, settings).items() if name not in _NO_OTHER_METHOD
    }
    if not changed:
        return method
    return next((row for row, one in _variants().items() if row.partition(":")[0] == method and one == changed), None)


def standing_for(entrants: Sequence[Entrant]) -> dict[str, Entrant]:
    """The method of a suite that stands for each row of the papers' tables.

    Where several do, it is the one with most settings at their defaults, of those the one whose recipe, network and
    data are the suite's, whatever their results.
    """
    found: dict[str, Entrant] = {}
    for one in sorted(entrants, key=lambda one: (_number_changed(one), one.label != one.method, one.label)):
        row = paper_row(one.method, one.results[0]["all_settings"])
        if row is not None:
            found.setdefault(row, one)
    return found


def _number_changed(one: Entrant) -> int:
    return len(changed_settings(one.method, one.results[0]["all_settings"])) if one.method in methods() else 0


@cache
def _variants() -> dict[str, dict[str, Any]]:
    text = (files("pointillist.benchmark") / "published_variants.yaml").read_text("utf-8")
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return found
