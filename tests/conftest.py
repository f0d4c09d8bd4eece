from __future__ import annotations

import os
import zipfile
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

# Examples differ from run to run on a developer's machine, and are the same in CI: a red run there means the change.
settings.register_profile("developer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip where POINTILLIST_DATA does not name one."""
    folder = os.environ.get("POINTILLIST_DATA")
    if not folder:
        pytest.skip("POINTILLIST_DATA is not set")
    return Path(folder)


def heart(size: tuple[int, int, int] = (40, 36, 4), seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, dense truth (0–3) and scribbles (0–3, 4 = unlabelled) of a heart made of discs and rings."""
    rng = np.random.default_rng(seed)
    x, y, _ = np.indices(size)
    radius = np.hypot(x - size[0] * 0.55 - rng.integers(-2, 3), y - size[1] * 0.5)
    truth = np.zeros(size, np.uint8)
    truth[(np.abs(x - size[0] * 0.25) < 4) & (np.abs(y - size[1] * 0.5) < 7)] = 1
    truth[radius < 9] = 2
    truth[radius < 5] = 3
    image = (np.array([40, 160, 90, 200])[truth] + rng.normal(0, 8, size)).astype(np.int16)
    scribble = np.full(size, 4, np.uint8)
    drawn = rng.random(size) < 0.1
    scribble[drawn] = truth[drawn]
    return image, truth, scribble


def save_nifti(path: Path, array: np.ndarray, spacing: tuple[float, ...] = (1.5, 1.5, 8.0), *, unit_columns=False):
    """A NIfTI file; with ``unit_columns`` its affine contradicts its pixdim, as in the public copies of ACDC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.diag([*((1, 1, 1) if unit_columns else spacing), 1.0])
    image = nib.Nifti1Image(array, affine)
    image.header.set_sform(affine, code=2)
    image.header["qform_code"] = 0
    image.header["pixdim"][1:4] = spacing
    path.write_bytes(image.to_bytes() if path.suffix == ".nii" else _gzipped(image.to_bytes()))
    return path


def _gzipped(data: bytes) -> bytes:
    import gzip

    return gzip.compress(data, mtime=0)


@pytest.fixture
def acdc_folder(tmp_path: Path) -> Path:
    """Three training patients in two frames each and one test patient, in ACDC's layout, with its contradiction."""
    root = tmp_path / "acdc"
    for number in (1, 21, 100, 101):
        for frame in (1, 12):
            stem = f"patient{number:03d}/patient{number:03d}_frame{frame:02d}"
            image, truth, scribble = heart(seed=number * 100 + frame)
            save_nifti(root / f"{stem}.nii.gz", image, unit_columns=True)
            save_nifti(root / f"{stem}_gt.nii.gz", truth, unit_columns=True)
            if number <= 100:
                save_nifti(root / f"{stem}_scribble.nii.gz", scribble, unit_columns=True)
    (root / "patient001" / "Info.cfg").write_text("ED: 1\n")
    return root


def nuclei(seed: int, size: int = 64, *, dark: bool = True) -> tuple[np.ndarray, list[np.ndarray]]:
    """An RGBA image with disc-shaped nuclei and one mask a nucleus."""
    rng = np.random.default_rng(seed)
    row, column = np.indices((size, size))
    centres = [(size // 4, size // 4), (size // 4, 3 * size // 4), (3 * size // 4, size // 2)]
    masks = [np.hypot(row - r, column - c) < rng.integers(5, 9) for r, c in centres]
    grey = np.where(np.any(masks, axis=0), 180, 10) if dark else np.where(np.any(masks, axis=0), 90, 230)
    grey = np.clip(grey + rng.integers(0, 9, (size, size)), 0, 255).astype(np.uint8)
    rgba = np.stack([grey, grey if dark else grey // 2, grey, np.full_like(grey, 255)], axis=-1)
    return rgba, masks


def png(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def dsb_zip(tmp_path: Path) -> Path:
    """Six fluorescence and four bright-field images in the layout of Data Science Bowl 2018, zipped."""
    path = tmp_path / "stage1_train.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for seed in range(10):
            image, masks = nuclei(seed, dark=seed < 6)
            archive.writestr(f"id{seed}/images/id{seed}.png", png(image))
            for index, mask in enumerate(masks):
                archive.writestr(f"id{seed}/masks/m{index}.png", png(mask.astype(np.uint8) * 255))
    return path
