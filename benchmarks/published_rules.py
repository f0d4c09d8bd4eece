"""How much of a figure is protocol: the same predictions under our rule and under each public code's.

Run: python benchmarks/published_rules.py DATA [OUT SUITE …]

DATA holds ``acdc/`` and ``acdc_fold1_predictions/``: what published methods really predicted on ACDC's fold 1. OUT is a
folder of ``pointillist benchmark``: of each SUITE the plain predictions of every method's first seed are read too, if
they are still there. Writes ``results/published_rules.json``; ``results_page.py`` makes a section of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from pointillist.benchmark.advice import titled
from pointillist.benchmark.paper_rows import changed_settings
from pointillist.benchmark.provenance import code_version
from pointillist.benchmark.results import read_result
from pointillist.evaluate.classes import Classes
from pointillist.evaluate.folders import pair_files
from pointillist.evaluate.published import OURS, PUBLISHED_RULES
from pointillist.evaluate.rules import under_rules

TARGET = Path(__file__).parent / "results" / "published_rules.json"
ACDC = Classes({1: "RV", 2: "Myo", 3: "LV"}, None, "ACDC")
RULES = {"pointillist": OURS, **PUBLISHED_RULES}


def sets(data: Path, out: Path | None, suites: list[str]) -> Iterator[tuple[str, str, Path]]:
    """Origin, title and folder of every set of predictions."""
    for folder in sorted(path for path in (data / "acdc_fold1_predictions").iterdir() if path.is_dir()):
        yield "published", folder.name, folder
    for suite in suites if out is not None else ():
        for result in sorted((out / "results" / suite).glob("*/fold1-seed1.json")):
            one = read_result(result)
            folder = out / "runs" / suite / one["run"] / "predictions" / "plain"
            if folder.is_dir():
                yield suite, titled(one["method"], changed_settings(one["method"], one["all_settings"])), folder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("suites", nargs="*")
    options = parser.parse_args()
    rows = []
    for origin, title, folder in sets(options.data, options.out, options.suites):
        pairs = pair_files(folder, options.data / "acdc").pairs
        found = under_rules(pairs, ACDC, RULES)
        rows.append(
            {"origin": origin, "title": title, "cases": len(pairs), "rules": {k: asdict(v) for k, v in found.items()}}
        )
        print(origin, title, *(f"{k}: {v.dsc} {v.hd95}" for k, v in found.items()), sep="\n  ", flush=True)
    content = {
        "what": "ACDC fold 1, 40 volumes, 3 classes: mean over cases, then classes",
        "commit": code_version()["commit"],
        "sources": {name: rule.source for name, rule in RULES.items()},
        "rows": rows,
    }
    TARGET.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
