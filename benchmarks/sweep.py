"""Draw what a setting is worth: DSC and HD95 over its values, from recorded results.

Run: python benchmarks/sweep.py SUITE SETTING PICTURE [--reading recalibrated]

Entries of a suite that differ in SETTING alone make a line, one for each combination of their other settings; runs
with several seeds show their mean and every seed.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

from results_page import COLUMNS, Result, figure

RESULTS = Path(__file__).parent / "results"
SHOWN = ("DSC", "HD95, voxels")


def lines_of(results: list[Result], setting: str) -> dict[str, dict[float, list[Result]]]:
    """Runs by value of the setting, by the method and its other changed settings; lines of one point are left out."""
    lines: dict[str, dict[float, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for one in results:
        if setting in one["all_settings"]:
            others = {name: value for name, value in one["settings"].items() if name != setting}
            name = " ".join([one["method"], *(f"{key} {value}" for key, value in others.items())])
            lines[name][one["all_settings"][setting]].append(one)
    return {name: dict(sorted(values.items())) for name, values in lines.items() if len(values) > 1}


def drawn(lines: dict[str, dict[float, list[Result]]], setting: str, reading: str) -> Figure:
    picture = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, column in zip(picture.subplots(1, len(SHOWN)), SHOWN, strict=True):
        for name, values in lines.items():
            figures = {x: [figure(one, reading, COLUMNS[column]) for one in runs] for x, runs in values.items()}
            known = {x: [y for y in ys if y is not None] for x, ys in figures.items()}
            points = {x: ys for x, ys in known.items() if ys}
            (line,) = axes.plot(list(points), [sum(ys) / len(ys) for ys in points.values()], marker="o", label=name)
            for x, ys in points.items():
                axes.plot([x] * len(ys), ys, ".", color=line.get_color(), alpha=0.5)
        axes.set(xlabel=setting, ylabel=column)
        if min(min(values) for values in lines.values()) > 0:
            axes.set_xscale("log")
    axes.legend(fontsize="small")
    return picture


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("suite", "setting", "picture"):
        parser.add_argument(name)
    parser.add_argument("--reading", default="recalibrated")
    options = parser.parse_args()
    results = [json.loads(path.read_text()) for path in sorted((RESULTS / options.suite).glob("*.json"))]
    lines = lines_of(results, options.setting)
    if not lines:
        parser.error(f"{RESULTS / options.suite} holds no two values of {options.setting}")
    drawn(lines, options.setting, options.reading).savefig(options.picture, dpi=150)


if __name__ == "__main__":
    main()
