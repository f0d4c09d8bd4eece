from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from pointillist.losses import prototype_label
from pointillist.types import IGNORE


@pytest.fixture
def given():
    g = torch.Generator().manual_seed(0)
    f = torch.randn(2, 3, 7, 8, generator=g, dtype=torch.float64)
    label = torch.randint(0, 4, (2, 7, 8), generator=g)
    label[torch.rand(2, 7, 8, generator=g) > 0.15] = IGNORE
    return f, label


def unit(v):
    length = math.sqrt(sum(x * x for x in v))
    return [x / length for x in v] if length else v


def from_the_equation(f, label, classes, similarity, margin):
    found = torch.full_like(label, IGNORE)
    for n in range(f.shape[0]):
        prototypes = []
        for k in range(classes):
            members = [unit(f[n, :, i, j].tolist()) for i, j in (label[n] == k).nonzero().tolist()]
            prototypes.append(unit([sum(parts) for parts in zip(*members, strict=True)]) if members else None)
        for i, j in (label[n] == IGNORE).nonzero().tolist():
            here = unit(f[n, :, i, j].tolist())
            s = [-1.0 if v is None else sum(a * b for a, b in zip(v, here, strict=True)) for v in prototypes]
            first, second = sorted(s, reverse=True)[:2]
            if first > similarity and first - second > margin:
                found[n, i, j] = s.index(first)
    return found


@pytest.mark.parametrize(("similarity", "margin"), [(0.8, 0.2), (0.3, 0.0), (0.9, 0.5)])
def test_equal_to_the_equation(given, similarity, margin):
    found = prototype_label(*given, 4, similarity=similarity, margin=margin)
    assert torch.equal(found, from_the_equation(*given, 4, similarity, margin))
    assert (found != IGNORE).any()


def test_by_hand():
    # marks: class 0 at (1, 0), class 1 at (0, 2); then a pixel like each, one between both, one like neither, one empty
    f = torch.tensor([[[1.0, 0.0, 5.0, 0.1, 1.0, -1.0, 0.0], [0.0, 2.0, 0.5, 0.8, 1.0, 0.0, 0.0]]]).unsqueeze(2)
    label = torch.tensor([[[0, 1, *[IGNORE] * 5]]])
    assert prototype_label(f, label, 2).tolist() == [[[IGNORE, IGNORE, 0, 1, IGNORE, IGNORE, IGNORE]]]
    assert prototype_label(f, label, 2, similarity=0.7, margin=0).tolist()[0][0][4] == IGNORE  # exactly between


def test_a_pixel_equal_to_the_only_mark_of_a_class_is_wholly_like_it():
    f = torch.rand(1, 5, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    f[0, :, 1, 1] = 3 * f[0, :, 0, 0]
    label = torch.tensor([[[2, IGNORE], [IGNORE, IGNORE]]])
    assert prototype_label(f, label, 3, similarity=1 - 1e-12)[0, 1, 1] == 2


def test_a_class_that_is_not_marked_is_farther_than_any_other():
    f, label = torch.tensor([[[[1.0, -0.6]], [[0.0, 0.8]]]]), torch.tensor([[[1, IGNORE]]])  # a cosine of −0.6
    assert prototype_label(f, label, 3, similarity=-0.7).tolist() == [[[IGNORE, 1]]]
    assert prototype_label(f, label, 3, similarity=-0.7, margin=0.5).tolist() == [[[IGNORE, IGNORE]]]


def test_the_length_of_features_does_not_matter(given):
    f, label = given
    lengths = torch.rand(2, 1, 7, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.1
    assert torch.equal(prototype_label(1e3 * f * lengths, label, 4), prototype_label(f, label, 4))


def test_stricter_thresholds_cover_less(given):
    for name, values in (("similarity", (0.0, 0.5, 0.8, 0.95)), ("margin", (0.0, 0.2, 0.6, 1.5))):
        covered = [prototype_label(*given, 4, **{name: value}) != IGNORE for value in values]
        for looser, stricter in pairwise(covered):
            assert (looser | ~stricter).all()
        assert covered[0].sum() > covered[-1].sum()


def test_marks_keep_out_of_it_and_images_stay_apart(given):
    f, label = given
    found = prototype_label(f, label, 4)
    assert (found[label != IGNORE] == IGNORE).all()
    assert torch.equal(found[1:], prototype_label(f[1:], label[1:], 4))


def test_degenerate_images():
    f = torch.rand(3, 4, 5, 5, generator=torch.Generator().manual_seed(3))
    label = torch.full((3, 5, 5), IGNORE)
    assert (prototype_label(f, label, 3) == IGNORE).all()  # nothing marked: all similarities are −1
    label[0, 0, 0] = 1
    assert set(prototype_label(f, label, 3)[0].unique().tolist()) <= {
        1,
        IGNORE,
    }  # one class: the margin holds everywhere
    assert (prototype_label(0 * f, label, 3, similarity=0) == IGNORE).all()  # no direction


def test_class_order_and_low_precision(given):
    f, label = given
    order = torch.tensor([2, 0, 3, 1])
    renamed = torch.where(label == IGNORE, IGNORE, order[label.clamp(max=3)])
    found = prototype_label(f, label, 4)
    assert torch.equal(prototype_label(f, renamed, 4), torch.where(found == IGNORE, IGNORE, order[found.clamp(max=3)]))
    low = f.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(prototype_label(low, label, 4), prototype_label(low.float(), label, 4))


def test_wrong_inputs_are_named(given):
    f, label = given
    with pytest.raises(ValueError, match=r"at least 2 classes and a margin of at least 0, got 1 and 0\.2"):
        prototype_label(f, label, 1)
    with pytest.raises(ValueError, match="got 4 and -1"):
        prototype_label(f, label, 4, margin=-1)
    with pytest.raises(ValueError, match=r"label must be an integer tensor \(2, 7, 8\)"):
        prototype_label(f, label[:, :3], 4)
    with pytest.raises(ValueError, match="label holds 3, which is neither a class 0 … 2"):
        prototype_label(f, label, 3)
    with pytest.raises(ValueError, match="features must be a floating tensor"):
        prototype_label(f.long(), label, 4)
