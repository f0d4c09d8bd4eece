"""Tables of napari's layers, and tables of something else."""

from pathlib import Path

import numpy as np
import pytest

from pointillist.data.formats.napari import decode_napari, encode_paths, encode_points
from pointillist.errors import DamagedFileError

WHERE = Path("a.csv")
SHAPES = "index,shape-type,vertex-index,axis-0,axis-1\n"


def read(text):
    return decode_napari(text.encode(), WHERE)


def test_properties_name_the_class():
    one, other = read('index,axis-0,axis-1,confidence,label\n0,1,2,0.5,gland\n1,3,4,0.5,"stroma, dense"\n')
    assert (one.kind, one.name, one.rings[0].tolist()) == ("point", "gland", [[1, 2]])
    assert other.name == "stroma, dense"
    assert read("index,axis-0,axis-1\n0,1,2\n")[0].name is None


def test_every_kind_of_shape():
    corners = "".join(
        f"2,ellipse,{n},{row},{column}\n" for n, (row, column) in enumerate([(0, 0), (0, 8), (4, 8), (4, 0)])
    )
    line, polygon, ellipse = read(
        SHAPES + "0,line,0,1,2\n0,line,1,3,4\n1,rectangle,0,0,0\n1,rectangle,1,0,2\n1,rectangle,2,2,2\n" + corners
    )
    assert (line.kind, polygon.kind, ellipse.kind) == ("line", "area", "area")
    assert line.rings[0].tolist() == [[1, 2], [3, 4]]
    np.testing.assert_allclose(np.hypot(*((ellipse.rings[0] - [2, 4]) / [2, 4]).T), 1)


def test_what_napari_would_write():
    assert encode_points(np.array([[3.0, 5.0]]), [1]) == b"index,axis-0,axis-1\r\n0,3.0,5.0\r\n"
    assert encode_paths([np.array([[3.0, 5.0], [4.0, 6.5]])]) == (
        b"index,shape-type,vertex-index,axis-0,axis-1\r\n0,path,0,3.0,5.0\r\n0,path,1,4.0,6.5\r\n"
    )
    (broad,) = decode_napari(encode_points(np.array([[3.0, 5.0]]), [2.5]), WHERE)
    assert broad.width_px == 2.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x,y\n1,2\n",
        "index,axis-0\n0,1\n",
        "index,axis-0,axis-2\n0,1,2\n",
        "index,axis-0,axis-1,axis-2,axis-3\n0,1,2,3,4\n",
        "index,axis-0,axis-1\n0,1\n",
        "index,axis-0,axis-1\n0,1,2,3\n",
        "index,axis-0,axis-1\n0,one,2\n",
        "index,axis-0,axis-1\n0,nan,2\n",
        "index,axis-0,axis-1\n0,1e999,2\n",
        "index,axis-0,axis-1,width_px\n0,1,2,-3\n",
        'index,axis-0,axis-1\n0,1,"2\n',
        SHAPES + "0,spiral,0,1,2\n",
    ],
)
def test_what_is_no_layer_is_named(text):
    with pytest.raises(DamagedFileError) as error:
        read(text)
    assert error.value.where.startswith("a.csv")
    with pytest.raises(DamagedFileError):
        decode_napari(b"index,axis-0,axis-1\n\xff,1,2\n", WHERE)
