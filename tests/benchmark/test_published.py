from __future__ import annotations

import pytest

from pointillist.benchmark.published import published, table_of
from pointillist.evaluate.protocol import DEFINITIONS
from pointillist.methods import methods


def test_every_figure_belongs_to_a_method_and_a_metric_of_ours():
    assert {one.method.partition(":")[0] for one in published()} <= set(methods())
    assert {one.metric for one in published()} <= {*DEFINITIONS, "auc"}


def test_fractions_are_fractions_and_distances_are_not_negative():
    for one in published():
        assert 0 <= one.value <= (float("inf") if one.metric == "hd95_pooled" else 1), one
        assert (one.unit == "1") == (one.metric != "hd95_pooled")


@pytest.mark.parametrize("place", ["PSCV, table 2, ACDC", "PCLMix, table 1, ACDC", "AttenScribble, table 1, ACDC"])
def test_means_are_those_of_the_classes(place):
    by_class = [table_of(place, cls=cls) for cls in ("RV", "Myo", "LV")]
    for name, value in table_of(place).items():
        mean = sum(figures[name] for figures in by_class) / 3
        assert value == pytest.approx(mean, abs=0.011), name  # AttenScribble prints two digits


def test_ablations_are_left_out_unless_asked_for():
    place = "PCLMix, table 2, ACDC"
    assert table_of(place) == {}
    assert set(table_of(place, roles=["ablation"])) >= {"pclmix:#1 sup"}
    assert table_of("PSCV, table 2, ACDC")["pscv"] == 0.841
    assert table_of("PSCV, table 1, Synapse", "hd95_pooled", "voxel")["pscv"] == 37.38
