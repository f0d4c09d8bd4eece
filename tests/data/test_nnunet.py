"""nnU-Net's own integrity check takes what `import` and `simulate` write."""

import subprocess
import sys

import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.importers.acdc import import_acdc
from pointillist.data.importers.dsb2018 import import_dsb2018
from pointillist.data.simulate.dataset import Settings, simulate_dataset

CHECK = """
import os, sys
for name in ("raw", "preprocessed", "results"):
    os.environ[f"nnUNet_{name}"] = sys.argv[1]
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
if __name__ == "__main__":
    verify_dataset_integrity(sys.argv[1], num_processes=1)
"""


def verified(dataset, tmp_path):
    script = tmp_path / "verify.py"
    script.write_text(CHECK)
    done = subprocess.run([sys.executable, script, dataset], capture_output=True, text=True)
    return done.returncode == 0 and "verify_dataset_integrity Done" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_volumes(acdc_folder, tmp_path):
    dataset = import_acdc(acdc_folder, tmp_path / "Dataset027_ACDC").dataset
    ok, said = verified(dataset, tmp_path)
    assert ok, said
    assert "Warning" not in said
    points = simulate_dataset(Dataset.open(dataset), tmp_path / "Dataset028_P", Settings("random_point")).dataset
    ok, said = verified(points, tmp_path)
    assert ok, said


@pytest.mark.slow
def test_colour_images(dsb_zip, tmp_path):
    ok, said = verified(import_dsb2018(dsb_zip, tmp_path / "Dataset030_DSB").dataset, tmp_path)
    assert ok, said


@pytest.mark.slow
def test_the_check_is_a_real_one(acdc_folder, tmp_path):
    dataset = import_acdc(acdc_folder, tmp_path / "Dataset027_ACDC").dataset
    (dataset / "labelsTr" / "patient001_frame01.nii.gz").unlink()
    ok, said = verified(dataset, tmp_path)
    assert not ok
    assert "not all training cases have a label file" in said


@pytest.mark.real
@pytest.mark.slow
def test_real_sets(real_data, tmp_path):
    for dataset in (
        import_acdc(real_data / "acdc", tmp_path / "Dataset027_ACDC").dataset,
        import_dsb2018(real_data / "dsb2018" / "stage1_train.zip", tmp_path / "Dataset030_DSB", subset="BF").dataset,
    ):
        ok, said = verified(dataset, tmp_path)
        assert ok, said
