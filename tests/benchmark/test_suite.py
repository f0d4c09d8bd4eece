import pytest

from pointillist.benchmark import estimate
from pointillist.benchmark.jobs import jobs_of
from pointillist.benchmark.published import published
from pointillist.benchmark.suite import load_suite, shipped
from pointillist.cli.benchmark import benchmark
from pointillist.data.augment.recipes import augmentation_named
from pointillist.errors import InputError
from pointillist.methods import build_method
from pointillist.nets.registry import build_net
from tests.benchmark.suites import MACHINE, SMALL, suite_file


@pytest.mark.parametrize("name", list(shipped()))
def test_every_shipped_suite_is_sound(name):
    suite = load_suite(name)
    assert suite.name == name
    assert len(suite.protocol) > 40


def test_the_tracks_of_the_design_are_shipped():
    assert {"acdc-quick", "acdc-points-quick", "acdc-paper", "dsb-bf-quick", "dsb-fluo-quick", "smoke"} <= set(
        shipped()
    )
    quick, points = load_suite("acdc-quick"), load_suite("acdc-points-quick")
    assert (quick.size, quick.batch, quick.iterations, quick.folds, quick.seeds) == (128, 12, 1500, (1,), (1, 2, 3))
    assert [entry.settings for entry in points.methods if entry.name == "gated_crf"] == [{"start": 0.0}, {"start": 0.3}]
    for name, fold in (("chaos-quick", 2), ("btcv-quick", 1)):
        abdomen = load_suite(name)
        assert (abdomen.size, abdomen.batch, abdomen.iterations, abdomen.folds) == (128, 6, 2000, (fold,))
        turns = augmentation_named(abdomen.augmentation)
        assert (turns.turn, turns.flip, turns.rotate, turns.degrees) == (0, 0, 0.25, 20)  # kidneys have sides
        assert "other cases" in abdomen.protocol
    paper = load_suite("acdc-paper")
    assert (paper.size, paper.iterations, len(paper.places)) == (256, 60000, 5)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"epochs": 3}, "field epochs"),
        ({"iterations": 0}, "field iterations"),
        ({"iterations": None}, "field iterations"),
        ({"methods": []}, "field methods"),
        ({"methods": ["pcee"]}, "field methods.0"),
        ({"methods": ["pce", {"name": "gated_crf", "settings": {"wieght": 1}}]}, "field methods.1"),
        ({"methods": [{"name": "gated_crf", "settings": {"weight": -1}}]}, "field methods.0, weight"),
        ({"methods": [{"name": "s2l_contrast", "settings": {"scales": "R9"}}]}, "field methods.0, scales"),
        ({"methods": [{"name": "pce", "count": 2}]}, "field methods.0.count"),  # the phantoms' own marks
        ({"methods": [{"name": "pce", "setting": {}}]}, "field methods.0.setting"),
        ({"methods": [{"name": "pce", "tuned": {"start": "fold 5"}}]}, "field methods.0.tuned"),
        ({"methods": ["pce", "pce"]}, "field methods"),
        ({"methods": [{"name": "pce", "recipe": {"optimizer": "lion"}}]}, "field methods.0.recipe.optimizer"),
        ({"folds": [0]}, "field folds"),
        ({"folds": []}, "field folds"),
        ({"seeds": [1, 1]}, "seeds repeat"),
        ({"net": "resnet9000"}, "field net"),
        ({"methods": [{"name": "pce", "net": "resnet9000"}]}, "field methods.0.net"),
        ({"augmentation": "mixup"}, "field augmentation"),
        ({"normalisation": "zscore"}, "field normalisation"),
        ({"name": "../up"}, "field name"),
        ({"methods": [{"name": "pce", "count": 0}]}, "field methods.0.count"),
        ({"dataset": {"importer": "imagenet", "source": "x"}}, "field dataset"),
        ({"dataset": {"importer": "acdc"}}, "field dataset.acdc.source"),
        ({"dataset": {"importer": "acdc", "source": "x", "marks": {"generator": "telepathy"}}}, "dataset.marks"),
    ],
)
def test_what_cannot_be_is_named_before_anything_runs(tmp_path, changes, field):
    with pytest.raises(InputError) as raised:
        load_suite(str(suite_file(tmp_path, **changes)))
    assert field in str(raised.value)


def test_the_sweeps_of_cvm_are_those_of_its_figure_3():
    points, eta = load_suite("cvm-points"), load_suite("cvm-eta")
    pairs = [(entry.settings.get("hard", False), entry.count) for entry in points.methods if entry.name == "cvm"]
    assert sorted(pairs) == [(hard, count) for hard in (False, True) for count in range(1, 6)]
    assert [entry.settings["eta"] for entry in eta.methods if entry.settings] == [0, 0.2, 0.4, 0.6, 0.8]
    quick = load_suite("glas-quick")
    same = ("dataset", "iterations", "batch", "recipe", "augmentation", "grid", "validate_every", "regions")
    assert all(getattr(one, name) == getattr(quick, name) for one in (points, eta) for name in same)


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "\xff"])
def test_a_file_of_another_kind_is_named(tmp_path, text):
    (tmp_path / "s.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"s\.yaml"):
        load_suite(str(tmp_path / "s.yaml"))


@pytest.mark.parametrize(
    ("name", "todo"), [("acdc-quik", "did you mean 'acdc-quick'?"), ("nowhere.yaml", "choose one of these")]
)
def test_an_unknown_suite_is_named(name, todo):
    with pytest.raises(InputError, match="no such suite") as raised:
        load_suite(name)
    assert raised.value.todo == todo


def test_what_an_entry_changes_gives_it_a_place_of_its_own(tmp_path):
    entries = ["gated_crf", *({"name": "gated_crf", "settings": {"start": start}} for start in (0.0, 0.3))]
    slower = {"name": "gated_crf", "recipe": {"lr": 0.001}}
    jobs = jobs_of(load_suite(str(suite_file(tmp_path, methods=[*entries, slower]))), tmp_path)
    assert len({job.folder for job in jobs}) == 4
    assert jobs[0].folder == tmp_path / "runs" / "small" / "gated_crf" / "test-seed1"
    assert jobs[2].title == "gated_crf start=0.3, test, seed1"
    assert [job.recipe.lr for job in jobs] == [0.01, 0.01, 0.01, 0.001]


def test_an_entry_may_hold_out_another_share(tmp_path):
    methods = ["pce", {"name": "pce", "hold_out_share": 0.3}]
    suite, own = jobs_of(load_suite(str(suite_file(tmp_path, methods=methods, hold_out_share=0.2))), tmp_path)
    assert [job.plan(tmp_path, MACHINE).hold_out_share for job in (suite, own)] == [0.2, 0.3]
    assert suite.fingerprint != own.fingerprint
    assert own.title == "pce hold_out_share=0.3, test, seed1"


@pytest.mark.parametrize("entry", [{"tuned": {"start": "a look"}, "tuned_folds": [11]}, {"tuned_folds": [1]}])
def test_folds_that_were_looked_at_are_of_the_suite_and_of_a_tuned_entry(tmp_path, entry):
    with pytest.raises(InputError, match="names something that there is not") as raised:
        load_suite(str(suite_file(tmp_path, methods=[{"name": "gated_crf", **entry}], folds=[1])))
    assert raised.value.where.endswith("tuned_folds")


def test_an_entry_may_have_a_network_of_its_own(tmp_path):
    methods = ["pce", {"name": "pce", "net": "resnet50_unet"}]
    plain, deep = jobs_of(load_suite(str(suite_file(tmp_path, methods=methods))), tmp_path)
    assert (plain.net, deep.net) == ("unet", "resnet50_unet")
    assert deep.plan(tmp_path, MACHINE).net == "resnet50_unet"
    assert deep.title == "pce net=resnet50_unet, test, seed1"
    assert plain.folder != deep.folder
    assert plain.fingerprint != deep.fingerprint


def test_an_entry_may_be_selected_by_a_rule_of_its_own(tmp_path):
    methods = ["pce", {"name": "full", "select": "last"}]
    marks, last = jobs_of(load_suite(str(suite_file(tmp_path, methods=methods, select="marks"))), tmp_path)
    assert [job.plan(tmp_path, MACHINE).select for job in (marks, last)] == ["marks", "last"]
    alone = jobs_of(load_suite(str(suite_file(tmp_path, methods=["pce", "full"], select="marks"))), tmp_path)[1]
    assert alone.fingerprint != last.fingerprint


def test_the_papers_tables_are_shipped_with_their_budgets():
    budgets = {
        "pscv-table1": 100_000, "pscv-table2": 60_000, "pscv-table3": 100_000, "attenscribble-table1": 60_000,
        "attenscribble-table2": 60_000, "pclmix-table1": 60_000, "pclmix-table2": 60_000, "cvm-table1": 1_950,
        "s2l-table1": 10_000, "s2l-table1-fluo": 70_000, "s2l-table1-monuseg": 10_000,
    }  # fmt: skip
    for name, iterations in budgets.items():
        suite = load_suite(name)
        assert suite.iterations == iterations, name
        rows = {one.method.partition(":")[0] for one in published() if one.place == suite.published[0]}
        assert rows <= {entry.name for entry in suite.methods}, name


TABLES = [name for name in shipped() if "-table" in name]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_dry_run(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(estimate, "_seconds_a_step", lambda *_: 0.36)  # a step of 256² takes seconds here
    benchmark(name, tmp_path, dry_run=True, threads=1, device="cpu", precision="32-true")
    suite, lines = load_suite(name), capsys.readouterr().out.splitlines()
    runs = len(suite.methods) * len(suite.places)
    assert [line.split()[0] for line in lines[:runs]] == ["to"] * runs  # to do
    assert lines[runs] == f"{runs} runs, {runs * suite.iterations / 10_000:.2f} h left"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", TABLES)
def test_no_method_of_a_table_needs_larger_batches(name):
    suite = load_suite(name)
    spec = suite.dataset.spec
    for entry in suite.methods:
        net = build_net("unet", len(spec.channels), len(spec.classes))
        assert build_method(entry.name, net, spec, entry.settings).needs.min_batch <= suite.batch, entry.name


def test_a_trial_is_kept_apart(tmp_path):
    suite = load_suite(str(suite_file(tmp_path)))
    whole, trial = (jobs_of(one, tmp_path)[0] for one in (suite, suite.shortened(3)))
    assert (whole.plan(tmp_path, MACHINE).iterations, trial.plan(tmp_path, MACHINE).iterations) == (10, 3)
    assert trial.result.is_relative_to(tmp_path / "results" / "small-3")
    assert whole.fingerprint != trial.fingerprint


def test_the_recipe_of_the_suite_comes_before_that_of_the_entry(tmp_path):
    methods = ["pce", {"name": "dmpls", "recipe": {"lr": 0.03}}]
    path = suite_file(tmp_path, methods=methods, recipe={"lr": 0.02, "schedule": "constant"}, batch=None)
    first, second = jobs_of(load_suite(str(path)), tmp_path)
    assert (first.recipe.lr, first.recipe.schedule, second.recipe.lr) == (0.02, "constant", 0.03)
    assert second.recipe.schedule == "constant"
    assert first.batch == 12


def test_restrictions(tmp_path):
    changes = {
        "methods": ["pce", "full", {"name": "full", "settings": {"loss": "ce"}}],
        "folds": [1, 5],
        "seeds": [3, 4],
    }
    suite = load_suite(str(suite_file(tmp_path, **changes)))
    assert len(jobs_of(suite, tmp_path)) == 12
    assert [job.seed for job in jobs_of(suite, tmp_path)] == [3] * 6 + [4] * 6
    chosen = jobs_of(suite, tmp_path, methods=["full"], folds=[5], seeds=[4])
    assert [(job.title, job.fold, job.seed) for job in chosen] == [("full, fold5, seed4", 5, 4)]
    for restriction in ({"methods": ["dmpls"]}, {"folds": [2]}, {"seeds": [1]}):
        with pytest.raises(InputError, match=f"no such {next(iter(restriction))}"):
            jobs_of(suite, tmp_path, **restriction)


@pytest.mark.parametrize(
    ("word", "titles"),
    [
        ("pce", ["pce"]),
        ("full", ["full"]),
        ("full*", ["full", "full loss=ce"]),
        ("full ?*", ["full loss=ce"]),
        ("full loss=ce", ["full loss=ce"]),
        ("gated_crf", ["gated_crf start=0.0", "gated_crf start=0.3"]),  # no row goes by the bare name
        ("*", ["pce", "full", "full loss=ce", "gated_crf start=0.0", "gated_crf start=0.3"]),
    ],
)
def test_rows_are_asked_for_by_title_pattern_or_name(tmp_path, word, titles):
    crf = ({"name": "gated_crf", "settings": {"start": start}} for start in (0.0, 0.3))
    methods = ["pce", "full", {"name": "full", "settings": {"loss": "ce"}}, *crf]
    suite = load_suite(str(suite_file(tmp_path, methods=methods)))
    chosen = jobs_of(suite, tmp_path, methods=[word], folds=[suite.places[0]], seeds=[suite.seeds[0]])
    assert [job.entry.title for job in chosen] == titles


def test_the_fingerprint_holds_what_decides_the_result(tmp_path):
    def fingerprint(**changes):
        return jobs_of(load_suite(str(suite_file(tmp_path, **changes))), tmp_path)[0].fingerprint

    same = fingerprint()
    for harmless in ({"protocol": "said otherwise"}, {"checkpoint_every": 7}, {"name": "other"}, {"seeds": [1, 2]}):
        assert fingerprint(**harmless) == same
    phantoms = SMALL["dataset"]
    for change in ({"iterations": 11}, {"size": 48}, {"seeds": [2]}, {"recipe": {"lr": 1}}, {"instances": True}):
        assert fingerprint(**change) != same
    assert fingerprint(border=0.1) != same
    assert fingerprint(validate_every=7) != same
    (job,) = jobs_of(load_suite(str(suite_file(tmp_path, validate_every=7, methods=["pce"], seeds=[1]))), tmp_path)[:1]
    assert job.plan(tmp_path, MACHINE).validate_every == 7
    assert fingerprint(hold_out_share=0.2) != same
    assert fingerprint(dataset=phantoms | {"seed": 9}) != same
    assert fingerprint(dataset=phantoms | {"marks": {"generator": "word"}}) != same
