"""The documentation builds without a warning, and its examples run."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from pointillist.methods import methods
from pointillist.methods._settings import settings_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITH_EXAMPLES = [page for page in PAGES if BLOCK.search(page.read_text())]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_run(page, tmp_path):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, code in BLOCK.findall(page.read_text()):
        command = [sys.executable, "-W", "error", "-c", code] if language == "python" else ["bash", "-euc", code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


def test_the_page_of_results_says_what_the_results_files_say():
    made = runpy.run_path(str(ROOT / "benchmarks" / "results_page.py"))["page"]()
    assert (ROOT / "benchmarks" / "RESULTS.md").read_text() == made, "run python benchmarks/results_page.py"


def test_the_table_of_advice_says_what_the_results_files_say():
    made = runpy.run_path(str(ROOT / "benchmarks" / "recommend.py"))["table"]()
    table = ROOT / "src" / "pointillist" / "benchmark" / "advice.json"
    assert table.read_text() == made, "run python benchmarks/recommend.py"


def test_there_are_examples():
    assert len(WITH_EXAMPLES) >= 2


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "reference" / "metrics" / "index.html").exists()
    for name, kind in methods().items():
        page = (tmp_path / "reference" / "methods" / name / "index.html").read_text()
        assert kind.paper.replace("&", "&amp;") in page
        for setting in settings_of(kind).values():
            assert f"<code>{setting.name}</code>" in page
            assert setting.text, f"{name} does not say what {setting.name} is"


def test_the_readme_names_every_method():
    readme = (ROOT / "README.md").read_text()
    assert [name for name in methods() if f"`{name}`" not in readme] == []


def test_the_generator_page_names_every_generator():
    from pointillist.data.simulate import GENERATORS

    page = (ROOT / "docs" / "reference" / "generators.md").read_text()
    for name, generator in GENERATORS.items():
        assert f"| `{generator.annotation}` | `{name}` |" in page


def test_the_metrics_page_names_every_metric():
    from pointillist.evaluate.protocol import DEFINITIONS

    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    for name in DEFINITIONS:
        assert f"`{name}`" in page


def test_the_page_of_repairs_names_every_rule():
    page = (ROOT / "docs" / "reference" / "repairs.md").read_text()
    readers = (ROOT / "src" / "pointillist" / "data").glob("*.py")
    importers = (ROOT / "src" / "pointillist" / "data" / "importers").glob("*.py")
    rules = {
        rule for path in (*readers, *importers) for rule in re.findall(r'"([a-z]+(?:-[a-z]+)*): ', path.read_text())
    }
    assert len(rules) > 15
    assert [rule for rule in sorted(rules) if f"`{rule}`" not in page] == []
