import json
import subprocess
import sys
from pathlib import Path

import pytest

import pointillist
from pointillist.cli.main import main

PROGRAM = Path(sys.executable).parent / "pointillist"


def run(*arguments, code=0):
    """Run the command line in this process; the exit code must be the expected one."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert (stopped.value.code or 0) == code


def test_the_version():
    out = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    assert out == f"pointillist {pointillist.__version__}\n"


def test_the_module_is_the_program():
    out = subprocess.run([sys.executable, "-m", "pointillist", "--version"], capture_output=True, text=True).stdout
    assert out == f"pointillist {pointillist.__version__}\n"


IMPORTS = [f"import {kind}" for kind in ("acdc", "dsb2018", "chaos", "btcv", "mscmr", "folder")]


@pytest.mark.parametrize("command", [*IMPORTS, "simulate", "check", "evaluate", "marks import", "marks export"])
def test_every_command_explains_itself_with_an_example(capsys, command):
    run(*command.split(), "--help")
    out = capsys.readouterr().out
    assert "Example: pointillist" in " ".join(out.replace("│", " ").split())


def test_wrong_usage_exits_with_2(capsys):
    run("import", "acdc", code=2)
    run("simulate", "a", "b", "--annotation", "telepathy", code=2)
    run("frobnicate", code=2)


def test_from_a_folder_of_images_to_checked_points(acdc_folder, tmp_path, capsys):
    dataset, points = tmp_path / "Dataset027_ACDC", tmp_path / "Dataset028_Points"
    run("import", "acdc", acdc_folder, dataset)
    out = capsys.readouterr().out
    assert "6 training cases (6 with marks), 2 held-out cases, 5 folds" in out
    assert "unit-columns: 22 files" in out
    run("simulate", dataset, points, "--annotation", "points", "--seed", "3")
    assert "strokes on 6 cases (random_point, seed 3)" in capsys.readouterr().out
    run("check", points)
    assert "6 training cases read, 6 with marks" in capsys.readouterr().out
    page = (points / "check.html").read_text()
    assert page.count("<img") == 8
    assert "not a medical device" in page
    assert "http" not in page.replace("http-equiv", "")


def test_json_everywhere(acdc_folder, dsb_zip, tmp_path, capsys):
    run("import", "acdc", acdc_folder, tmp_path / "A", "--json")
    assert json.loads(capsys.readouterr().out)["training"] == 6
    run("import", "dsb2018", dsb_zip, tmp_path / "D", "--subset", "BF", "--json")
    assert json.loads(capsys.readouterr().out)["training"] == 4
    run("simulate", tmp_path / "A", tmp_path / "S", "--annotation", "pairs", "--count", "2", "--json")
    assert json.loads(capsys.readouterr().out)["generator"] == "in_out_pairs"
    run("check", tmp_path / "S", "--json", "--out", tmp_path / "page.html")
    content = json.loads(capsys.readouterr().out)
    assert content["ok"]
    assert content["health"]["patient001_frame01"]["slices"] == 4
    assert (tmp_path / "page.html").exists()


def test_hdf5_slices_are_recognised(tmp_path, capsys):
    import h5py
    import numpy as np

    (tmp_path / "h5").mkdir()
    with h5py.File(tmp_path / "h5" / "patient001_frame01_slice_1.h5", "w") as file:
        file["image"] = np.zeros((8, 9))
    run("import", "acdc", tmp_path / "h5", tmp_path / "A")
    assert "no spacing" in capsys.readouterr().out


def test_acdc_in_two_forms_is_refused(acdc_folder, tmp_path, capsys):
    (acdc_folder / "patient001_frame01_slice_1.h5").write_bytes(b"")
    run("import", "acdc", acdc_folder, tmp_path / "A", code=1)
    assert "holds ACDC twice" in capsys.readouterr().err


def test_a_plain_folder(tmp_path, capsys):
    from tests.conftest import nuclei, png

    (tmp_path / "mine" / "images").mkdir(parents=True)
    (tmp_path / "mine" / "labels").mkdir()
    for index in range(3):
        image, masks = nuclei(index)
        (tmp_path / "mine" / "images" / f"{index}.png").write_bytes(png(image))
        (tmp_path / "mine" / "labels" / f"{index}.png").write_bytes(png(masks[0].astype("uint8") * 255))
    run(
        *("import", "folder", tmp_path / "mine", tmp_path / "M"),
        *("--classes", "0=background,255=nucleus", "--folds", "3", "--group", r"\d"),
    )
    assert "3 training cases (0 with marks), 0 held-out cases, 3 folds" in capsys.readouterr().out


def test_a_failure_is_one_message_and_exit_code_1(tmp_path, capsys):
    run("import", "acdc", tmp_path / "nowhere", tmp_path / "A", code=1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: there is nothing to import\n  where:      ")
    assert "what to do:" in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "A").exists()


def test_a_generator_of_another_kind_is_named(acdc_folder, tmp_path, capsys):
    run("import", "acdc", acdc_folder, tmp_path / "A")
    run("simulate", tmp_path / "A", tmp_path / "B", "--annotation", "points", "--generator", "word", code=1)
    assert "generator word does not draw points" in capsys.readouterr().err


def test_check_exits_with_1_when_something_must_be_mended(acdc_folder, tmp_path, capsys):
    run("import", "acdc", acdc_folder, tmp_path / "A")
    (tmp_path / "A" / "imagesTr" / "patient001_frame01_0000.nii.gz").write_bytes(b"")
    run("check", tmp_path / "A", code=1)
    assert "error: damagedfile (1)" in capsys.readouterr().out
    assert "must be mended" in (tmp_path / "A" / "check.html").read_text()


def test_a_folder_that_cannot_be_written_is_a_message(acdc_folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    run("import", "acdc", acdc_folder, tmp_path / "file" / "A", code=1)
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert str(tmp_path / "file") in err


def test_a_reader_that_goes_away_is_no_traceback(acdc_folder, tmp_path):
    command = f"{PROGRAM} import --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
