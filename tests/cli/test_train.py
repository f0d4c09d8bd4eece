"""``pointillist train`` from the command line: how long, from where, and going on."""

import json

import pytest

from pointillist.cli.main import main
from pointillist.data.phantoms import make_phantoms


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_phantoms(tmp_path_factory.mktemp("train") / "D", training=2, testing=0, seed=1)


def run(*arguments):
    """The exit code; the options make steps cheap."""
    with pytest.raises(SystemExit) as ended:
        main(["train", *map(str, arguments)])
    return ended.value.code


CHEAP = ("--size", "32", "--batch", "4", "--threads", "1")


def test_a_run_is_as_long_as_its_steps_or_as_its_time(dataset, tmp_path, capsys):
    assert run(dataset, tmp_path / "run", "--iterations", 3, "--minutes", 1) == 1
    assert "not both" in capsys.readouterr().err
    assert run(dataset, tmp_path / "run", "--minutes", 0) == 1
    assert "time budget" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_training_goes_on_from_an_earlier_run_for_a_time(dataset, tmp_path, capsys):
    assert (
        run(
            dataset, tmp_path / "one", *CHEAP, "--iterations", 2, "--only-marked", "--hold-out", "--hold-out-share", 0.4
        )
        == 0
    )
    one = json.loads((tmp_path / "one" / "run.json").read_text())["plan"]
    assert (one["iterations"], one["minutes"], one["only_marked"], one["hold_out"]) == (2, None, True, True)
    assert one["hold_out_share"] == 0.4
    assert run(dataset, tmp_path / "two", *CHEAP, "--minutes", 0.01, "--init", tmp_path / "one") == 0
    two = json.loads((tmp_path / "two" / "run.json").read_text())["plan"]
    assert two["minutes"] == 0.01
    assert two["init"] == str(tmp_path / "one")
    assert run(dataset, tmp_path / "two", "--minutes", 0.01, "--init", tmp_path / "one", "--resume") == 0
    capsys.readouterr()
    assert run(dataset, tmp_path / "two", "--init", tmp_path / "other", "--resume") == 1
    assert "keeps what it was begun with" in capsys.readouterr().err


def test_without_a_word_it_is_1500_steps(dataset, tmp_path, monkeypatch):
    plans = []
    monkeypatch.setattr("pointillist.train.run.train", lambda plan, *_, **__: plans.append(plan))
    assert run(dataset, tmp_path / "run") == 0
    assert (plans[0].iterations, plans[0].minutes, plans[0].init) == (1500, None, None)
