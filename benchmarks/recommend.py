"""Write the table of advice that `pointillist train --method auto` reads, from the results files.

Run: python benchmarks/recommend.py, after new results, and then python benchmarks/results_page.py
"""

from __future__ import annotations

from pathlib import Path

from pointillist.benchmark.comparison import read_suites
from pointillist.benchmark.recommend import READING, advice_from, as_json, tracks_of

HERE = Path(__file__).parent
TABLE = HERE.parent / "src" / "pointillist" / "benchmark" / "advice.json"


def table() -> str:
    """advice.json as it should be."""
    return as_json(advice_from(tracks_of(read_suites(HERE / "results", reading=READING))))


if __name__ == "__main__":
    TABLE.write_text(table())
