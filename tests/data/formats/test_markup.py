from pathlib import Path

import numpy as np
import pytest

from pointillist.data.formats.asap import read_asap
from pointillist.data.formats.imagescope import read_imagescope
from pointillist.errors import DamagedFileError

WHERE = Path("a.xml")
REGION = (
    '<Region Id="{}" Type="{}" NegativeROA="{}">'
    '<Vertices><Vertex X="1.5" Y="2"/><Vertex X="4" Y="2"/></Vertices></Region>'
)
SCOPE = '<Annotations><Annotation Name="{}"><Regions>{}</Regions></Annotation></Annotations>'
CORNERS = '<Coordinate Order="1" X="4" Y="2"/><Coordinate Order="0" X="1.5" Y="2"/>'
OUTLINE = '<Annotation Name="a" Type="{}" PartOfGroup="{}"><Coordinates>{}</Coordinates></Annotation>'
ASAP = "<ASAP_Annotations><Annotations>{}</Annotations></ASAP_Annotations>"
BOMB = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><Annotations>&c;</Annotations>'
FAR = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Annotations>&x;</Annotations>'


def scope(*regions, layer=""):
    return SCOPE.format(layer, "".join(regions)).encode()


def test_imagescope_counts_from_the_corner():
    data = scope(REGION.format(1, 0, 0), REGION.format(2, 1, 1), layer="nuclei")
    first, second = read_imagescope(data, WHERE)
    assert first.points.tolist() == [[1.5, 1.0], [1.5, 3.5]]
    assert (first.group, first.hole, second.hole) == ("nuclei", False, True)


def test_asap_sorts_corners_and_passes_over_points():
    data = ASAP.format(OUTLINE.format("Polygon", "_0", CORNERS) + OUTLINE.format("Dot", "_0", CORNERS)).encode()
    (only,) = read_asap(data, WHERE)
    assert only.points.tolist() == [[1.5, 1.0], [1.5, 3.5]]
    assert only.group == "_0"


def test_a_file_without_outlines_is_empty():
    assert read_asap(b"<ASAP_Annotations/>", WHERE) == []
    assert read_imagescope(b"\xef\xbb\xbf<Annotations/>", WHERE) == []


@pytest.mark.parametrize(
    ("read", "data", "what"),
    [
        (read_imagescope, BOMB, "entities"),
        (read_imagescope, FAR, "entities"),
        (read_imagescope, b"", "no whole XML"),
        (read_imagescope, scope(REGION.format(1, 0, 0))[:-9], "no whole XML"),
        (read_imagescope, b"\x00\xff" * 40, "no whole XML"),
        (read_imagescope, b'<?xml version="1.0" encoding="none"?><Annotations/>', "no whole XML"),
        (read_imagescope, b"<ASAP_Annotations/>", "another program"),
        (read_asap, b"<Annotations/>", "another program"),
        (read_imagescope, scope(REGION.format(7, 2, 0)), "no outline"),
        (read_imagescope, scope(REGION.format(7, 0, 0).replace("1.5", "nan")), "no place"),
        (read_imagescope, scope(REGION.format(7, 0, 0).replace('X="4"', "")), "no place"),
        (read_imagescope, scope(REGION.format(7, 0, 0).replace('X="4"', 'X="four"')), "no place"),
        (read_asap, ASAP.format(OUTLINE.format("Polygon", "_0", CORNERS.replace("1.5", "1e999"))).encode(), "no place"),
        (read_asap, ASAP.format(OUTLINE.format("Polygon", "_0", CORNERS.replace('Order="1"', ""))).encode(), "order"),
    ],
)
def test_what_is_wrong_is_named(read, data, what):
    with pytest.raises(DamagedFileError, match=what) as error:
        read(data, WHERE)
    assert error.value.where.startswith("a.xml")
    assert error.value.received


def test_the_vertex_that_is_wrong_is_shown():
    with pytest.raises(DamagedFileError) as error:
        read_imagescope(scope(REGION.format(7, 0, 0).replace('X="4"', 'X="four"')), WHERE)
    assert error.value.where == "a.xml, region 7"
    assert "four" in error.value.received


def test_many_vertices_are_quick():
    corners = "".join(f'<Vertex X="{i}" Y="{i % 7}"/>' for i in range(20_000))
    region = f'<Region Id="1"><Vertices>{corners}</Vertices></Region>'
    assert np.isfinite(read_imagescope(scope(region), WHERE)[0].points).all()
