"""Files of every kind, sound and damaged, as bytes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from pointillist.cli.main import main
from pointillist.errors import PointillistError

SPACING = (1.5, 2.0, 8.0)
VOLUME = np.random.default_rng(0).integers(-99, 99, (5, 6, 7)).astype(np.int16)
PICTURE = np.random.default_rng(1).integers(0, 256, (9, 13, 3), dtype=np.uint8)


def nifti_bytes(array=VOLUME, affine=None, *, kind=nib.Nifti1Image, order="<", sform=1, qform=1, **fields) -> bytes:
    """A ``.nii`` file whose header fields are then set to anything: a value, or ``{index: value}`` of an array."""
    affine = np.diag([*SPACING, 1.0]) if affine is None else affine
    image = kind(np.asarray(array), affine, kind.header_class(endianness=order), dtype=array.dtype)
    image.set_qform(affine, code=qform)
    image.set_sform(affine, code=sform)
    raw = image.to_bytes()
    header = np.frombuffer(raw[: image.header.sizeof_hdr], image.header.template_dtype.newbyteorder(order)).copy()
    for name, value in fields.items():
        for place, one in value.items() if isinstance(value, dict) else [(..., value)]:
            header[name][(0, place) if place is not ... else ...] = one
    return header.tobytes() + raw[image.header.sizeof_hdr :]


def saved(array, kind: str, mode: str | None = None, **options) -> bytes:
    """What Pillow saves."""
    image = Pillow.fromarray(array)
    buffer = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array, **options) -> bytes:
    """What tifffile writes."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def raw_png(width, height, depth, colour_type, rows: bytes, *, before=b"", interlace=0) -> bytes:
    """A PNG chunk by chunk; ``rows`` are scan lines with their filter byte, ``before`` chunks ahead of the data."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlace)
    chunks = png_chunk(b"IHDR", header) + before + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def outcome(decode: Callable[[bytes], object], data: bytes):
    """The pixels that come out, or None after a refusal that says what, where, expected and received."""
    try:
        return decode(data)
    except PointillistError as error:
        refused = error
    assert all((refused.what, refused.where, refused.expected, refused.received)), refused.args
    return None


def cuts(data: bytes, *, steps: int = 10**9) -> Iterator[bytes]:
    """The file cut off at every offset, or at so many."""
    for length in np.unique(np.linspace(0, len(data) - 1, min(steps, len(data))).astype(int)):
        yield data[:length]


def flips(data: bytes, masks=(0x01, 0x10, 0x80, 0xFF)) -> Iterator[bytes]:
    """The file with every single byte changed, by every mask."""
    for place in range(len(data)):
        for mask in masks:
            yield data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


@pytest.fixture
def refuses(capsys, tmp_path):
    """Run a command that must fail with one message and leave nothing behind; the message."""

    def run(*arguments: object, target: Path) -> str:
        before = {path for path in tmp_path.rglob("*") if path != target}
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        message = capsys.readouterr().err
        assert stopped.value.code == 1, message
        assert message.startswith("error: ")
        assert message.count("error: ") == 1
        assert "Traceback" not in message
        assert not target.exists()
        assert set(tmp_path.rglob("*")) == before  # no half-written folder under another name
        return message

    return run
