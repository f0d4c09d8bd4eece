"""Self-contained HTML pages: one file, no network."""

from __future__ import annotations

import base64
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

import pointillist


@cache
def _environment() -> jinja2.Environment:
    templates = files("pointillist.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (templates / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["jpeg"] = lambda data: "data:image/jpeg;base64," + base64.b64encode(data).decode()
    return environment


def render(template: str, **content: Any) -> str:
    """Fill a template of ``report/templates``.

    Args:
        template: its file name.
        content: what it shows; everything is escaped.

    Returns:
        The page.
    """
    return _environment().get_template(template).render(version=pointillist.__version__, **content)
