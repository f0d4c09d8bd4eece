"""Drawings of a comparison, as SVG inside the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pointillist.benchmark.comparison import Ranks, alike
from pointillist.benchmark.learning import LearningCurve
from pointillist.report.figures import svg_of

_ROW = 0.22  # inches a line of text


def critical_difference(places: Ranks, titles: Mapping[str, str]) -> str:
    """Mean places on a line, best first, and bars over methods that the test does not tell apart.

    Args:
        places: of the methods.
        titles: of their labels.

    Source: Demšar, JMLR 2006.
    """
    order = sorted(places.average, key=lambda label: places.average[label])
    groups = alike(places)
    figure = Figure(figsize=(7, 0.9 + _ROW * (len(order) + len(groups))), layout="constrained")
    axes = figure.subplots()
    for row, label in enumerate(order):
        x = places.average[label]
        axes.plot([x, x], [0, -row - 1], color="0.6", linewidth=0.8)
        axes.plot(x, -row - 1, "o", color="C0", markersize=4)
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # the lines of worse methods pass here
        axes.text(x + 0.015 * len(order), -row - 1, f"{titles[label]}  {x:.2f}", va="center", fontsize=8, bbox=behind)
    for row, (first, last) in enumerate(groups):
        ends = [places.average[first] - 0.04, places.average[last] + 0.04]
        axes.plot(ends, [row + 1] * 2, color="C3", linewidth=2.5, solid_capstyle="round")
    axes.axhline(0, color="0.3", linewidth=1)
    axes.set(xlim=(0.8, len(order) + 0.2 + len(order) * 0.25), yticks=[])
    axes.set_xlabel(f"mean place over {places.cases} cases; a difference of {places.critical:.2f} counts")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return svg_of(figure)


def cost_and_quality(points: Mapping[str, tuple[float, float]], cost: str, quality: str) -> str:
    """Methods by what a run takes and how good it is.

    Args:
        points: cost and quality of each method, by its title.
        cost: what the first number is; its axis is logarithmic.
        quality: what the second number is.
    """
    figure = Figure(figsize=(7, max(3.4, 0.9 + _ROW * len(points))), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=cost, ylabel=quality, xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    order = sorted(points, key=lambda title: -points[title][1])
    for row, title in enumerate(order):  # names in a column of their own: the points of good methods lie close together
        axes.plot(*points[title], "o", color="C0", markersize=5)
        axes.annotate(
            title,
            points[title],
            (1.04, 1 - (row + 0.5) / len(order)),
            textcoords="axes fraction",
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": "0.8", "linewidth": 0.6, "relpos": (0, 0.5)},
        )
    axes.spines[["top", "right"]].set_visible(False)
    return svg_of(figure)


def learning(curves: Sequence[LearningCurve], words: str) -> str:
    """Dice over what was learned from, a line a method.

    Args:
        curves: of the methods.
        words: what is counted.
    """
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        axes.plot(curve.numbers, curve.dice, "o-", label=curve.title, markersize=4)
    axes.set(xlabel=words, ylabel="Dice", xscale="log")
    ticks = sorted({n for curve in curves for n in curve.numbers})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return svg_of(figure)
