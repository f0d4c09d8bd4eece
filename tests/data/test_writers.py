"""Writing is all or nothing: after a failure at any moment the old content is whole and no other file is left."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointillist.cli.main import main
from pointillist.data import writers
from pointillist.data.flat import encode_flat
from pointillist.data.image import Grid
from pointillist.data.nifti import encode_nifti
from pointillist.data.readers import decode_image
from pointillist.data.writers import atomic_write_bytes, write_image, write_json, write_label
from pointillist.errors import InputError, LabelError
from tests.data.conftest import PICTURE, nifti_bytes

VOLUME = decode_image(nifti_bytes(), Path("a.nii"))


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "folder" / "name.json"
    atomic_write_bytes(path, b"old")
    return path


def unharmed(path):
    return path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]


def failing(error):
    def fail(*arguments, **options):
        raise error

    return fail


class TestAtomic:
    def test_a_new_file_in_a_new_folder(self, old):
        assert unharmed(old)
        assert old.stat().st_mode & 0o777 == 0o644

    def test_an_old_file_is_replaced(self, old):
        atomic_write_bytes(old, b"new")
        assert old.read_bytes() == b"new"
        assert list(old.parent.iterdir()) == [old]

    @pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "replace"), (Path, "chmod")])
    @pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt(), MemoryError()])
    def test_a_failure_at_any_step_leaves_the_old(self, old, monkeypatch, owner, name, error):
        monkeypatch.setattr(owner, name, failing(error))
        with pytest.raises(type(error)):
            atomic_write_bytes(old, b"new")
        monkeypatch.undo()
        assert unharmed(old)

    def test_a_full_disk_is_a_message_that_names_the_file(self, old, monkeypatch):
        monkeypatch.setattr(os, "fsync", failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        with pytest.raises(OSError, match="No space left") as refused:
            atomic_write_bytes(old, b"new")
        monkeypatch.undo()
        assert (refused.value.errno, refused.value.filename) == (errno.ENOSPC, str(old))
        assert unharmed(old)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
    def test_a_disk_that_is_really_full(self, old, monkeypatch):
        opened = os.open
        monkeypatch.setattr(
            writers.tempfile, "mkstemp", lambda **_: (opened("/dev/full", os.O_WRONLY), str(old.parent / "none"))
        )
        with pytest.raises(OSError, match="No space left") as refused:
            atomic_write_bytes(old, b"new")
        assert refused.value.filename == str(old)
        assert unharmed(old)

    def test_a_folder_in_the_way_is_kept(self, old):
        with pytest.raises(OSError, match="folder"):
            atomic_write_bytes(old.parent, b"new")
        assert unharmed(old)
        assert list(old.parent.parent.iterdir()) == [old.parent]

    def test_a_long_name_is_no_obstacle(self, tmp_path):
        path = tmp_path / ("é" * 120 + ".json")
        atomic_write_bytes(path, b"new")
        assert [found.name for found in tmp_path.iterdir()] == [path.name]

    def test_a_killed_process_leaves_the_old_or_the_new(self, old):
        code = (
            "import sys; from pathlib import Path; from pointillist.data.writers import atomic_write_bytes\n"
            "path, size = Path(sys.argv[1]), 3_000_000\n"
            "print('ready', flush=True)\n"
            "for number in range(1, 10**6): atomic_write_bytes(path, bytes([number % 251]) * size)\n"
        )
        seen = set()
        for pause in (0.005, 0.013, 0.021):
            process = subprocess.Popen([sys.executable, "-c", code, str(old)], stdout=subprocess.PIPE)
            assert process.stdout.readline() == b"ready\n"
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            content = old.read_bytes()
            assert content == b"old" or (len(content) == 3_000_000 and len(set(content)) == 1)
            seen.update(found.name for found in old.parent.iterdir())
        assert all(name == old.name or (name.startswith(".") and name.endswith(".partial")) for name in seen)


class TestImport:
    """An import that fails while it writes leaves no folder behind."""

    @pytest.mark.parametrize("after", [1, 9, 30])
    def test_a_full_disk_in_the_middle(self, acdc_folder, tmp_path, monkeypatch, refuses, after):
        target, written = tmp_path / "out", []
        sync = os.fsync

        def full(handle):
            written.append(handle)
            if len(written) > after:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(handle)

        monkeypatch.setattr(os, "fsync", full)
        message = refuses("import", "acdc", acdc_folder, target, target=target)
        assert "No space left on device" in message
        assert ".nii.gz" in message or ".json" in message

    def test_a_killed_import_has_not_taken_the_name(self, acdc_folder, tmp_path):
        target = tmp_path / "out"
        code = (
            "import os, signal, sys; from pointillist.cli.main import main\n"
            "sync, count = os.fsync, []\n"
            "def kill(handle):\n"
            "    sync(handle); count.append(handle)\n"
            "    if len(count) == 12: os.kill(os.getpid(), signal.SIGKILL)\n"
            "os.fsync = kill; main(sys.argv[1:])\n"
        )
        arguments = ["import", "acdc", str(acdc_folder), str(target)]
        assert subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode == -signal.SIGKILL
        assert not target.exists()
        with pytest.raises(SystemExit) as done:  # and what it left is not in the way
            main(arguments)
        assert not done.value.code
        assert (target / "dataset.json").exists()


class TestJson:
    @given(
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        )
    )
    def test_what_is_written_is_read_back(self, tmp_path_factory, value):
        path = tmp_path_factory.getbasetemp() / "round.json"
        write_json(path, value)
        assert json.loads(path.read_bytes()) == value

    @pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": object()}])
    def test_what_json_cannot_say_is_not_written(self, old, value):
        with pytest.raises((ValueError, TypeError)):
            write_json(old, value)
        assert unharmed(old)

    def test_a_file_name_that_is_not_utf8_comes_back(self, old):
        name = os.fsdecode(b"caf\xe9.png")
        write_json(old, {name: 1})
        assert json.loads(old.read_bytes()) == {name: 1}


class TestImages:
    @pytest.mark.parametrize("name", ["a.jpg", "a.tiff", "a.mha", "a", "a.nii.bz2"])
    def test_kinds_that_datasets_do_not_use_are_refused(self, tmp_path, name):
        with pytest.raises(InputError, match="not written in this kind"):
            write_image(tmp_path / name, PICTURE, Grid((9, 13)))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("ending", "kind"),
        [
            (".png", "f4"),
            (".png", "i2"),
            (".png", "u4"),
            (".png", "?"),
            (".bmp", "u2"),
            (".bmp", "f8"),
            (".tif", "?"),
            (".tif", "c8"),
        ],
    )
    def test_values_that_a_kind_cannot_hold_are_refused(self, tmp_path, ending, kind):
        with pytest.raises(InputError, match="values of this type"):
            write_image(tmp_path / f"a{ending}", PICTURE.astype(kind), Grid((9, 13)))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("kind", ["?", "f2", "c8"])
    def test_values_that_nifti_cannot_hold_are_refused(self, kind):
        with pytest.raises(InputError, match="values of this type"):
            encode_nifti(VOLUME.array.astype(kind), VOLUME.grid, compress=False)

    def test_a_flat_image_is_no_volume(self, tmp_path):
        with pytest.raises(InputError, match="physical grid"):
            write_image(tmp_path / "a.nii.gz", PICTURE, Grid((9, 13)))

    def test_negative_labels_are_refused(self, tmp_path):
        with pytest.raises(LabelError, match="negative") as refused:
            write_label(tmp_path / "a.png", np.array([[-1, 3]]), Grid((1, 2)))
        assert refused.value.received == "-1"
        assert list(tmp_path.iterdir()) == []

    def test_more_labels_than_a_kind_can_hold_are_refused(self, tmp_path):
        for ending, most in ((".bmp", 255), (".png", 65_535)):
            write_label(tmp_path / f"a{ending}", np.array([[0, most]]), Grid((1, 2)))
            with pytest.raises(InputError, match="values of this type"):
                write_label(tmp_path / f"b{ending}", np.array([[0, most + 1]]), Grid((1, 2)))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bmp", "a.png"]

    @pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
    def test_a_long_axis_needs_nifti_2(self, ending):
        grid = Grid((40_000, 1, 1), (1.0, 1.0, 1.0), np.eye(4), VOLUME.grid.orientation)
        array = np.arange(40_000, dtype=np.uint16).reshape(grid.shape)
        data = encode_nifti(array, grid, compress=ending == ".nii.gz")
        assert np.array_equal(decode_image(data, Path(f"a{ending}")).array, array)

    def test_the_same_image_gives_the_same_bytes(self):
        for encode in (
            lambda: encode_nifti(VOLUME.array, VOLUME.grid, compress=True),
            lambda: encode_flat(PICTURE, ".png"),
            lambda: encode_flat(PICTURE, ".tif"),
        ):
            assert encode() == encode()

    @pytest.mark.parametrize("ending", [".png", ".bmp", ".tif"])
    def test_a_view_that_is_not_contiguous_is_written_right(self, ending):
        view = PICTURE[::-1, ::2]
        assert np.array_equal(decode_image(encode_flat(view, ending), Path(f"a{ending}")).array, view)
