"""The registry: every method by name, with its settings."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, TypeVar

from pointillist.errors import named
from pointillist.methods._base import Method
from pointillist.methods._settings import checked_settings, settings_of
from pointillist.nets.network import SegmentationNet
from pointillist.spec import TaskSpec

_METHODS: dict[str, type[Method]] = {}

M = TypeVar("M", bound=type[Method])


def register(method: M) -> M:
    """Class decorator that enters a method under its name.

    Raises:
        ValueError: if two methods claim a name.
    """
    if method.name in _METHODS:
        msg = f"two methods are called {method.name}: {_METHODS[method.name]} and {method}"
        raise ValueError(msg)
    _METHODS[method.name] = method
    return method


def methods() -> dict[str, type[Method]]:
    """Every method by name. A file in ``pointillist/methods`` is enough to be found."""
    package = importlib.import_module("pointillist.methods")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"pointillist.methods.{module.name}")
    return dict(sorted(_METHODS.items()))


def method_named(name: str) -> type[Method]:
    """Find a method.

    Raises:
        InputError: if there is none of this name; the message proposes the nearest.
    """
    return named(methods(), name, what="there is no such method", where="--method")


def build_method(name: str, net: SegmentationNet, spec: TaskSpec, settings: Mapping[str, Any]) -> Method:
    """A method on a network.

    Args:
        name: of the method.
        net: the network it trains.
        spec: the task.
        settings: what the user gave; the rest keeps its defaults.

    Raises:
        InputError: if the name, a setting or a value is wrong.
    """
    kind = method_named(name)
    return kind(net, spec, **checked_settings(name, settings_of(kind), settings))
