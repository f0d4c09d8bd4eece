import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.importers.acdc import import_acdc
from pointillist.data.importers.dsb2018 import import_dsb2018
from pointillist.data.simulate.dataset import Settings, simulate_dataset
from pointillist.errors import InputError
from pointillist.types import IGNORE


@pytest.fixture
def hearts(acdc_folder, tmp_path):
    import_acdc(acdc_folder, tmp_path / "Dataset027_ACDC")
    return Dataset.open(tmp_path / "Dataset027_ACDC")


def files_of(root, pattern):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob(pattern))}


def test_points_replace_the_marks_and_everything_else_stays(hearts, tmp_path):
    done = simulate_dataset(hearts, tmp_path / "P", Settings("random_point", seed=1))
    points = Dataset.open(done.dataset)
    assert points.splits() == hearts.splits()
    assert points.spec == hearts.spec
    assert [case.id for case in points.testing] == [case.id for case in hearts.testing]
    total = 0
    for old, new in zip(hearts.training, points.training, strict=True):
        assert old.group == new.group
        assert (hearts.image(old).array == points.image(new).array).all()
        dense, labels = points.dense_labels(new).array, points.sparse_labels(new).array
        marked = labels != IGNORE
        assert (labels[marked] == dense[marked]).all()
        assert marked.any(axis=(0, 1)).all()
        assert not new.base.exists()
        total += len(points.read_marks(new).strokes)
    assert total == done.strokes


def test_marks_are_decided_by_seed_and_case(hearts, tmp_path):
    for name, seed in (("A", 1), ("B", 1), ("C", 2)):
        simulate_dataset(hearts, tmp_path / name, Settings("skeleton", seed=seed))
    assert files_of(tmp_path / "A", "*Tr/*") == files_of(tmp_path / "B", "*Tr/*")
    assert files_of(tmp_path / "A", "marks/*") == files_of(tmp_path / "B", "marks/*")
    simulate_dataset(hearts, tmp_path / "P1", Settings("random_point", seed=1))
    simulate_dataset(hearts, tmp_path / "P2", Settings("random_point", seed=2))
    assert files_of(tmp_path / "P1", "labelsTr/*") != files_of(tmp_path / "P2", "labelsTr/*")


def test_instances_are_kept(dsb_zip, tmp_path):
    import_dsb2018(dsb_zip, tmp_path / "D")
    simulate_dataset(Dataset.open(tmp_path / "D"), tmp_path / "S", Settings("s2l", fraction=0.5))
    assert files_of(tmp_path / "D", "instancesTr/*") == files_of(tmp_path / "S", "instancesTr/*")


@pytest.mark.parametrize(
    ("settings", "message"),
    [(Settings("pointz"), "no such mark generator"), (Settings("random_point", fraction=0.5), "fraction")],
)
def test_wrong_settings_are_refused_before_anything_is_written(hearts, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        simulate_dataset(hearts, tmp_path / "X", settings)
    assert not (tmp_path / "X").exists()


def test_without_truth_nothing_can_be_simulated(hearts, tmp_path):
    (hearts.root / "denseTr" / "patient001_frame01.nii.gz").unlink()
    with pytest.raises(InputError, match="only from dense truth"):
        simulate_dataset(Dataset.open(hearts.root), tmp_path / "X", Settings("random_point"))
