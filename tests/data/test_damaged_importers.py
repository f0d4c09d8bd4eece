"""Every kind of damage through the command line: one message, exit code 1, no dataset and nothing half-written."""

import gzip
import os
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pointillist.cli.main import main
from pointillist.data.dataset import Dataset
from pointillist.data.importers.acdc import import_acdc
from pointillist.data.importers.dsb2018 import import_dsb2018
from pointillist.data.importers.folder import FolderOptions, import_folder
from tests.conftest import heart, nuclei, png, save_nifti
from tests.data.conftest import PICTURE, saved, tiff
from tests.data.importers.tissue import BOX, asap, imagescope, pyramid, tissue

STEM = "patient021/patient021_frame12"


def header(path: Path, **fields) -> None:
    """Set header fields of a .nii.gz file, leaving the rest as it is."""
    raw = gzip.decompress(path.read_bytes())
    stated = np.frombuffer(raw[:348], nib.Nifti1Header.template_dtype).copy()
    for name, (place, value) in fields.items():
        stated[name][0, place] = value
    path.write_bytes(gzip.compress(stated.tobytes() + raw[348:]))


def change(path: Path, start: int, stop: int, content: bytes) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:start] + content + data[stop % (len(data) + 1) :])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    middle = path.stat().st_size // 2
    change(path, middle, middle + 1, bytes([path.read_bytes()[middle] ^ 0x10]))


def zero_checksum(path: Path) -> None:
    size = path.stat().st_size
    change(path, size - 8, size - 4, bytes(4))


def link(path: Path, target: Path) -> None:
    path.unlink()
    path.symlink_to(target)


def shear(path: Path) -> None:
    header(path, srow_x=(1, 0.2))


def not_a_number(path: Path) -> None:
    image = heart()[0].astype(np.float32)
    image[3, 3, 1] = np.nan
    save_nifti(path, image, unit_columns=True)


def other_size(path: Path) -> None:
    save_nifti(path, heart((40, 36, 5))[1], unit_columns=True)


def other_spacing(path: Path) -> None:
    save_nifti(path, heart()[1], (1.5, 1.5, 10.0), unit_columns=True)


ANY_FILE = {
    "cut": (cut, "cut off"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "flipped": (flip, "corrupt"),
    "checksum-zeroed": (zero_checksum, "corrupt"),
    "without-checksum": (lambda path: path.write_bytes(path.read_bytes()[:-8]), "cut off"),
    "not-compressed": (lambda path: path.write_bytes(gzip.decompress(path.read_bytes())), "corrupt"),
    "another-kind": (lambda path: path.write_bytes(gzip.compress(png(PICTURE))), "not a NIfTI"),
    "data-missing": (
        lambda path: path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100])),
        "size that the header states",
    ),
    "zero-spacing": (lambda path: header(path, pixdim=(3, 0)), "spacing is impossible"),
    "negative-spacing": (lambda path: header(path, pixdim=(1, -1.5)), "spacing is impossible"),
    "nan-spacing": (lambda path: header(path, pixdim=(2, np.nan)), "spacing is impossible"),
    "sheared": (shear, "contradicts itself"),
    "series": (lambda path: save_nifti(path, np.zeros((40, 36, 4, 2), np.int16)), "not hold one volume"),
    "link-to-nowhere": (lambda path: link(path, Path("gone.nii.gz")), "leads nowhere"),
    "link-in-a-loop": (lambda path: link(path, path), "leads nowhere"),
}
IMAGES = {"not-a-number": (not_a_number, "not numbers")}
LABELS = {
    "other-size": (other_size, "different shapes"),
    "other-spacing": (other_spacing, "different spacing"),
    "an-image": (lambda path: shutil.copy(path.with_name(f"{Path(STEM).name}.nii.gz"), path), "no class has"),
    "value-7": (lambda path: save_nifti(path, heart()[1] + np.uint8(7), unit_columns=True), "no class has"),
    "fractions": (lambda path: save_nifti(path, heart()[1] + np.float32(0.5), unit_columns=True), "fractions"),
    "negative": (lambda path: save_nifti(path, heart()[1].astype(np.int16) - 1, unit_columns=True), "no class has"),
}
ACDC_DAMAGE = [
    *[(suffix, kind) for suffix in ("", "_gt", "_scribble") for kind in ANY_FILE],
    *[("", kind) for kind in IMAGES],
    *[(suffix, kind) for suffix in ("_gt", "_scribble") for kind in LABELS],
]


@pytest.mark.parametrize(("suffix", "kind"), ACDC_DAMAGE)
def test_a_damaged_file_of_acdc(acdc_folder, tmp_path, refuses, suffix, kind):
    spoil, message = {**ANY_FILE, **IMAGES, **LABELS}[kind]
    path = acdc_folder / f"{STEM}{suffix}.nii.gz"
    spoil(path)
    said = refuses("import", "acdc", acdc_folder, tmp_path / "out", target=tmp_path / "out")
    assert message in said
    assert path.name in said
    assert "what to do" in said


def test_labels_of_two_patients_swapped(acdc_folder, tmp_path, refuses):
    one, other = (acdc_folder / f"patient{n:03d}" / f"patient{n:03d}_frame01_scribble.nii.gz" for n in (1, 21))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    said = refuses("import", "acdc", acdc_folder, tmp_path / "out", target=tmp_path / "out")
    assert "do not belong to this image" in said


def test_a_target_in_the_way_is_kept(acdc_folder, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        main(["import", "acdc", str(acdc_folder), str(tmp_path / "out")])
    assert stopped.value.code == 1
    assert "in the way" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


MEMBER = "id2/masks/m1.png"
SOUND = png(nuclei(2)[1][1].astype(np.uint8) * 255)
DSB_DAMAGE = {
    "cut": SOUND[: len(SOUND) // 2],
    "empty": b"",
    "flipped": SOUND[:60] + bytes([SOUND[60] ^ 1]) + SOUND[61:],
    "text": b"this is a text",
    "other-size": png(np.zeros((64, 63), np.uint8)),
    "colour": png(np.resize(PICTURE, (64, 64, 3))),
    "gif": saved(PICTURE[..., 0], "GIF"),
    "tiff": tiff(np.zeros((64, 64), np.uint8)),
    "cmyk": saved(PICTURE, "JPEG", "CMYK"),
}


@pytest.mark.parametrize("kind", DSB_DAMAGE)
def test_a_damaged_mask_of_dsb2018(dsb_zip, tmp_path, refuses, kind):
    with zipfile.ZipFile(dsb_zip) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert members[MEMBER] == SOUND
    members[MEMBER] = DSB_DAMAGE[kind]
    with zipfile.ZipFile(dsb_zip, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    said = refuses("import", "dsb2018", dsb_zip, tmp_path / "out", target=tmp_path / "out")
    assert "m1.png" in said
    assert "what to do" in said


@pytest.fixture
def pictures(tmp_path):
    """Three flat images with labels of the same names."""
    root = tmp_path / "pictures"
    for name in ("a", "b", "c"):
        for folder in ("images", "labels"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "images" / f"{name}.png").write_bytes(png(PICTURE))
        (root / "labels" / f"{name}.png").write_bytes(png(PICTURE[..., 0] % 2))
    return root


FOLDER_DAMAGE = {
    "image-cut": lambda root: cut(root / "images" / "b.png"),
    "label-cut": lambda root: cut(root / "labels" / "b.png"),
    "label-flipped": lambda root: flip(root / "labels" / "b.png"),
    "label-size": lambda root: (root / "labels" / "b.png").write_bytes(png(PICTURE[1:, :, 0] % 2)),
    "label-photograph": lambda root: (root / "labels" / "b.png").write_bytes(png(PICTURE)),
    "label-stranger": lambda root: (root / "labels" / "z.png").write_bytes(png(PICTURE[..., 0] % 2)),
    "image-on-its-side": lambda root: (root / "images" / "b.png").write_bytes(saved(PICTURE, "PNG", exif=turned())),
    "volume-among-pictures": lambda root: save_nifti(root / "images" / "d.nii.gz", np.zeros((9, 13, 1), np.int16)),
    "link-to-nowhere": lambda root: (root / "images" / "d.png").symlink_to("gone.png"),
    "two-kinds-one-name": lambda root: (root / "images" / "b.tif").write_bytes(tiff(PICTURE, photometric="rgb")),
}


def turned():
    from PIL import Image

    exif = Image.Exif()
    exif[274] = 6
    return exif


@pytest.mark.parametrize("kind", FOLDER_DAMAGE)
def test_a_damaged_plain_folder(pictures, tmp_path, refuses, kind):
    FOLDER_DAMAGE[kind](pictures)
    refuses("import", "folder", pictures, tmp_path / "out", target=tmp_path / "out")


def test_names_that_are_not_utf8(pictures, tmp_path):
    for folder in ("images", "labels"):
        (pictures / folder / "b.png").rename(pictures / folder / os.fsdecode(b"caf\xe9.png"))
    done = import_folder(pictures, tmp_path / "out")
    assert done.training == 3


def test_the_same_damage_in_a_dataset_is_found_by_check(pictures, tmp_path, capsys):
    import_folder(pictures, tmp_path / "out", FolderOptions(folds=0))
    for path in sorted((tmp_path / "out").rglob("*.png")):
        whole = path.read_bytes()
        for spoil in (cut, flip, lambda path: path.write_bytes(b"")):
            spoil(path)
            with pytest.raises(SystemExit) as stopped:
                main(["check", str(tmp_path / "out"), "--out", str(tmp_path / "page.html")])
            said = capsys.readouterr()
            assert stopped.value.code == 1, (path, said.out)
            assert "damagedfile" in said.out
            assert "Traceback" not in said.out + said.err
            path.write_bytes(whole)


def test_sound_sources_are_no_false_alarm(acdc_folder, dsb_zip, pictures, tmp_path, capsys):
    import_acdc(acdc_folder, tmp_path / "acdc-out")
    import_dsb2018(dsb_zip, tmp_path / "dsb-out")
    import_folder(pictures, tmp_path / "folder-out")
    for name in ("acdc-out", "dsb-out", "folder-out"):
        assert Dataset.open(tmp_path / name).training
        with pytest.raises(SystemExit) as stopped:
            main(["check", str(tmp_path / name)])
        assert not stopped.value.code, capsys.readouterr().out


NUCLEI = {
    "xml-cut": (lambda root: cut(root / "a.xml"), "no whole XML"),
    "xml-empty": (lambda root: (root / "a.xml").write_bytes(b""), "no whole XML"),
    "xml-of-another-program": (lambda root: (root / "a.xml").write_bytes(asap(("_0", BOX))), "another program"),
    "xml-bomb": (
        lambda root: (root / "a.xml").write_bytes(b'<!DOCTYPE a [<!ENTITY x "xx">]><Annotations>&x;</Annotations>'),
        "entities",
    ),
    "xml-gone": (lambda root: (root / "a.xml").unlink(), "no annotation"),
    "image-cut": (lambda root: cut(root / "a.tif"), "a.tif"),
    "vertex-not-a-number": (
        lambda root: (root / "a.xml").write_bytes(imagescope([("nan", 1), (2, 3), (4, 5)])),
        "no place",
    ),
}


@pytest.mark.parametrize("kind", NUCLEI)
def test_a_damaged_file_of_monuseg(tmp_path, refuses, kind):
    root = tmp_path / "nuclei"
    root.mkdir()
    (root / "a.tif").write_bytes(tiff(tissue(0), photometric="rgb"))
    (root / "a.xml").write_bytes(imagescope(BOX))
    spoil, message = NUCLEI[kind]
    spoil(root)
    said = refuses("import", "monuseg", root, tmp_path / "out", target=tmp_path / "out")
    assert message in said
    assert "what to do" in said


def test_a_pyramid_in_an_archive_is_refused(tmp_path, refuses):
    pyramid(tmp_path / "tumor_001.tif", tissue(0, (128, 128)))
    with zipfile.ZipFile(tmp_path / "slides.zip", "w") as archive:
        archive.write(tmp_path / "tumor_001.tif", "tumor_001.tif")
        archive.writestr("tumor_001.xml", asap())
    said = refuses("import", "camelyon16", tmp_path / "slides.zip", tmp_path / "out", target=tmp_path / "out")
    assert "several images" in said
