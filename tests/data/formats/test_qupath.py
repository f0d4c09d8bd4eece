"""QuPath's GeoJSON in its versions, and files that are none."""

import json
from pathlib import Path

import numpy as np
import pytest

from pointillist.data.formats.qupath import decode_qupath
from pointillist.errors import DamagedFileError
from tests.data.conftest import cuts, outcome

WHERE = Path("a.geojson")

# an annotation as QuPath 0.5 writes it, with a child, a plane and a derived class
ANNOTATION = {
    "type": "Feature",
    "id": "b13ea8a8-3e0c-4a9e-9a33-3f6f4ed1f2b0",
    "geometry": {
        "type": "Polygon",
        "plane": {"c": -1, "z": 0, "t": 0},
        "coordinates": [[[4, 2], [7, 2], [7, 5], [4, 2]]],
    },
    "properties": {
        "objectType": "annotation",
        "name": "the second",
        "classification": {"names": ["Tumor", "Positive"], "color": [200, 0, 0]},
        "isLocked": True,
        "measurements": {"Area px^2": 4.5},
        "metadata": {"ANNOTATION_DESCRIPTION": "drawn on Monday"},
        "childObjects": [
            {
                "type": "Feature",
                "geometry": {"type": "MultiPoint", "coordinates": [[5.5, 3.5], [6.25, 3.75, 0]]},
                "properties": {"objectType": "annotation", "classification": {"name": "Stroma", "colorRGB": -65536}},
            },
        ],
    },
}
DETECTION = {
    "type": "Feature",
    "geometry": {"type": "Point", "coordinates": [1, 1]},
    "properties": {"objectType": "detection"},
}
OLD = {  # as QuPath 0.2 wrote it
    "type": "Feature",
    "id": "PathAnnotationObject",
    "geometry": {"type": "MultiLineString", "coordinates": [[[0, 0], [1, 1]], [[2, 2], [3, 3]]]},
    "properties": {"classification": {"name": "Stroma"}, "isLocked": False, "measurements": []},
}


def encoded(content):
    return json.dumps(content).encode()


def test_annotations_and_their_children_are_read_and_detections_are_not():
    shapes, notes = decode_qupath(encoded({"type": "FeatureCollection", "features": [ANNOTATION, DETECTION]}), WHERE)
    assert [(one.kind, one.name) for one in shapes] == [
        ("area", "Tumor: Positive"),
        ("point", "Stroma"),
        ("point", "Stroma"),
    ]
    assert shapes[2].rings[0].tolist() == [[3.25, 5.75]]
    assert notes == ("1 detections, cells or tiles left out: they are no marks",)


def test_older_forms_are_read():
    cell = {**OLD, "id": "PathCellObject"}
    shapes, notes = decode_qupath(b"\xef\xbb\xbf" + encoded([OLD, cell]), WHERE)
    assert [(one.kind, one.rings[0].tolist()) for one in shapes] == [
        ("line", [[-0.5, -0.5], [0.5, 0.5]]),
        ("line", [[1.5, 1.5], [2.5, 2.5]]),
    ]
    assert len(notes) == 1
    assert len(decode_qupath(encoded(ANNOTATION), WHERE)[0]) == 3
    assert decode_qupath(encoded({"type": "FeatureCollection", "features": []}), WHERE) == ([], ())


def changed(path, value):
    content = json.loads(json.dumps(ANNOTATION))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return encoded(content)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"[1]",
        b'"text"',
        b'{"type": "FeatureCollection"}',
        b'{"type": "FeatureCollection", "features": {"a": 1}}',
        changed(("geometry",), None),
        changed(("geometry", "type"), "Sphere"),
        changed(("geometry", "type"), ["Polygon"]),
        changed(("geometry", "coordinates"), None),
        changed(("geometry", "coordinates"), [None]),
        changed(("geometry", "coordinates"), [[[1, 2], [3]]]),
        changed(("geometry", "coordinates"), [[["a", "b"]]]),
        changed(("geometry", "coordinates"), [[[[1, 2]]]]),
        changed(("geometry", "coordinates"), [[[float("nan"), 2]]]),
        changed(("geometry", "coordinates"), [[[float("inf"), 2]]]),
        changed(("geometry", "coordinates"), [[[1e400, 2]]]),
        changed(("geometry", "coordinates"), [[[10**400, 2]]]),
        changed(("geometry", "coordinates"), [[[True, {}]]]),
        changed(("properties",), [1]),
        changed(("properties", "classification"), 7),
        changed(("properties", "classification"), {"name": ["a"]}),
        changed(("properties", "childObjects"), 7),
        changed(("properties", "childObjects"), [7]),
        changed(("properties", "metadata"), {"width_px": "-1"}),
        changed(("properties", "metadata"), {"width_px": [1]}),
        encoded(ANNOTATION).replace(b"4.5", b"NaN"),
        encoded(ANNOTATION).replace(b"[4, 2]", b"[" + b"9" * 5000 + b", 2]", 1),
        encoded(ANNOTATION).replace(b"[4, 2]", b"[1e999, 2]", 1),
    ],
)
def test_what_is_no_geojson_is_named(data):
    with pytest.raises(DamagedFileError) as error:
        decode_qupath(data, WHERE)
    assert error.value.where.startswith("a.geojson")
    assert error.value.received


def test_a_file_cut_off_anywhere_is_refused():
    data = encoded({"type": "FeatureCollection", "features": [ANNOTATION]})
    assert all(outcome(lambda cut: decode_qupath(cut, WHERE), cut) is None for cut in cuts(data, steps=200))


def test_many_shapes_are_quick():
    points = {**OLD, "geometry": {"type": "MultiPoint", "coordinates": np.ones((20_000, 2)).tolist()}}
    assert len(decode_qupath(encoded([points]), WHERE)[0]) == 20_000
