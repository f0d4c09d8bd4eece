"""The papers' rows and ours, row by row."""

import csv
import io

import pytest

from pointillist.benchmark.beside import beside
from pointillist.benchmark.comparison import Entrant
from pointillist.benchmark.long_table import long_table
from pointillist.benchmark.paper_rows import paper_row, standing_for
from pointillist.benchmark.published import published
from pointillist.benchmark.suite import load_suite
from pointillist.methods import methods
from pointillist.methods._settings import settings_of

NUCLEI = "S2L-MCR, table 1, DSB-BF"


def settings(method, **changes):
    return {name: one.default for name, one in settings_of(methods()[method]).items()} | changes


def entrant(
    method, values, *, pooled=(), suite="acdc-quick", fold=1, label=None, size=64, batch=12, net="unet", **changes
):
    """A method with one run; ``values``: mean by class, metric and unit; ``pooled``: value by class and metric."""
    reading = {
        "summary": [
            {"class": cls, "metric": metric, "unit": unit, "mean": mean, "std": 0.0, "low": mean, "high": mean, "n": 1}
            for (cls, metric, unit), mean in values.items()
        ],
        "pooled": [{"class": cls, "metric": metric, "value": value} for (cls, metric), value in dict(pooled).items()],
    }
    result = {
        "suite": suite, "method": method, "settings": changes, "all_settings": settings(method, **changes),
        "fold": fold, "seed": 1, "readings": {"plain": reading},
        "data": {"name": "D", "training_cases": 3, "evaluated_cases": 2, "source": {}},
        "training": {"net": net, "size": size, "batch": batch, "iterations": 5, "select": "last"},
    }  # fmt: skip
    return Entrant(
        label or f"{method}{changes or ''}", " ".join([method, *(f"{k}={v}" for k, v in changes.items())]), (result,)
    )


def row(method, *, size=256, batch=12, place=None, **changes):
    return paper_row(entrant(method, {}, size=size, batch=batch, **changes).results[0], place)


def test_every_variant_of_the_papers_is_a_row_that_settings_make():
    variants = {one.method for one in published() if ":" in one.method} - {"cvm:eta=0.6"}  # as it is by default
    made = {
        row("attenscribble", lambda_atn=0),
        row("pclmix", lambda_ctr=0, lambda_con=0),
        row("pclmix", lambda_con=0),
        row("pclmix", lambda_ctr=0, lambda_mix=0),
        row("pclmix", lambda_ctr=0),
        row("pclmix", lambda_mix=0),
        row("pclmix", supervise_t=False),
        row("s2l_contrast", scales="R1x1"),
        row("s2l_contrast", scales="R4x4"),
        row("cvm", eta=0),
    }
    assert made == variants


def test_constants_of_a_table_are_those_of_its_row_there_alone():
    synapse, acdc, cells = "PSCV, table 1, Synapse", "PSCV, table 2, ACDC", "S2L-MCR, table 1, MoNuSeg"
    assert row("pscv", place=synapse, lambda_cv=0.3) == row("pscv", place=synapse) == "pscv"
    assert row("pscv", place=acdc, lambda_cv=0.3) is row("pscv", lambda_cv=0.3) is None
    assert row("full", place=acdc, loss="ce") == "full"
    weak, strong = (entrant("pscv", {}, **one) for one in ({}, {"lambda_cv": 0.3}))
    assert standing_for([weak, strong], synapse) == standing_for([strong, weak], synapse) == {"pscv": strong}
    assert standing_for([weak, strong], acdc) == standing_for([weak, strong]) == {"pscv": weak}
    found = [row(one.name, place=cells, **one.settings) for one in load_suite("s2l-table1-monuseg").methods]
    assert found == ["scribble2label", "s2l_contrast:R1x1", "s2l_contrast:R4x4", "s2l_contrast", "full"]


def test_settings_of_our_own_are_no_row_of_a_paper_but_when_a_term_begins_is_no_other_method():
    assert row("mumford_shah", lambda_ms=4e-6) is None
    assert row("cvm", background=True) is None
    assert row("gated_crf", start=0.0) == "gated_crf"
    assert paper_row({"method": "a method of old", "all_settings": {}}) is None


def test_a_sum_over_fewer_pixels_that_weighs_as_much_is_the_papers_row_and_stands_for_it():
    small = {"size": 128, "batch": 12}
    assert row("mumford_shah", lambda_ms=4e-6, **small) == row("mumford_shah", **small) == "mumford_shah"
    assert row("mumford_shah", lambda_ms=2e-6, **small) is None
    assert row("mumford_shah", lambda_ms=8e-6, size=128, batch=6) == "mumford_shah"
    assert row("mumford_shah", lambda_ms=7.1e-6, size=96) == "mumford_shah"  # 7.11, rounded
    bare, scaled = (entrant("mumford_shah", {}, **small, **one) for one in ({}, {"lambda_ms": 4e-6}))
    assert standing_for([bare, scaled]) == standing_for([scaled, bare]) == {"mumford_shah": scaled}
    assert standing_for([bare]) == {"mumford_shah": bare}


def test_default_settings_stand_for_a_method_whatever_their_results():
    dice = {("all classes", "dsc", "1"): 0.5}
    best = {("all classes", "dsc", "1"): 0.9}
    of_source, ours = entrant("attenscribble", best, start=0.0), entrant("attenscribble", dice)
    assert standing_for([of_source, ours]) == {"attenscribble": ours}
    assert standing_for([of_source]) == {"attenscribble": of_source}


def test_of_rows_that_differ_in_more_than_settings_the_plain_one_stands():
    best = entrant("pclmix", {("all classes", "dsc", "1"): 0.9}, label="pclmix-12345678")  # another network
    plain = entrant("pclmix", {("all classes", "dsc", "1"): 0.5})
    assert standing_for([best, plain]) == standing_for([plain, best]) == {"pclmix": plain}


def test_the_network_of_a_table_stands_before_another():
    small, published = entrant("pclmix", {}), entrant("pclmix", {}, net="resnet50_unet", label="pclmix-12345678")
    place = "PCLMix, table 1, ACDC"
    assert standing_for([small, published], place) == {"pclmix": published}
    assert standing_for([small, published]) == standing_for([small], place) == {"pclmix": small}


def test_methods_on_unlike_folds_name_them_and_make_no_order():
    place, names = "PCLMix, table 1, ACDC", ("pce", "dmpls", "trimix", "full")
    of_folds = [entrant(name, {("all classes", "dsc", "1"): 0.1 * n}, fold=n) for n, name in enumerate(names, 1)]
    (unlike,) = beside(place, of_folds, "plain").tables
    assert unlike.rho is None
    assert {title for title, _ in unlike.rows} == {f"{name}, folds {n}" for n, name in enumerate(names, 1)}
    same = [entrant(name, {("all classes", "dsc", "1"): 0.1 * n}) for n, name in enumerate(names, 1)]
    assert beside(place, same, "plain").tables[0].rho is not None


def test_variants_stand_beside_their_own_figures():
    mdice, iou = ("objects", "mdice_published", "1"), ("objects", "iou", "1")
    entrants = [
        entrant("s2l_contrast", {mdice: value, iou: 0.5}, scales=scales, refresh=2)
        for scales, value in (("R4x4", 0.9), ("both", 0.8), ("R1x1", 0.7))
    ]
    found = beside(NUCLEI, entrants, "plain")
    theirs = {(one.method, one.metric): one.value for one in published() if one.place == NUCLEI}
    (table,) = (one for one in found.tables if one.what == "mdice_published")
    cells = {title: line[0] for title, line in table.rows}
    for title, row, ours in (
        ("s2l_contrast scales=R1x1 refresh=2 (R1x1)", "s2l_contrast:R1x1", 0.7),
        ("s2l_contrast scales=R4x4 refresh=2 (R4x4)", "s2l_contrast:R4x4", 0.9),
        ("s2l_contrast scales=both refresh=2", "s2l_contrast", 0.8),
    ):
        value = theirs[row, "mdice_published"]
        assert cells[title] == f"{value:.3f} · {ours:.3f} · {ours - value:+.3f}"
    assert {one.what for one in found.tables} == {"mdice_published", "iou"}


def test_distances_are_compared_in_the_papers_unit():
    values = {("all classes", "dsc", "1"): 0.5, ("all classes", "hd95_pooled", "mm"): 10.0, ("RV", "dsc", "1"): 0.4}
    found = beside("PCLMix, table 1, ACDC", [entrant("pce", values)], "plain")
    dice, distance = found.tables
    assert (dice.what, dice.classes) == ("dsc", ("RV", "all classes"))
    assert (distance.what, distance.classes) == ("hd95_pooled, mm", ("all classes",))
    (theirs,) = (
        x.value for x in published()
        if (x.place, x.method, x.cls, x.metric) == ("PCLMix, table 1, ACDC", "pce", "all classes", "hd95_pooled")
    )  # fmt: skip
    assert distance.rows == (("pce", (f"{theirs:.1f} · 10.0 · {10 - theirs:+.1f}",)),)


def test_tissue_is_compared_by_what_is_pooled_over_a_fold():
    one = entrant("pce", {("gland", "dsc", "1"): 0.2}, pooled={("gland", "pooled_dsc"): 0.663}, suite="glas-quick")
    found = beside("CVM, table 1, Camelyon16", [one], "plain")
    assert found.tables[0].rows == (("pce", ("0.563 · 0.663 · +0.100",)),)
    rows = list(csv.DictReader(io.StringIO(long_table({"glas-quick": [one]}))))
    assert [(row["metric"], row["published"]) for row in rows] == [("dsc", ""), ("pooled_dsc", "0.563")]
    assert float(rows[1]["difference"]) == pytest.approx(0.1)


def test_the_long_table_gives_ablations_their_own_figures():
    dice = {("all classes", "dsc", "1"): 0.5}
    entrants = [entrant("pclmix", dice), entrant("pclmix", dice, lambda_con=0)]
    text = long_table({"pclmix-ablation": entrants})
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["published"]]
    figures = {
        place: {
            one.method: one.value
            for one in published()
            if one.place == place and one.cls == "all classes" and one.metric == "dsc"
        }
        for place in ("PCLMix, table 1, ACDC", "PCLMix, table 2, ACDC")
    }
    assert {(row["settings"], row["paper"], float(row["published"])) for row in rows} == {
        ("{}", "PCLMix, table 1, ACDC", figures["PCLMix, table 1, ACDC"]["pclmix"]),
        ('{"lambda_con": 0}', "PCLMix, table 2, ACDC", figures["PCLMix, table 2, ACDC"]["pclmix:#2 sup+ctr"]),
    }
