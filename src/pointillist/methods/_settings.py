"""Settings of methods: read from their signatures, checked before any training starts."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pointillist.errors import InputError, nearest


@dataclass(frozen=True)
class Bounds:
    """The closed range of a setting, written as ``Annotated[float, Bounds(0, 1)]``."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Form:
    """A text that is read by a rule of its own, written as ``Annotated[str, Form(rule, "what it takes")]``.

    Attributes:
        read: the rule; raises ValueError, saying what cannot be.
        expected: what it takes, for messages.
    """

    read: Callable[[str], Any]
    expected: str


@dataclass(frozen=True)
class Setting:
    """One keyword argument of a method.

    Attributes:
        name: the paper's symbol.
        kind: ``int``, ``float``, ``bool`` or ``str``.
        default: the paper's value.
        low: smallest value, None without one.
        high: largest value, None without one.
        choices: the values of a choice, else empty.
        text: what the docstring says about it.
        form: of a text that is read by a rule of its own.
    """

    name: str
    kind: str
    default: Any
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    text: str = ""
    form: Form | None = None

    def described(self) -> dict[str, Any]:
        """All of it that other programs can use."""
        return {name: value for name, value in vars(self).items() if name != "form"}


_KINDS: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}


def settings_of(method: type) -> dict[str, Setting]:
    """The keyword-only arguments of a method's constructor as settings, by name."""
    parameters = inspect.signature(method, eval_str=True).parameters.values()
    texts = _argument_texts(inspect.getdoc(method) or "")
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return {p.name: _setting(p.name, p.annotation, p.default, texts.get(p.name, "")) for p in keywords}


def checked_settings(method: str, settings: Mapping[str, Setting], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the user gave, converted and checked.

    Args:
        method: its name, for messages.
        settings: what it takes.
        given: values by key; texts (as on a command line) are converted.

    Raises:
        InputError: for an unknown key, naming the nearest one, a value of another kind, or one out of range.
    """
    for key in given:
        if key not in settings:
            raise InputError(
                f"method {method} has no such setting",
                where="--set",
                expected=", ".join(settings) or "no settings",
                received=key,
                todo=nearest(key, settings) if settings else "remove it",
            )
    return {key: _convert(method, settings[key], value) for key, value in given.items()}


def _argument_texts(docstring: str) -> dict[str, str]:
    """What the ``Args`` section of a docstring says about each argument."""
    section = re.search(r"^Args:\n((?:    .*\n?)+)", docstring, re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _setting(name: str, hint: Any, default: Any, text: str) -> Setting:
    extras = getattr(hint, "__metadata__", ())
    bounds = next((extra for extra in extras if isinstance(extra, Bounds)), Bounds())
    form = next((extra for extra in extras if isinstance(extra, Form)), None)
    hint = get_args(hint)[0] if extras else hint
    choices = tuple(get_args(hint)) if get_origin(hint) is Literal else ()
    kind = "str" if choices else hint.__name__
    low, high = (None if math.isinf(limit) else limit for limit in (bounds.low, bounds.high))
    return Setting(name, kind, default, low, high, choices, text, form)


def _convert(method: str, setting: Setting, value: Any) -> Any:
    kind = _KINDS[setting.kind]
    try:
        parsed = json.loads(value.lower()) if isinstance(value, str) and kind is not str else value
    except ValueError:
        parsed = value
    if kind is float and isinstance(parsed, int) and not isinstance(parsed, bool):
        parsed = float(parsed)
    fits = type(parsed) is kind and (not setting.choices or parsed in setting.choices)
    low, high = (
        (-math.inf if setting.low is None else setting.low),
        (math.inf if setting.high is None else setting.high),
    )
    if fits and setting.form is not None:
        return _of_form(method, setting, setting.form, parsed)
    if fits and (kind in (str, bool) or low <= parsed <= high):
        return parsed
    expected = " or ".join(setting.choices) or setting.kind
    if not setting.choices and (low, high) != (-math.inf, math.inf):
        expected += f" in {low:g} … {high:g}"
    raise InputError(
        f"a setting of method {method} has a value it cannot have",
        where=setting.name,
        expected=expected,
        received=value,
        todo=f"give such a value, or leave it out for the default, {setting.default}",
    )


def _of_form(method: str, setting: Setting, form: Form, value: str) -> str:
    """The text itself, which its rule could read."""
    try:
        form.read(value)
    except ValueError as error:
        raise InputError(
            f"a setting of method {method} cannot be read: {error}",
            where=setting.name,
            expected=form.expected,
            received=value,
            todo=f"mend it, or leave it out for the default, {setting.default}",
        ) from error
    return value
