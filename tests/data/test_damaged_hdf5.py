"""HDF5 slices that are damaged, or that point at data elsewhere."""

import io
from pathlib import Path

import h5py
import numpy as np
import pytest

from pointillist.data.importers.acdc_hdf5 import import_acdc_hdf5
from pointillist.errors import PointillistError
from tests.conftest import heart
from tests.data.conftest import cuts, flips

IMAGE, TRUTH, SCRIBBLE = (array[..., 0].T for array in heart((16, 14, 1)))
NAME = "patient001_frame01_slice_{}.h5"


def hdf5(image=IMAGE, label=TRUTH, scribble=SCRIBBLE, change=None, **options) -> bytes:
    """One slice; ``change`` may then do anything to the open file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for key, array in (("image", image), ("label", label), ("scribble", scribble)):
            if array is not None:
                file.create_dataset(key, data=array, **options)
        if change is not None:
            change(file)
    return buffer.getvalue()


@pytest.fixture
def slices(tmp_path):
    """Four sound slices of one volume."""
    folder = tmp_path / "slices"
    folder.mkdir()
    for index in range(4):
        (folder / NAME.format(index)).write_bytes(hdf5(IMAGE + index))
    return folder


def elsewhere(kind):
    def change(file):
        del file["label"]
        if kind == "soft":
            file["label"] = h5py.SoftLink("/image")
        elif kind == "dangling":
            file["label"] = h5py.SoftLink("/nothing")
        elif kind == "external-link":
            file["label"] = h5py.ExternalLink("/etc/passwd", "/label")
        elif kind == "external-storage":
            file.create_dataset("label", (16, 14), "u1", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((16, 14), "u1")
            layout[:] = h5py.VirtualSource("/etc/passwd", "label", (16, 14))
            file.create_virtual_dataset("label", layout)
        elif kind == "group":
            file.create_group("label")
        else:
            file.create_dataset("label", (1 << 20, 1 << 20), "u1", chunks=(1024, 1024))

    return change


NAN = np.where(TRUTH > 0, np.nan, IMAGE.astype(np.float32))
DAMAGED = {
    "cut": hdf5()[:-100],
    "half": hdf5()[:1000],
    "empty": b"",
    "text": b"this is a text",
    "no-image": hdf5(image=None),
    "not-a-number": hdf5(NAN),
    "infinite": hdf5(NAN * np.inf),
    "wrong-value": hdf5(label=TRUTH + 9),
    "fractions": hdf5(label=TRUTH + 0.5),
    "beyond-32-bits": hdf5(label=TRUTH.astype(np.int64) + (1 << 32)),
    "label-shape": hdf5(label=TRUTH[:-1]),
    "image-shape": hdf5(IMAGE[:-1], TRUTH[:-1], SCRIBBLE[:-1]),
    "4d": hdf5(IMAGE[None, None]),
    "scalar": hdf5(np.float32(3)),
    "strings": hdf5(np.full(IMAGE.shape, b"text")),
    "complex": hdf5(IMAGE + 1j),
    "other-marks": hdf5(scribble=np.where(SCRIBBLE == 4, 4, (TRUTH + 1) % 4)),
    "unlabelled-in-truth": hdf5(label=SCRIBBLE),
} | {
    kind: hdf5(change=elsewhere(kind))
    for kind in ("soft", "dangling", "external-link", "external-storage", "virtual", "group", "huge")
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_slice_is_refused_and_nothing_is_left(slices, tmp_path, refuses, kind):
    (slices / NAME.format(2)).write_bytes(DAMAGED[kind])
    message = refuses("import", "acdc", slices, tmp_path / "out", target=tmp_path / "out")
    assert "slice" in message or "volume" in message or "patient001" in message


def test_sound_slices_are_no_false_alarm(slices, tmp_path):
    (slices / NAME.format(2)).write_bytes(hdf5(compression="gzip", fletcher32=True, shuffle=True))
    done = import_acdc_hdf5(slices, tmp_path / "out")
    assert (done.training, done.marked) == (1, 1)


def imported(data, tmp_path, number):
    source = tmp_path / f"source{number}"
    source.mkdir()
    (source / "patient001_frame01_slice_0.h5").write_bytes(data)
    try:
        import_acdc_hdf5(source, tmp_path / f"out{number}")
    except PointillistError:
        assert not (tmp_path / f"out{number}").exists()
        return False
    return True


def test_a_file_cut_anywhere_is_refused(tmp_path):
    assert not any(imported(cut, tmp_path, number) for number, cut in enumerate(cuts(hdf5(), steps=60)))


@pytest.mark.slow
def test_a_changed_byte_in_the_structure_never_crashes(tmp_path):
    data = hdf5(compression="gzip")
    changed = [one for place, one in enumerate(flips(data, masks=(0xFF,))) if place % 9 == 0]
    read = [imported(one, tmp_path, number) for number, one in enumerate(changed)]
    assert 20 < sum(read) < len(read) - 20
    assert not [path for path in Path(tmp_path).iterdir() if path.name.endswith(".partial")]
