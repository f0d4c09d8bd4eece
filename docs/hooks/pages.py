"""Reference pages of methods, losses and advice, made from docstrings, settings and results when the site is built."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from pointillist import losses
from pointillist.benchmark.advice import IMAGES, MARKS, Advice, advice, cited
from pointillist.benchmark.auto import BUDGETS
from pointillist.methods import Method, methods
from pointillist.methods._settings import Setting, settings_of

WHICH_METHOD = Path(__file__).with_name("which-method.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each method, one that lists them, one of all losses, and one of which method to use."""
    found = methods()
    pages = {f"methods/{name}": page_of(kind) for name, kind in found.items()}
    pages |= {"methods/index": index_of(found), "losses": page_of_losses()}
    pages["which-method"] = page_of_advice()
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def page_of_losses() -> str:
    """The docstring of the package, and of every loss."""
    lines = ["# Losses", "", inspect.getdoc(losses) or "", ""]
    for name in losses.__all__:
        function = getattr(losses, name)
        lines += [f"::: {function.__module__}.{name}", "    options: { heading_level: 2 }", ""]
    return "\n".join(lines)


def page_of_advice() -> str:
    """The table that ``train --method auto`` reads, with its evidence."""
    rows = [
        [MARKS[row.marks], IMAGES[row.images], BUDGETS[row.budget], f"[`{row.method}`](methods/{row.method}.md)",
         "<br>".join(dict.fromkeys(settings_in(one.settings) for one in row.evidence)), f"{row.gain:+.3f}",
         "<br>".join(map(cited, row.evidence)) + not_run(row)]
        for row in advice()
    ]  # fmt: skip
    heads = ["marks", "images", "budget", "method", "settings", "DSC above `pce`", "evidence"]
    table = ["| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *rows]]
    return WHICH_METHOD.read_text("utf-8").replace("TABLE_OF_ADVICE", "\n".join(table))


def settings_in(settings: dict[str, Any]) -> str:
    """Settings as a user gives them."""
    return " ".join(f"`{name}={_words(value)}`" for name, value in settings.items()) or "defaults"


def not_run(row: Advice) -> str:
    """How many tracks of a row its method was not run on."""
    missing = row.tracks - len(row.evidence)
    return f"<br>not run on {missing} of {row.tracks} tracks" if missing else ""


def index_of(found: dict[str, type[Method]]) -> str:
    """A table of all methods, each a link to its page."""
    rows = [f"| [`{name}`]({name}.md) | {summary_of(kind)} | {kind.paper} |" for name, kind in found.items()]
    head = [
        "# Methods",
        "",
        "`pointillist train --method NAME --set SETTING=VALUE …`; `pointillist methods --json` prints",
    ]
    head += ["the same settings for programs.", "", "| method | what it does | source |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def page_of(kind: type[Method]) -> str:
    """A method's page: its docstring, its settings, and how it is optimised unless a run says otherwise."""
    text = re.sub(r"^Args:\n(?:    .*\n)+\n?", "", inspect.getdoc(kind) or "", flags=re.MULTILINE)
    recipe = ", ".join(f"{key} {_words(value)}" for key, value in asdict(kind.recipe).items())
    lines = [f"# `{kind.name}`", "", f"*{kind.paper}*", "", text, "", f"Recipe, unless a run says otherwise: {recipe}."]
    settings = settings_of(kind)
    if settings:
        lines += ["", "## Settings", "", "| `--set` | default | may be | |", "|---|---|---|---|"]
        lines += [row_of(setting) for setting in settings.values()]
    return "\n".join(lines) + "\n"


def row_of(setting: Setting) -> str:
    """A setting as a table row."""
    return f"| `{setting.name}` | {_words(setting.default)} | {allowed(setting)} | {setting.text} |"


def allowed(setting: Setting) -> str:
    """The values a setting may have, in words."""
    if setting.choices:
        return " or ".join(f"`{choice}`" for choice in setting.choices)
    if setting.low is None and setting.high is None:
        return setting.kind
    return f"{setting.kind}, {_words(setting.low)} … {_words(setting.high)}"


def summary_of(kind: type[Method]) -> str:
    """The first line of the docstring."""
    return (inspect.getdoc(kind) or "").split("\n")[0]


def _words(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
