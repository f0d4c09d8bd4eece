import json

import pytest

from pointillist.cli.main import main


def run(*arguments, code=0):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert (stopped.value.code or 0) == code


@pytest.mark.slow
def test_the_demo_goes_from_phantoms_to_a_report(tmp_path, capsys):
    out = tmp_path / "demo"
    run("demo", out, "--iterations", 4)
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines() if "DSC" in line] == ["pce", "gated_crf", "full"]
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 3
    assert page.count("<img") == 3 * 5  # image and marks, truth, three methods
    assert "not a medical device" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    run("demo", out, code=1)
    assert "in the way" in capsys.readouterr().err

    # what the demo made is what the commands make and take
    gated = out / "runs" / "gated_crf"
    assert json.loads((gated / "run.json").read_text())["plan"]["settings"] == {}
    run("report", gated, "--predictions", out / "predictions" / "gated_crf", "--dataset", out / "Dataset001_Phantoms")
    assert (gated / "report.html").read_text().count("<img") == 3 * 3
    run("report", gated, "--predictions", out / "predictions" / "gated_crf", code=1)
    assert "both predictions and their truth" in capsys.readouterr().err
    run("report", out, code=1)
    assert "holds no run" in capsys.readouterr().err


@pytest.mark.slow
def test_train_predict_and_resume_from_the_command_line(acdc_folder, tmp_path, capsys):
    dataset, done = tmp_path / "D", tmp_path / "run"
    run("import", "acdc", acdc_folder, dataset)
    options = ("--iterations", 3, "--size", 32, "--batch", 4, "--threads", 1, "--precision", "32-true")
    run("train", dataset, done, "--method", "gated_crf", "--fold", 1, *options, "--set", "weight=0.2")
    run("predict", done, dataset, tmp_path / "P", "--fold", 1)
    assert "2 predicted" in capsys.readouterr().out
    run("evaluate", tmp_path / "P", dataset, "--json")
    assert json.loads(capsys.readouterr().out)["header"]["cases"] == 2
    run("train", dataset, done, code=1)
    assert "holds a run already" in capsys.readouterr().err
    run("train", dataset, tmp_path / "none", "--resume", code=1)
    assert "no run to resume" in capsys.readouterr().err
    run("train", dataset, done, "--resume")  # a finished run is finished again, from its last checkpoint
    run("train", dataset, done, "--resume", "--method", "pce", code=1)
    assert "keeps what it was begun with" in capsys.readouterr().err
    run("train", tmp_path, done, "--resume", code=1)
    assert "keeps what it was begun with" in capsys.readouterr().err
    run("train", dataset, tmp_path / "x", "--device", "warp", code=1)
    assert "Traceback" not in capsys.readouterr().err
    run("predict", done, dataset, tmp_path / "Q", "--fold", 2, code=1)
    assert "may have learned from the cases" in capsys.readouterr().err
    run("train", dataset, tmp_path / "x", "--method", "gated_crf", "--set", "weight", code=1)
    assert "needs a key and a value" in capsys.readouterr().err
    run("train", dataset, tmp_path / "x", "--fold", 9, code=1)
    assert "no such fold" in capsys.readouterr().err
    run("train", dataset, tmp_path / "x", "--batch", 500, *options[:4], code=1)
    assert "fewer training images than one batch" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
