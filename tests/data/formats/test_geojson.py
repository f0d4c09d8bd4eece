import json
import uuid

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pointillist.data.formats.geojson import encode_geojson
from pointillist.geometry.objects import ObjectRules, objects_of
from pointillist.geometry.polygon import filled, signed_area
from pointillist.spec import TaskSpec

SPEC = TaskSpec(("background", "gland", "Tumör"), ("R", "G", "B"))


def encoded(numbers, classes):
    return json.loads(encode_geojson(np.asarray(numbers, np.int32), classes, SPEC))


def raster(feature, shape):
    """The pixels of a polygon: its rings by the even-odd rule, coordinates from the corner."""
    mask = np.zeros(shape, bool)
    for ring in feature["geometry"]["coordinates"]:
        window, inside = filled(np.array(ring)[:-1, ::-1] - 0.5, shape)
        mask[window] ^= inside
    return mask


def test_one_pixel_by_hand():
    numbers = np.zeros((4, 6), int)
    numbers[1, 3] = 1
    (feature,) = encoded(numbers, (2,))["features"]
    ring = feature["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert sorted(map(tuple, ring[:-1])) == [(3.0, 1.5), (3.5, 1.0), (3.5, 2.0), (4.0, 1.5)]
    assert feature["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "Tumör", "color": [86, 180, 233]},
    }
    assert str(uuid.UUID(feature["id"])) == feature["id"]


@settings(max_examples=60)
@given(arrays(np.uint8, (9, 11), elements=st.integers(0, 2)), st.sampled_from([0, None]))
def test_every_polygon_holds_its_own_pixels_and_no_others(labels, holes):
    numbers, classes = objects_of(labels, ObjectRules(1, holes))
    content = encoded(numbers, classes)
    assert content["type"] == "FeatureCollection"
    for number, (feature, cls) in enumerate(zip(content["features"], classes, strict=True), start=1):
        assert (raster(feature, labels.shape) == (numbers == number)).all()
        assert feature["properties"]["classification"]["name"] == SPEC.classes[cls]
        outer, *inner = (np.array(ring)[:-1, ::-1] for ring in feature["geometry"]["coordinates"])
        assert signed_area(outer) > 0
        assert all(signed_area(ring) < 0 for ring in inner)
        for ring in (outer, *inner):  # simple: no vertex twice
            assert len(np.unique(ring, axis=0)) == len(ring) >= 4


def test_pixels_that_touch_over_a_corner_have_one_outline():
    (feature,) = encoded(np.eye(3), (1,))["features"]
    assert len(feature["geometry"]["coordinates"]) == 1


def test_straight_edges_have_no_vertices_between_their_ends():
    numbers = np.zeros((50, 60), int)
    numbers[5:40, 5:50] = 1
    assert len(encoded(numbers, (1,))["features"][0]["geometry"]["coordinates"][0]) == 9  # corners are cut


def test_ids_tell_objects_apart_and_stay():
    numbers = np.zeros((5, 9), int)
    numbers[1:3, 1:3], numbers[1:3, 5:7] = 1, 2
    ids = [feature["id"] for feature in encoded(numbers, (1, 1))["features"]]
    assert len(set(ids)) == 2
    assert ids == [feature["id"] for feature in encoded(numbers, (1, 1))["features"]]


def test_no_object_is_an_empty_collection():
    assert encoded(np.zeros((3, 3)), ()) == {"type": "FeatureCollection", "features": []}
