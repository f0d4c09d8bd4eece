from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer import Typer
from typer.testing import CliRunner

from pointillist.cli.evaluate import evaluate
from pointillist.errors import InputError

app = Typer()
app.command()(evaluate)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def folders(tmp_path):
    """Three images of two classes; class 2 is missed in the last."""
    predictions, reference = tmp_path / "predictions", tmp_path / "reference"
    for folder in (predictions, reference):
        folder.mkdir()
    for i in range(3):
        truth = np.zeros((16, 16), np.uint8)
        truth[2:8, 2:8], truth[10:14, 10:14] = 1, 2
        found = np.roll(truth, i, axis=0)
        if i == 2:
            found[found == 2] = 0
        Image.fromarray(truth).save(reference / f"case{i}_gt.png")
        Image.fromarray(found).save(predictions / f"case{i}.png")
    Image.fromarray(truth).save(reference / "case3_gt.png")
    return predictions, reference


def test_the_table_shows_means_intervals_and_what_is_undefined(folders):
    result = run(*folders)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    overall = lines[next(i for i, line in enumerate(lines) if line.strip() == "all classes") :]
    dice = next(line.split() for line in overall if line.split()[:1] == ["dsc"])
    assert dice[0] == "dsc"
    assert float(dice[1]) == pytest.approx((np.mean([1, 5 / 6, 4 / 6]) + np.mean([1, 0.75, 0])) / 2, abs=5e-4)
    assert dice[3] == "…"
    assert dice[5:] == ["6"]
    distance = next(line.split() for line in overall if line.split()[:2] == ["hd95_pooled", "(voxel)"])
    assert distance[-2:] == ["5", "1"]
    assert "references without prediction, not evaluated: 1 (case3_gt)" in result.output


def test_one_case_shows_no_interval(folders):
    result = run(folders[0] / "case2.png", folders[1])
    rows = [line.split() for line in result.output.splitlines()]
    assert ["dsc", "0.667", "–", "1"] in rows
    assert ["hd95_max", "(voxel)", "–", "–", "0", "1"] in rows


def test_a_complete_pairing_needs_no_remark(folders):
    result = run(folders[0] / "case0.png", folders[1] / "case0_gt.png")
    assert result.output.splitlines()[0].strip() == "1 cases"
    assert "without prediction" not in result.output


def test_json_is_all_that_is_printed(folders, tmp_path):
    out = tmp_path / "results" / "metrics.json"
    result = run(*folders, "--json", "--out", out, "--seed", 3, "--nsd-tolerance", 1.5, "--unit", "voxel")
    content = json.loads(result.output)
    assert content == json.loads(out.read_text())
    assert content["header"]["bootstrap"]["seed"] == 3
    assert "nsd_1.5voxel" in content["header"]["definitions"]
    assert len(content["rows"]) == 3 * 2 * 12
    assert len(out.with_suffix(".csv").read_text().splitlines()) == len(content["rows"]) + 1
    assert {line["class"] for line in content["summary"]} == {"1", "2", "all classes"}


def test_written_files_are_named(folders, tmp_path):
    result = run(*folders, "--out", tmp_path / "metrics.json")
    assert f"written: {tmp_path / 'metrics.json'}, {tmp_path / 'metrics.csv'}" in result.output


def test_results_are_the_same_every_time(folders):
    assert run(*folders, "--json").output == run(*folders, "--json").output


def test_published_rules_add_rows(folders):
    content = json.loads(run(*folders, "--json", "--published-rules", "pclmix").output)
    values = [row["value"] for row in content["rows"] if row["metric"] == "hd95_as_pclmix" and row["class"] == "2"]
    assert values == [0, pytest.approx(1), 50]


def test_instances(folders):
    content = json.loads(run(*folders, "--json", "--instances").output)
    assert {line["metric"] for line in content["summary"]} == {"iou", "mdice_strict", "mdice_published", "aji"}


def test_notes_of_one_rule_are_told_once(folders):
    for path in sorted(folders[0].iterdir()):
        Image.open(path).convert("RGB").save(path)
    result = run(*folders)
    assert result.output.count("grey-colour") == 1
    assert "note, 3 files: grey-colour" in result.output


def test_results_go_to_json_only(folders, tmp_path):
    with pytest.raises(InputError, match="written as JSON"):
        run(*folders, "--out", tmp_path / "metrics.csv")
    assert not (tmp_path / "metrics.csv").exists()


@pytest.mark.parametrize("arguments", [("--unit", "inch"), ("--header-rule", "none"), ("--seed", "-1")])
def test_bad_usage_exits_with_2(folders, arguments):
    assert run(*folders, *arguments).exit_code == 2


def test_help_has_an_example_and_loads_nothing_heavy():
    assert "pointillist evaluate predictions/" in run("--help").output
    code = (
        "import sys, pointillist.cli.evaluate; "
        "print([m for m in ('numpy', 'scipy', 'torch', 'skimage', 'nibabel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
