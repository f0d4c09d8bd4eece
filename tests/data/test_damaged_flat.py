"""2-D images that are cut, changed, of a kind that is not read, or that claim what they do not hold."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pointillist.data.flat import encode_flat
from pointillist.data.pixels import bounded
from pointillist.data.readers import decode_image, decode_label
from pointillist.errors import DamagedFileError, LabelError
from tests.data.conftest import PICTURE, cuts, flips, outcome, png_chunk, raw_png, saved, tiff

GREY = PICTURE[..., 0]
DEEP = PICTURE.astype(np.uint16) * 257
WIDE = np.random.default_rng(2).integers(0, 9, (48, 40), dtype=np.uint8)


def decoder(name):
    return lambda data: decode_image(data, Path(name)).array


PNGS = {
    "grey": saved(GREY, "PNG"),
    "colour": saved(PICTURE, "PNG"),
    "alpha": saved(np.dstack([PICTURE, GREY]), "PNG"),
    "palette": saved(GREY, "PNG", "P"),
    "bits": saved(GREY > 99, "PNG"),
    "deep": encode_flat(DEEP, ".png"),
    "text": saved(GREY, "PNG", dpi=(72, 72)),
}


@pytest.mark.parametrize("kind", PNGS)
def test_a_png_cut_anywhere_is_refused(kind):
    for cut in cuts(PNGS[kind][:-4]):  # the last four bytes are the checksum of a chunk that is empty
        assert outcome(decoder("a.png"), cut) is None


@pytest.mark.parametrize("kind", PNGS)
def test_a_changed_byte_anywhere_in_a_png_is_refused_or_without_effect(kind):
    whole = decoder("a.png")(PNGS[kind])
    survivors = [
        pixels for data in flips(PNGS[kind], (0x01, 0x80)) if (pixels := outcome(decoder("a.png"), data)) is not None
    ]
    assert all(np.array_equal(pixels, whole) for pixels in survivors)
    assert len(survivors) == 2 * 8  # length and checksum of the last chunk, which is empty


def test_a_png_whose_rows_are_missing_is_refused_though_every_checksum_is_right():
    for depth, kind, width in ((8, 0, 4), (8, 2, 12), (16, 0, 8), (8, 6, 16), (4, 0, 2)):
        row = b"\0" + bytes(range(width))
        assert outcome(decoder("a.png"), raw_png(4, 4, depth, kind, row * 4)) is not None
        for rows in (3, 1, 0):
            assert outcome(decoder("a.png"), raw_png(4, 4, depth, kind, row * rows)) is None


TIFFS = {
    f"{compression}-{layout}": tiff(WIDE, compression=compression, **options)
    for compression in (None, "lzw", "zlib", "packbits", "zstd", "lzma", "jpeg")
    for layout, options in {
        "strip": {},
        "strips": {"rowsperstrip": 8},
        "tiles": {"tile": (16, 16)},
    }.items()
} | {
    "colour": tiff(PICTURE, photometric="rgb", compression="lzw", predictor=True),
    "planar": tiff(np.moveaxis(PICTURE, -1, 0), photometric="rgb", planarconfig="separate"),
    "float": tiff(WIDE.astype(np.float32), compression="zlib"),
    "big": tiff(WIDE, bigtiff=True),
    "swapped": tiff(DEEP, byteorder=">", photometric="rgb"),
    "directory-last": saved(WIDE, "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_a_tiff_cut_anywhere_is_refused_or_whole(kind):
    data = TIFFS[kind]
    whole = decoder("a.tif")(data)
    lost = 0
    for cut in cuts(data, steps=120):
        pixels = outcome(decoder("a.tif"), cut)
        assert pixels is None or np.array_equal(pixels, whole)
        lost += pixels is None
    assert lost >= 100  # some writers end a file with a byte of padding, or with tags that pixels do not need


def test_a_series_cut_to_its_first_page_is_refused():
    pages = np.stack([WIDE] * 3)
    for data in (tiff(pages, photometric="minisblack", metadata=None), tiff(pages, imagej=True)):
        for cut in cuts(data, steps=300):
            assert outcome(decoder("a.tif"), cut) is None
        assert outcome(decoder("a.tif"), data) is None


@pytest.mark.parametrize("kind", ["None-strip", "lzw-tiles", "colour", "big", "directory-last"])
def test_a_changed_byte_in_a_tiff_never_crashes(kind, capfd):
    data = TIFFS[kind]
    refused = sum(outcome(decoder("a.tif"), changed) is None for changed in flips(data, masks=(0x01, 0x80)))
    assert refused > 20
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("array", [GREY, PICTURE], ids=["grey", "colour"])
def test_a_jpeg_cut_anywhere_is_refused_or_whole(array):
    data = saved(array, "JPEG")
    whole = decoder("a.jpg")(data)
    for cut in cuts(data):
        pixels = outcome(decoder("a.jpg"), cut)
        assert pixels is None or np.array_equal(pixels, whole)
    assert outcome(decoder("a.jpg"), data[:-12]) is None


@pytest.mark.parametrize("array", [GREY, PICTURE, GREY > 99], ids=["grey", "colour", "bits"])
def test_a_bmp_cut_anywhere_is_refused_or_whole(array):
    data = saved(array, "BMP")
    whole = decoder("a.bmp")(data)
    for cut in cuts(data):
        pixels = outcome(decoder("a.bmp"), cut)
        assert pixels is None or np.array_equal(pixels, whole)
    assert outcome(decoder("a.bmp"), data[:-4]) is None


def rle_bmp(stream: bytes, width=8, height=2) -> bytes:
    palette = b"".join(struct.pack("BBBB", i, i, i, 0) for i in range(256))
    offset = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(stream), 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", offset + len(stream), 0, 0, offset) + header + palette + stream


def test_a_run_length_bmp_cut_short_is_refused():
    whole = rle_bmp(b"\x08\x07\x00\x00\x08\x09\x00\x01")
    assert np.array_equal(decoder("a.bmp")(whole), np.repeat([[9], [7]], 8, axis=1))
    assert outcome(decoder("a.bmp"), rle_bmp(b"\x08\x07\x00\x00")) is None


REFUSED = {
    "cmyk-jpeg": ("a.jpg", saved(PICTURE, "JPEG", "CMYK"), "colour kind"),
    "cmyk-tiff": ("a.tif", saved(PICTURE, "TIFF", "CMYK"), "one grey or colour image"),
    "lab-tiff": ("a.tif", saved(PICTURE, "TIFF", "LAB"), "one grey or colour image"),
    "four-stains": (
        "a.tif",
        tiff(np.dstack([PICTURE, GREY]), photometric="minisblack", planarconfig="contig"),
        "one grey or colour image",
    ),
    "complex": ("a.tif", tiff(GREY.astype(np.complex64)), "one grey or colour image"),
    "volume": ("a.tif", tiff(np.zeros((16, 16, 16), np.uint8), volumetric=True, tile=(16, 16, 16)), "grey or colour"),
    "pages": ("a.tif", tiff(np.stack([GREY, GREY]), photometric="minisblack"), "several images"),
    "imagej": ("a.tif", tiff(np.stack([GREY] * 3), imagej=True), "several images"),
    "hidden-pages": ("a.tif", tiff(np.stack([GREY] * 3), truncate=True, photometric="minisblack"), "several images"),
    "animation": (
        "a.png",
        saved(GREY, "PNG", save_all=True, append_images=[Pillow.new("L", (13, 9))]),
        "several images",
    ),
    "no-page": ("a.tif", b"II*\0\0\0\0\0", "no image"),
    "gif": ("a.png", saved(GREY, "GIF"), "cannot be decoded"),
    "postscript": ("a.jpg", saved(GREY, "EPS"), "cannot be decoded"),
    "png-as-tiff": ("a.tif", saved(GREY, "PNG"), "cannot be decoded"),
    "tiff-as-png": ("a.png", tiff(GREY), "cannot be decoded"),
    "text": ("a.png", b"this is a text", "cannot be decoded"),
    "not-a-number": ("a.tif", tiff(np.full((4, 4), np.nan, np.float32)), "not numbers"),
    "infinite": ("a.tif", tiff(np.full((4, 4), np.inf, np.float16)), "not numbers"),
    "beyond-palette": (
        "a.png",
        raw_png(4, 1, 8, 3, b"\0\0\1\2\3", before=png_chunk(b"PLTE", bytes(range(6)))),
        "cannot be decoded",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_one_image_is_refused(kind):
    name, data, message = REFUSED[kind]
    with pytest.raises(DamagedFileError, match=message) as refused:
        decode_image(data, Path(name))
    assert refused.value.where == name
    assert refused.value.expected
    assert refused.value.received
    assert refused.value.todo


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.png", raw_png(60_000, 60_000, 8, 2, b"\0" * 99)),
        ("a.png", raw_png(12_000, 12_000, 8, 2, b"\0" * 99)),
        ("a.png", raw_png(2**31 - 1, 2**31 - 1, 1, 0, b"\0")),
        ("a.tif", tiff(np.zeros((20_000, 20_000), np.uint8), compression="zstd", rowsperstrip=20_000)),
    ],
)
def test_a_small_file_that_claims_gigapixels_is_not_decoded(name, data):
    assert len(data) < 100_000
    with pytest.raises(DamagedFileError):
        decode_image(data, Path(name))


def test_the_bound_grows_with_the_file_up_to_4_gib():
    bounded(1 << 28, 1, Path("a"))
    bounded(1 << 32, 1 << 30, Path("a"))
    for decoded, encoded in (((1 << 28) + 1, 1), ((1 << 32) + 1, 1 << 40), (1 << 31, 1 << 20)):
        with pytest.raises(DamagedFileError, match="claims more pixels"):
            bounded(decoded, encoded, Path("a"))


def test_a_photograph_is_no_label_image():
    with pytest.raises(LabelError, match="colour"):
        decode_label(saved(PICTURE, "PNG"), Path("a.png"))
    with pytest.raises(LabelError, match="fractions"):
        decode_label(tiff(GREY + np.float32(0.5)), Path("a.tif"))
