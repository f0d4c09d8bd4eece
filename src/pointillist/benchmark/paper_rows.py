"""Which row of the papers' tables a method with its settings repeats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from pointillist.benchmark.advice import pixels
from pointillist.benchmark.comparison import Entrant
from pointillist.methods import methods
from pointillist.methods._settings import settings_of

_PUBLISHED_PIXELS = pixels({"size": 256, "batch": 12})
_ROUNDED = 0.03  # as far as a scaled weight may be from the exact one
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


def paper_row(result: Mapping[str, Any], place: str | None = None) -> str | None:
    """Name of the row in the papers' tables, ``pclmix`` or ``pclmix:#1 sup``; None for settings that no paper prints.

    Args:
        result: results file: ``method``, ``all_settings``, and of ``training`` the ``size`` and ``batch``.
        place: the table, as ``Figure.place``; None asks without its constants.
    """
    method: str = result["method"]
    if method not in methods():
        return None
    settled = {*_NO_OTHER_METHOD, *methods()[method].weigh_sums} if _as_strong(result) else _NO_OTHER_METHOD
    if _as_there(result, place):
        settled = settled | _constants(method, place).keys()
    changed = {
        name: value for name, value in changed_settings(method, result["all_settings"]).items() if name not in settled
    }
    if not changed:
        return method
    rows = _variants()["rows"].items()
    return next((row for row, one in rows if row.partition(":")[0] == method and one == changed), None)


def standing_for(entrants: Sequence[Entrant], place: str | None = None) -> dict[str, Entrant]:
    """The method of a suite that stands for each row of the papers' tables.

    Where several do, it is one with the constants and the network of the table, whose sums over pixels weigh what they
    weigh in the papers' images; of those the one with most settings at their defaults, of those the one whose recipe,
    network and data are the suite's, whatever their results.

    Args:
        entrants: of a suite.
        place: the table, as ``Figure.place``; None asks without its constants.
    """
    found: dict[str, Entrant] = {}
    for one in sorted(entrants, key=lambda one: _how_unlike(one, place)):
        row = paper_row(one.results[0], place)
        if row is not None:
            found.setdefault(row, one)
    return found


def _how_unlike(one: Entrant, place: str | None) -> tuple[bool, int, bool, str]:
    first, known = one.results[0], one.method in methods()
    changed = len(changed_settings(one.method, first["all_settings"])) if known else 0
    published = not known or (_as_there(first, place) and _as_strong(first) and _on_its_network(first, place))
    return not published, changed, one.label != one.method, one.label


def _as_there(result: Mapping[str, Any], place: str | None) -> bool:
    """Whether the method has the constants of the table."""
    settings: dict[str, Any] = result["all_settings"]
    return _constants(result["method"], place).items() <= settings.items()


def _on_its_network(result: Mapping[str, Any], place: str | None) -> bool:
    own = _variants()["networks"].get(place or "", {}).get(result["method"])
    return own in (None, result["training"]["net"])


def _as_strong(result: Mapping[str, Any]) -> bool:
    """Whether what weighs sums over a batch's pixels has its default times so many times fewer pixels as there are."""
    kind, training = methods()[result["method"]], result["training"]
    factor = _PUBLISHED_PIXELS / pixels(training) if kind.weigh_sums else 1.0
    defaults = {name: factor * settings_of(kind)[name].default for name in kind.weigh_sums}
    return all(math.isclose(result["all_settings"][name], one, rel_tol=_ROUNDED) for name, one in defaults.items())


def _constants(method: str, place: str | None) -> dict[str, Any]:
    """Of a method in a table, where they are not its defaults."""
    found: dict[str, Any] = _variants()["constants"].get(place or "", {}).get(method, {})
    return found


@cache
def _variants() -> dict[str, dict[str, Any]]:
    text = (files("pointillist.benchmark") / "published_variants.yaml").read_text("utf-8")
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return found
