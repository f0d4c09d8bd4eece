"""Pictures of held-out cases."""

import shutil

import pytest

from pointillist.benchmark.comparison import read_suites
from pointillist.benchmark.panels import panels
from pointillist.benchmark.results import read_result
from pointillist.benchmark.runner import run_jobs
from tests.benchmark.suites import MACHINE, small_jobs


@pytest.mark.slow
def test_a_case_is_shown_from_the_fold_that_held_it_out(tmp_path, acdc_folder):
    jobs = small_jobs(tmp_path, dataset={"importer": "acdc", "source": "acdc"}, folds=[1, 2], iterations=1)
    assert run_jobs(jobs, tmp_path, MACHINE).done == tuple(jobs)
    out = tmp_path / "out"
    names = ["image", "marks", "truth", "pce"]
    assert [shown(case) for case in panels(out, "small", read_suites(out)["small"], "plain")] == [names] * 2
    held_out = {row[0] for job in jobs for row in read_result(job.result)["readings"]["plain"]["cases"]["rows"]}
    assert len({case.partition("_")[0] for case in held_out}) == 2
    for job in jobs:  # as results that were taken from a record
        shutil.rmtree(job.folder / "predictions")
    assert [shown(case) for case in panels(out, "small", read_suites(out)["small"], "plain")] == [
        ["image", "marks", "truth"]
    ] * 2
    shutil.rmtree(out / "runs")
    assert panels(out, "small", read_suites(out)["small"], "plain") == []


def shown(case):
    return [name for name, *_ in case.pictures]
