from __future__ import annotations

import pytest
import torch

from pointillist.losses import cell_label
from pointillist.types import IGNORE


def label_of(b=2, h=12, w=16, classes=3, seed=0, share=0.03):
    """Patches of 4×4 that are mostly of one class, some pixels unknown."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, classes, (b, -(-h // 4), -(-w // 4)), generator=g)
    label = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :h, :w].clone()
    other = torch.rand(label.shape, generator=g)
    label[other < share] = 1
    label[other > 1 - share / 4] = IGNORE
    return label


def by_cells(label, delta, size, nu_1, nu_2, marks=None):
    """Cell by cell."""
    result = torch.full((len(label), *size), IGNORE)
    for n in range(len(label)):
        for i in range(size[0]):
            for j in range(size[1]):
                window = (n, slice(i * delta, (i + 1) * delta), slice(j * delta, (j + 1) * delta))
                cell = label[window].flatten().tolist()
                if len(cell) == delta**2 and IGNORE not in cell:
                    if sum(k != 0 for k in cell) <= nu_1 * delta**2:
                        result[n, i, j] = 0
                    for k in set(cell) - {0}:
                        if cell.count(k) >= nu_2 * delta**2:
                            result[n, i, j] = k
                said = set() if marks is None else set(marks[window].flatten().tolist()) - {IGNORE}
                if len(said) == 1:
                    result[n, i, j] = said.pop()
    return result


@pytest.mark.parametrize("delta", [1, 2, 4])
@pytest.mark.parametrize(("nu_1", "nu_2"), [(0, 1), (0.25, 0.75)])
@pytest.mark.parametrize("size", [(12, 16), (13, 18)])
def test_equal_to_the_rule_cell_by_cell(delta, nu_1, nu_2, size):
    label = label_of(h=size[0], w=size[1])
    for rounded in (size[0] // delta, size[1] // delta), (-(-size[0] // delta), -(-size[1] // delta)):
        expected = by_cells(label, delta, rounded, nu_1, nu_2)
        assert torch.equal(cell_label(label, delta, 3, size=rounded, nu_1=nu_1, nu_2=nu_2), expected)
        assert {1, 2, IGNORE} <= set(expected.unique().tolist())
    assert torch.equal(cell_label(label, delta, 3, nu_1=nu_1, nu_2=nu_2), expected)


def test_one_pixel_cells_keep_their_class():
    label = label_of()
    assert torch.equal(cell_label(label, 1, 3), label)


def test_two_classes_are_the_public_rule():
    """Of 16 labels the sum is 16, or 0; 250 is unknown."""
    label = label_of(classes=2, h=32, w=32)
    sums = label.where(label != IGNORE, 250).view(2, 8, 4, 8, 4).sum((2, 4))
    expected = torch.full_like(sums, IGNORE).masked_fill(sums == 16, 1).masked_fill(sums == 0, 0)
    assert torch.equal(cell_label(label, 4, 2), expected)
    assert len(expected.unique()) == 3


def test_by_hand():
    cells = torch.zeros(6, 4, 4, dtype=torch.int64)
    cells[1] = 2
    cells[2] = 2
    cells[2, 3, 3] = IGNORE  # one pixel of sixteen is unknown
    cells[3] = 1
    cells[3, 0, 0] = 2  # two kinds of foreground
    cells[4, 1, 1] = 1  # one pixel of foreground
    cells[5, 0, 0] = IGNORE
    assert cell_label(cells, 4, 3).flatten().tolist() == [0, 2, IGNORE, IGNORE, IGNORE, IGNORE]
    softer = cell_label(cells, 4, 3, nu_1=1 / 16, nu_2=15 / 16)
    assert softer.flatten().tolist() == [0, 2, IGNORE, 1, 0, IGNORE]


def test_shares_are_not_spoiled_by_rounding():
    cells = torch.zeros(1, 10, 10, dtype=torch.int64)
    cells[0, :7] = 1  # 0.7 · 100 = 70.000…01 in floating point
    assert cell_label(cells, 10, 2, nu_2=0.7).item() == 1
    assert cell_label(1 - cells, 10, 2, nu_1=0.3).item() == 0


def test_marks_decide_their_cells_where_they_are_of_one_class():
    label, marks = label_of(share=0.3), torch.full((2, 12, 16), IGNORE)
    marks[0, 1, 1], marks[0, 5, 5], marks[0, 6, 6] = 2, 0, 1
    value = cell_label(label, 4, 3, marks=marks)
    assert torch.equal(value, by_cells(label, 4, (3, 4), 0, 1, marks))
    assert value[0, 0, 0] == 2
    assert value[0, 1, 1] == cell_label(label, 4, 3)[0, 1, 1]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"label": torch.zeros(2, 4, 4)}, r"must be integer tensors \(b, h, w\), got torch.float32"),
        ({"label": torch.zeros(4, 4, dtype=torch.long)}, "must be integer tensors"),
        ({"marks": torch.zeros(2, 4, 5, dtype=torch.long)}, "must be integer tensors"),
        ({"delta": 0}, "delta must be 1 or more, got 0"),
        ({"nu_2": 0.5}, "nu_1 must lie in"),
        ({"nu_1": 0.6}, "nu_1 must lie in"),
    ],
)
def test_wrong_inputs_are_named(change, text):
    inputs = {"label": torch.zeros(2, 4, 4, dtype=torch.long), "delta": 2, "classes": 2} | change
    with pytest.raises(ValueError, match=text):
        cell_label(**inputs)
