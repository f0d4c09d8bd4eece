"""Archives and folders that must not be trusted: nothing is unpacked, nothing is left, one message is given."""

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from pointillist.data import source
from pointillist.data.source import open_source
from pointillist.errors import ArchiveError, DamagedFileError, InputError, PointillistError
from tests.conftest import nuclei, png
from tests.data.conftest import cuts

IMAGE, MASKS = nuclei(0, 24)


def zip_bytes(*members, compression=zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of members: a name or a ZipInfo, and content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for member, content in members:
            archive.writestr(member, content)
    return buffer.getvalue()


def special(name, mode=0o644, **fields):
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    for field, value in fields.items():
        setattr(member, field, value)
    return member


SOUND = [
    ("id/images/id.png", png(IMAGE)),
    ("id/masks/a.png", png(MASKS[0])),
    ("id/masks/b.png", png(MASKS[1])),
]


def patched(data: bytes, *, flags=0, size=None) -> bytes:
    """The central directory's first entry, changed: flag bits set, unpacked size stated."""
    at = data.index(b"PK\x01\x02")
    changed = bytearray(data)
    struct.pack_into("<H", changed, at + 8, struct.unpack_from("<H", data, at + 8)[0] | flags)
    if size is not None:
        struct.pack_into("<I", changed, at + 24, size)
    return bytes(changed)


def doubled() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zip_bytes(*SOUND, SOUND[0])


ARCHIVES = {
    "parent": (zip_bytes(*SOUND, ("../evil.png", b"x")), "leads out"),
    "parent-inside": (zip_bytes(*SOUND, ("id/../../evil.png", b"x")), "leads out"),
    "parent-backslash": (zip_bytes(*SOUND, ("id\\..\\..\\evil.png", b"x")), "leads out"),
    "absolute": (zip_bytes(*SOUND, ("/etc/evil.png", b"x")), "leads out"),
    "drive": (zip_bytes(*SOUND, ("C:\\evil.png", b"x")), "leads out"),
    "share": (zip_bytes(*SOUND, ("\\\\host\\share\\evil.png", b"x")), "leads out"),
    "nameless": (zip_bytes(*SOUND, ("QQQQ", b"x")).replace(b"QQQQ", bytes(4)), "without a name"),
    "dot": (zip_bytes(*SOUND, (".", b"x")), "without a name"),
    "link": (zip_bytes(*SOUND, (special("id/masks/c.png", stat.S_IFLNK | 0o777), b"/etc/passwd")), "a link"),
    "device": (zip_bytes(*SOUND, (special("id/masks/c.png", stat.S_IFCHR | 0o666), b"")), "a link"),
    "pipe": (zip_bytes(*SOUND, (special("id/masks/c.png", stat.S_IFIFO | 0o666), b"")), "a link"),
    "bomb": (zip_bytes(*SOUND, ("z.png", bytes(10_000_000)), compression=zipfile.ZIP_BZIP2), "unpacks to more"),
    "claims-much": (patched(zip_bytes(*SOUND), size=(1 << 32) - 2), "unpacks to more"),
    "encrypted": (patched(zip_bytes(*SOUND), flags=1), "an encrypted member"),
    "cut": (zip_bytes(*SOUND)[:-30], "cannot be opened"),
    "no-archive": (b"this is a text", "cannot be opened"),
    "empty": (b"", "cannot be opened"),
    "no-members": (zip_bytes(), "nothing of this kind"),
    "claims-little": (patched(zip_bytes(*SOUND), size=50), "read to its end"),
    "unknown-method": (
        zip_bytes(*SOUND).replace(struct.pack("<HHH", 20, 0, 8), struct.pack("<HHH", 20, 0, 77)),
        "read to its end",
    ),
    "from-the-future": (
        zip_bytes(*SOUND).replace(b"PK\x01\x02\x14\x03\x14", b"PK\x01\x02\x14\x03\xff"),
        "cannot be opened",
    ),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_must_not_be_trusted_is_refused(kind, tmp_path, refuses):
    data, message = ARCHIVES[kind]
    path = tmp_path / "stage1_train.zip"
    path.write_bytes(data)
    assert message in refuses("import", "dsb2018", path, tmp_path / "out", target=tmp_path / "out")


def test_the_same_name_twice(tmp_path, refuses):
    path = tmp_path / "stage1_train.zip"
    path.write_bytes(doubled())
    assert "the same name twice" in refuses("import", "dsb2018", path, tmp_path / "out", target=tmp_path / "out")


def test_an_archive_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    for cut in cuts(zip_bytes(*SOUND), steps=300):
        path.write_bytes(cut)
        with pytest.raises(DamagedFileError, match="cannot be opened"):
            open_source(path)


def test_a_changed_byte_anywhere_is_refused_or_without_effect(tmp_path):
    whole = zip_bytes(("a/b.bin", bytes(range(40)) * 5), ("c.bin", b"text"))
    path = tmp_path / "a.zip"
    content = {"a/b.bin": bytes(range(40)) * 5, "c.bin": b"text"}
    refused = 0
    for place in range(len(whole)):
        for mask in (0x01, 0x80):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :])
            try:
                opened = open_source(path)
                for name in opened.names:
                    assert opened.read(name) in content.values()
            except PointillistError:
                refused += 1
    assert refused > len(whole) / 2


@pytest.mark.parametrize(
    ("limit", "value", "message"), [("_MAX_MEMBERS", 2, "too many members"), ("_MAX_TOTAL_BYTES", 99, "too much data")]
)
def test_count_and_total_size_are_bounded(tmp_path, monkeypatch, limit, value, message):
    path = tmp_path / "a.zip"
    path.write_bytes(zip_bytes(*SOUND))
    monkeypatch.setattr(source, limit, value)
    with pytest.raises(ArchiveError, match=message):
        open_source(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_sound_archive_is_no_false_alarm(tmp_path, compression):
    path = tmp_path / "A.ZIP"
    clutter = [("__MACOSX/id/images/._id.png", b"x"), ("id/.DS_Store", b"x"), ("id/empty/", b""), ("id/Thumbs.db", b"")]
    path.write_bytes(b"#!/bin/sh self-extracting\n" + zip_bytes(*SOUND, *clutter, compression=compression))
    opened = open_source(path)
    assert opened.names == ["id/Thumbs.db", *(name for name, _ in SOUND)]
    for name, content in SOUND:
        assert opened.read(name) == content
    assert sorted(opened.hashes) == [name for name, _ in SOUND]
    assert opened.path("id/images/id.png") == path / "id/images/id.png"


def test_a_blank_mask_may_be_packed_as_deep_as_deflate_can(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(zip_bytes(("blank.bmp", bytes(3_000_000))))
    assert open_source(path).read("blank.bmp") == bytes(3_000_000)


def test_what_is_no_source(tmp_path, refuses):
    (tmp_path / "a.rar").touch()
    for name in ("gone", "a.rar"):
        with pytest.raises(InputError, match="nothing to import"):
            open_source(tmp_path / name)
        assert "nothing to import" in refuses("import", "acdc", tmp_path / name, tmp_path / "o", target=tmp_path / "o")


class TestFolders:
    def test_links_are_followed_once_and_loops_end(self, tmp_path):
        root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
        (root / "z" / "deep").mkdir(parents=True)
        elsewhere.mkdir()
        (root / "z" / "deep" / "a.png").write_bytes(b"a")
        (elsewhere / "b.png").write_bytes(b"b")
        (root / "back").symlink_to(root)
        (root / "a_link").symlink_to(root / "z")  # first by name, and yet the real folder counts
        (root / "linked").symlink_to(elsewhere)
        (root / "z" / "up").symlink_to(root)
        (root / "z" / "self").symlink_to(root / "z" / "self")
        (root / "nowhere").symlink_to(tmp_path / "gone")
        opened = open_source(root)
        assert opened.names == ["linked/b.png", "nowhere", "z/deep/a.png", "z/self"]
        assert opened.read("linked/b.png") == b"b"
        for name in ("nowhere", "z/self"):
            with pytest.raises(DamagedFileError, match="leads nowhere"):
                opened.read(name)

    def test_hidden_files_are_left_aside(self, tmp_path):
        for name in (".hidden", "a/.DS_Store", ".git/config", "a/b"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        assert open_source(tmp_path).names == ["a/b"]

    def test_a_folder_that_cannot_be_read_is_not_passed_over(self, tmp_path, monkeypatch):
        (tmp_path / "locked").mkdir()
        listed = Path.iterdir

        def refuse(folder):
            if folder.name == "locked":
                raise PermissionError(13, "Permission denied", str(folder))
            return listed(folder)

        monkeypatch.setattr(Path, "iterdir", refuse)
        with pytest.raises(PermissionError, match="locked"):
            open_source(tmp_path)
