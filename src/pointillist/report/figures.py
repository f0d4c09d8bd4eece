"""Figures of a run, as SVG inside the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

_SMOOTHED_OVER = 0.05  # of the run


def loss_curves(events: Sequence[dict[str, Any]]) -> str:
    """Every term of the loss over the steps of a run, smoothed, and validation on held-out marks.

    Args:
        events: of the run's log.

    Returns:
        One ``<svg>`` element; empty where nothing was logged.
    """
    steps = [event for event in events if event["event"] == "step"]
    if not steps:
        return ""
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(name for event in steps for name in event["terms"]):
        points = [(event["step"], event["terms"][name]) for event in steps if name in event["terms"]]
        axes.plot([step for step, _ in points], _smoothed([value for _, value in points]), label=name)
    validations = [event for event in events if event["event"] == "validation"]
    if validations:
        values = [event["partial_ce"] for event in validations]
        axes.plot([event["step"] for event in validations], values, "k.-", label="held-out marks")
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return svg_of(figure)


def svg_of(figure: Figure) -> str:
    """A drawing as one ``<svg>`` element."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def _smoothed(values: Sequence[float]) -> list[float]:
    """A running mean over a part of the run, each point over what came before."""
    length = max(1, round(len(values) * _SMOOTHED_OVER))
    return [sum(values[max(0, i + 1 - length) : i + 1]) / len(values[max(0, i + 1 - length) : i + 1])
            for i in range(len(values))]  # fmt: skip
