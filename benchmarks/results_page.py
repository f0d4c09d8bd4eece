"""Write RESULTS.md: what the results files say, suite by suite, beside the order that the papers found.

Run: python benchmarks/results_page.py

Every number of the page comes from a file in ``results/`` or from the figures of the papers in the package; none is
typed. A method's row is the mean over the seeds that were run.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, median
from typing import Any

from scipy.stats import rankdata, spearmanr

from pointillist.benchmark.published import table_of
from pointillist.benchmark.results import read_result
from pointillist.benchmark.suite import load_suite

HERE = Path(__file__).parent
PAGE = HERE / "RESULTS.md"
COLUMNS = {  # of a suite: heading, class, metric, unit, digits
    "DSC": ("all classes", "dsc", "1", 3),
    "HD95, voxels": ("all classes", "hd95_pooled", "voxel", 1),
    "HD95 bounded, mm": ("all classes", "hd95_pooled_bounded", "mm", 1),
}
OF_NUCLEI = {
    "Dice": ("nucleus", "dsc", "1", 3),
    "IoU": ("objects", "iou", "1", 3),
    "mDice": ("objects", "mdice_strict", "1", 3),
    "mDice, published rule": ("objects", "mdice_published", "1", 3),
    "AJI": ("objects", "aji", "1", 3),
}
OF_REGIONS = {  # over the pixels of a fold, then the mean over folds
    "Dice, pooled": ("*", "pooled_dsc", "1", 3),
    "accuracy": ("*", "pooled_accuracy", "1", 3),
    "precision": ("*", "pooled_precision", "1", 3),
    "recall": ("*", "pooled_recall", "1", 3),
    "κ": ("*", "pooled_kappa", "1", 3),
    "AUC": ("*", "pooled_auc", "1", 3),
    "Dice, a case": ("*", "dsc", "1", 3),
}
FAR = 3  # places
LEAST = 4  # methods that make an order

Result = dict[str, Any]


def title_of(result: Result) -> str:
    changed = dict(result["settings"])
    return " ".join([f"`{result['method']}`", *(f"{name} {value}" for name, value in changed.items())])


def figure(result: Result, reading: str, column: tuple[str, str, str, int]) -> float | None:
    """The mean of one metric in a reading, or its pooled value; None where no case defines it."""
    cls, *wanted = column[:3]
    content = result["readings"][reading]
    pooled = [line | {"unit": "1", "mean": line["value"]} for line in content.get("pooled", ())]
    lines = [line for line in (*content["summary"], *pooled) if cls in ("*", line["class"])]
    return next((x["mean"] for x in lines if [x["metric"], x["unit"]] == wanted), None)


def averaged(results: Iterable[Result], reading: str, column: tuple[str, str, str, int]) -> float | None:
    values = [value for one in results if (value := figure(one, reading, column)) is not None]
    return mean(values) if values else None


def cell(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def row_of(results: list[Result], columns: dict[str, tuple[str, str, str, int]], readings: list[str]) -> list[str]:
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(one["seed"] for one in results))
    folds = dict.fromkeys(one["fold"] for one in results)
    seeds += f" × {len(folds)} folds" if len(folds) > 1 else ""
    cells = [
        " / ".join(cell(averaged(results, reading, column), column[3]) for reading in readings)
        for column in columns.values()
    ]
    minutes = median(one["cost"]["train_minutes"] for one in results)
    memory = max(one["cost"]["peak_memory_mb"]["host"] for one in results)
    return [title_of(results[0]), seeds, *cells, f"{minutes:.0f}", str(memory)]


def table(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def made_by(results: list[Result]) -> str:
    """Hardware, precision and commits of a suite's runs."""
    machines = {
        f"{x['hardware']['accelerator'] or x['hardware']['processor']}, {x['hardware']['threads']} thread(s) a run, "
        f"{x['hardware']['precision']}, torch {x['hardware']['torch']}"
        for x in results
    }
    commits = sorted({x["code"]["commit"][:8] for x in results})
    return f"Hardware: {'; '.join(sorted(machines))}. Evaluated at commits {', '.join(commits)}."


def order(entries: list[list[Result]], tables: tuple[str, ...]) -> list[str]:
    """Our order by DSC beside each paper's, and how far they agree."""
    ours: dict[str, float] = {}
    for results in sorted(entries, key=lambda results: len(results[0]["settings"])):  # defaults before variants
        value = averaged(results, "recalibrated", COLUMNS["DSC"])
        if value is not None:
            ours.setdefault(results[0]["method"], value)
    lines = []
    for place in tables:
        theirs = table_of(place)
        common = [name for name in theirs if name in ours]
        if len(common) < LEAST:
            continue
        rho = spearmanr([theirs[name] for name in common], [ours[name] for name in common]).statistic
        places = [rankdata([-figures[name] for name in common]) for figures in (theirs, ours)]
        rows = sorted(zip(common, *places, strict=True), key=lambda row: row[1])
        lines += ["", f"Order by DSC against {place}: Spearman's ρ = {rho:.2f} over {len(common)} methods.", ""]
        lines += table(
            ["method", "published", "place", "obtained (re-estimated)", "place", f"moves more than {FAR}"],
            (
                [f"`{name}`", f"{theirs[name]:.3f}", f"{there:g}", f"{ours[name]:.3f}", f"{here:g}",
                 "yes" if abs(there - here) > FAR else ""]
                for name, there, here in rows
            ),
        )  # fmt: skip
    return lines


def section(name: str, results: list[Result]) -> list[str]:
    groups: dict[str, list[Result]] = defaultdict(list)
    for one in results:
        groups[one["run"].partition("/")[0]].append(one)
    entries = [sorted(group, key=lambda one: one["seed"]) for group in groups.values()]
    nuclei = figure(results[0], "plain", OF_NUCLEI["AJI"]) is not None
    regions = "pooled" in results[0]["readings"]["plain"]
    columns = OF_NUCLEI if nuclei else OF_REGIONS if regions else COLUMNS
    readings = list(results[0]["readings"])
    main = next(iter(columns.values()))
    entries.sort(key=lambda group: -(averaged(group, "recalibrated", main) or 0))
    return [
        f"## {name}",
        "",
        f"{results[0]['protocol']} {made_by(results)} Readings: {' / '.join(readings)}.",
        "",
        *table(
            ["method", "seeds", *columns, "minutes", "peak memory, MB"],
            (row_of(group, columns, readings) for group in entries),
        ),
        *order(entries, load_suite(name).published),
        "",
    ]


def costs() -> list[str]:
    """A training step of every method."""
    found = json.loads((HERE / "results" / "method_step.json").read_text())
    rows = sorted(found["methods"].items(), key=lambda row: row[1]["times_pce"])
    return [
        "## Cost of a training step",
        "",
        f"{found['what']}. {found['hardware']}, {found['precision']}, torch {found['versions']['torch']}, commit "
        f"{found['commit'][:8]}.",
        "",
        *table(
            ["method", "seconds", "times `pce`", "peak memory, MB", "times `pce`"],
            (
                [f"`{name}`", *(str(row[key]) for key in ("seconds", "times_pce", "peak_mb", "times_peak_of_pce"))]
                for name, row in rows
            ),
        ),
        "",
    ]


def public_forms() -> list[str]:
    """Every loss beside the formulation that the public codes use."""
    found = json.loads((HERE / "results" / "public_forms.json").read_text())
    return [
        "## Losses and steps against the public formulations",
        "",
        f"{found['what']}. {found['hardware']['processor']}, 1 thread, torch {found['software']['torch']}, commit "
        f"{found['commit'][:8]}. The gated CRF, the contrastive variance and the attentive similarity have scripts and "
        "files of their own.",
        "",
        *table(
            ["loss or step", "public, ms", "ours, ms", "times faster", "difference of values", "note"],
            (
                [name, f"{row['public_ms']:.2f}", f"{row['ours_ms']:.2f}", f"{row['times_faster']:.2f}",
                 f"{row['value_difference']:.0e}", row.get("note", "")]
                for name, row in found["rows"].items()
            ),
        ),
        "",
    ]  # fmt: skip


def page() -> str:
    """RESULTS.md as it should be."""
    suites = {
        folder.name: [read_result(path) for path in sorted(folder.glob("*.json"))]
        for folder in sorted((HERE / "results").iterdir())
        if folder.is_dir()
    }
    lines = ["# Results", "", *(__doc__ or "").splitlines()[4:], ""]
    for name, results in suites.items():
        lines += section(name, results)
    return "\n".join([*lines, *costs(), *public_forms()])


if __name__ == "__main__":
    PAGE.write_text(page())
