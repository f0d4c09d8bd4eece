from __future__ import annotations

import pytest

from pointillist.benchmark.published import means, published
from pointillist.methods import methods

STILL_TO_COME = {"cvm", "contrast_map", "direct_variational"}


def test_every_figure_belongs_to_a_method_of_ours():
    assert {one.registry.partition(":")[0] for one in published()} <= set(methods()) | STILL_TO_COME


def test_fractions_are_fractions_and_distances_are_not_negative():
    for one in published():
        assert 0 <= one.value <= (float("inf") if one.metric == "HD95" else 1), one


@pytest.mark.parametrize("table", ["PSCV, table 2", "PCLMix, table 1", "AttenScribble, table 1"])
def test_means_are_those_of_the_classes(table):
    paper, number = table.split(", table ")
    for name, value in means("ACDC", "DSC")[table].items():
        of_classes = [
            one.value
            for one in published()
            if (one.source, one.table, one.dataset, one.metric, one.registry) == (paper, number, "ACDC", "DSC", name)
            and one.target != "avg"
        ]
        assert len(of_classes) == 3
        assert value == pytest.approx(sum(of_classes) / 3, abs=0.011), name  # AttenScribble prints two digits


def test_ablations_are_left_out_unless_asked_for():
    assert set(means("ACDC", "DSC")) == {"PSCV, table 2", "PCLMix, table 1", "AttenScribble, table 1"}
    assert "PCLMix, table 2" in means("ACDC", "DSC", roles=("ablation",))
    assert means("ACDC", "DSC")["PSCV, table 2"]["pscv"] == 0.841
