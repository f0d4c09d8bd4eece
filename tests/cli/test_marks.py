"""``pointillist marks`` from end to end, as it is typed."""

import json

import pytest

from pointillist.cli.main import main
from pointillist.data.dataset import Dataset
from pointillist.types import IGNORE
from tests.conftest import nuclei, png


def run(*arguments, code=0):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert (stopped.value.code or 0) == code


@pytest.fixture
def dataset(tmp_path, capsys):
    for number in (1, 2):
        path = tmp_path / "images" / f"nuclei{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(nuclei(number)[0]))
    run("import", "folder", tmp_path / "images", tmp_path / "D", "--classes", "background,nucleus")
    capsys.readouterr()
    return tmp_path / "D"


def annotation(x, y, name="Nucleus"):
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [x, y]},
        "properties": {"objectType": "annotation", "classification": {"name": name}},
    }


def test_from_qupath_to_a_page_and_out_to_imagej(dataset, tmp_path, capsys):
    files = tmp_path / "qupath"
    files.mkdir()
    shapes = [annotation(5.5, 3.5), annotation(9.5, 3.5, "Stroma")]
    (files / "nuclei1_0000.png.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": shapes}))
    run("marks", "import", dataset, files, code=1)
    message = capsys.readouterr().err
    assert "no class of this name" in message
    assert "Stroma" in message
    assert "Traceback" not in message
    run("marks", "import", dataset, files, "--class-map", "stroma=background")
    out = capsys.readouterr().out
    assert "2 points, 0 lines, 0 areas and 0 label images from 1 files on 1 cases" in out
    page = dataset / "marks.html"
    assert str(page) in out
    assert page.read_text().count("<img") == 1
    labels = Dataset.open(dataset).sparse_labels(Dataset.open(dataset).case("nuclei1")).array
    assert (labels[3, 5], labels[3, 9], (labels != IGNORE).sum()) == (1, 0, 2)
    run("marks", "export", dataset, tmp_path / "rois", "--format", "imagej", "--json")
    assert json.loads(capsys.readouterr().out)["files"] == 1
    run("marks", "import", dataset, tmp_path / "rois", "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["notes"] == ["nuclei1: 2 strokes were there already"]
    run("check", dataset)
    assert "edited-labels" not in capsys.readouterr().out


def test_a_misspelt_class_is_proposed(dataset, tmp_path, capsys):
    path = tmp_path / "nuclei1.geojson"
    path.write_text(json.dumps(annotation(5.5, 3.5, "Nucelus")))
    run("marks", "import", dataset, path, code=1)
    assert "did you mean 'nucleus'" in capsys.readouterr().err
    run("marks", "import", dataset, path, "--class-map", "Nucelus=nuclei", code=1)
    assert "--class-map" in capsys.readouterr().err
    run("marks", "import", dataset, path, "--class-map", "nonsense", code=1)
    assert "no pair" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(dataset, tmp_path):
    run("marks", "import", dataset, code=2)
    run("marks", "export", dataset, tmp_path / "o", code=2)
    run("marks", "export", dataset, tmp_path / "o", "--format", "word", code=2)


def test_dense_truth_is_not_overdrawn(dataset, tmp_path, capsys):
    content = json.loads((dataset / "dataset.json").read_text())
    del content["labels"]["ignore"]
    (dataset / "dataset.json").write_text(json.dumps(content))
    path = tmp_path / "nuclei1.geojson"
    path.write_text(json.dumps(annotation(5.5, 3.5)))
    before = (dataset / "labelsTr" / "nuclei1.png").stat().st_mtime_ns
    run("marks", "import", dataset, path, code=1)
    assert "dense truth, not marks" in capsys.readouterr().err
    assert before == (dataset / "labelsTr" / "nuclei1.png").stat().st_mtime_ns
