from __future__ import annotations

import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.importers.acdc import import_acdc
from tests.conftest import heart, save_nifti


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Four hearts with scribbles."""
    root = tmp_path_factory.mktemp("contract")
    for number in (1, 2, 3, 21):
        stem = f"patient{number:03d}/patient{number:03d}_frame01"
        image, truth, scribble = heart((40, 40, 4), seed=number)
        save_nifti(root / "acdc" / f"{stem}.nii.gz", image)
        save_nifti(root / "acdc" / f"{stem}_gt.nii.gz", truth)
        save_nifti(root / "acdc" / f"{stem}_scribble.nii.gz", scribble)
    import_acdc(root / "acdc", root / "D")
    return Dataset.open(root / "D")
