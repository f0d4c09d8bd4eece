"""``--published-rules``: a benchmark as a public code would score it."""

from __future__ import annotations

import pytest

from pointillist.benchmark.comparison import read_suites
from pointillist.benchmark.results import read_result, write_result
from pointillist.benchmark.under_rule import described, methods_under_rule
from pointillist.cli.benchmark import benchmark
from pointillist.cli.report import report
from pointillist.errors import InputError
from tests.benchmark.suites import suite_file

OPTIONS = {"threads": 1, "precision": "32-true", "device": "cpu"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A benchmark whose run kept two models, of which the first is made to look best."""
    folder = tmp_path_factory.mktemp("made")
    benchmark(str(suite_file(folder, keep=2, iterations=4)), folder / "out", **OPTIONS)
    (file,) = (folder / "out" / "results").rglob("*.json")
    result = read_result(file)
    for one, dice in zip(result["kept"], (0.9, 0.1), strict=True):
        one["summary"] = [line | {"mean": dice} for line in one["summary"] if line["metric"] == "dsc"]
    write_result(file, result)
    return folder


def test_the_codes_choice_of_weights_is_scored(made):
    out = made / "out"
    entrants = read_suites(out)["small"]
    (last,) = methods_under_rule(out, "small", entrants, "transunet")
    (best,) = methods_under_rule(out, "small", entrants, "pclmix")
    assert (last.weights, best.weights) == ("last", "best on test")
    ours = entrants[0].mean("plain", "all classes", "dsc", "1")
    assert last.dsc[0] == best.dsc[0] == pytest.approx(ours, abs=1e-5)
    assert (last.unit, best.unit) == (("mm", "voxel"), ("mm", "mm"))


def test_without_the_kept_predictions_it_is_the_last_weights(made):
    out = made / "out"
    entrants = read_suites(out)["small"]
    kept = out / "runs" / "small" / "pce" / "test-seed1" / "predictions" / "step_00000002"
    kept.rename(kept.with_name("elsewhere"))
    try:
        (found,) = methods_under_rule(out, "small", entrants, "pclmix")
        assert found.weights == "last"
        assert described(found, "pclmix").startswith("pce: DSC 0.")
    finally:
        kept.with_name("elsewhere").rename(kept)
    assert methods_under_rule(made, "small", entrants, "pclmix") == []  # no runs there


def test_the_report_shows_both(made, capsys):
    report(made / "out", out=made / "page.html", reading="plain", published_rules="attenscribble")
    page = (made / "page.html").read_text()
    assert "As attenscribble scores" in page
    assert "best on test" in page
    report(made / "out" / "results", out=made / "page.html", reading="plain", published_rules="pscv")
    assert "no run&#39;s predictions" not in (made / "page.html").read_text()
    assert "nothing, since no run's predictions are there" in capsys.readouterr().err


def test_the_benchmark_says_it_after_the_runs(made, capsys):
    suite = str(made / "small.yaml")
    benchmark(suite, made / "out", published_rules="pclmix", **OPTIONS)
    assert "as pclmix (best on test weights)" in capsys.readouterr().out
    with pytest.raises(InputError, match="no published rule"):
        benchmark(suite, made / "out", published_rules="pclmixx", **OPTIONS)
