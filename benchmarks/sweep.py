"""Draw what a setting is worth: DSC and HD95 over its values, from recorded results.

Run: python benchmarks/sweep.py SUITE SETTING PICTURE [--reading recalibrated]

Entries of a suite that differ in SETTING alone make a line, one for each combination of their other settings; runs
with several seeds show their mean.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

from pointillist.benchmark.comparison import Entrant, read_suites
from pointillist.benchmark.page import HEADS

RESULTS = Path(__file__).parent / "results"
SHOWN = ("DSC", "HD95, voxels")


def lines_of(entrants: list[Entrant], setting: str) -> dict[str, dict[float, Entrant]]:
    """Entrants by value of the setting, by the method and its other changed settings; lines of one point left out."""
    lines: dict[str, dict[float, Entrant]] = defaultdict(dict)
    for one in entrants:
        first = one.results[0]
        if setting in first["all_settings"]:
            others = (f"{name} {value}" for name, value in first["settings"].items() if name != setting)
            lines[" ".join([one.method, *others])][first["all_settings"][setting]] = one
    return {name: dict(sorted(values.items())) for name, values in lines.items() if len(values) > 1}


def drawn(lines: dict[str, dict[float, Entrant]], setting: str, reading: str) -> Figure:
    picture = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, column in zip(picture.subplots(1, len(SHOWN)), SHOWN, strict=True):
        for name, values in lines.items():
            wanted = HEADS[column][:3]
            points = {x: y for x, one in values.items() if (y := one.mean(reading, *wanted)) is not None}
            axes.plot(list(points), list(points.values()), marker="o", label=name)
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
    lines = lines_of(read_suites(RESULTS, reading=options.reading).get(options.suite, []), options.setting)
    if not lines:
        parser.error(f"{RESULTS / options.suite} holds no two values of {options.setting}")
    drawn(lines, options.setting, options.reading).savefig(options.picture, dpi=150)


if __name__ == "__main__":
    main()
