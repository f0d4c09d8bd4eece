"""``pointillist methods``: what can be trained, and every setting."""

from __future__ import annotations

from typing import Annotated

import typer


def methods(
    json: Annotated[bool, typer.Option("--json", help="Every setting with its type, default and range.")] = False,
) -> None:
    """List the training methods.

    Example: pointillist methods --json
    """
    import inspect
    from dataclasses import asdict
    from json import dumps

    from pointillist.methods import methods as registry
    from pointillist.methods._settings import settings_of

    found = registry()
    if json:
        content = {
            name: {
                "summary": (inspect.getdoc(kind) or "").split("\n")[0],
                "paper": kind.paper,
                "recipe": asdict(kind.recipe),
                "settings": {key: setting.described() for key, setting in settings_of(kind).items()},
            }
            for name, kind in found.items()
        }
        typer.echo(dumps(content, indent=2, ensure_ascii=False))
        return
    for name, kind in found.items():
        typer.echo(f"{name:16} {(inspect.getdoc(kind) or '').splitlines()[0]} ({kind.paper})")
