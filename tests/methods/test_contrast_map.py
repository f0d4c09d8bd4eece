from __future__ import annotations

import math

import pytest
import torch

from pointillist.methods._contrast_map import contrast_maps, marked_points, stretched
from pointillist.types import IGNORE


def features_of(b=2, c=6, h=8, w=10, seed=0):
    return torch.randn(b, c, h, w, generator=torch.Generator().manual_seed(seed))


def label_of(points, b=2, h=8, w=10):
    """Single marked pixels: (image, row, column, class)."""
    label = torch.full((b, h, w), IGNORE)
    for image, row, column, k in points:
        label[image, row, column] = k
    return label


THREE = [(0, 1, 1, 1), (0, 6, 8, 1), (0, 4, 4, 0), (0, 0, 9, 0), (0, 7, 0, 0), (1, 2, 3, 1), (1, 5, 5, 0)]


def slow_map(features, p, others, eta):
    """z of one point, pixel by pixel, from the equations."""
    h, w = features.shape[1:]

    def cosine(one, other):
        a, b = features[:, one[0], one[1]].tolist(), features[:, other[0], other[1]].tolist()
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    maps = []
    for q in others:
        plain = [[max(0, cosine(p, (y, x)) - eta * cosine(q, (y, x))) ** 2 for x in range(w)] for y in range(h)]
        low, high = min(map(min, plain)), max(map(max, plain))
        maps.append([[(v - low) / (high - low) for v in row] for row in plain])
    return torch.tensor(maps).mean(0)


def test_maps_are_those_of_the_equations():
    features, label = features_of(), label_of(THREE)
    found = contrast_maps(features, label, (1,), eta=0.6, most=8)
    assert found.image.tolist() == [0, 0, 1]
    assert found.classes.tolist() == [1, 1, 1]
    for place, p in enumerate([(1, 1), (6, 8)]):
        expected = slow_map(features[0], p, [(4, 4), (0, 9), (7, 0)], 0.6)
        torch.testing.assert_close(found.z[place], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.z[2], slow_map(features[1], (2, 3), [(5, 5)], 0.6), atol=1e-5, rtol=1e-5)
    assert found.points[0].nonzero().tolist() == [[1, 1], [6, 8]]


def test_property_f_without_others_a_map_rises_with_the_similarity():
    features, label = features_of(b=1), label_of([(0, 1, 1, 1), (0, 4, 4, 0)], b=1)
    found = contrast_maps(features, label, (1,), eta=0.0, most=8).z[0].flatten()
    unit = torch.nn.functional.normalize(features[0].flatten(1), dim=0)
    similar = unit.T @ unit[:, 11]
    order = similar.argsort()
    assert (found[order].diff() >= 0).all()
    assert (found[similar <= 0] == 0).all()
    assert found[11] == 1


def test_property_g_the_length_of_features_does_not_matter():
    features, label = features_of(), label_of(THREE)
    lengths = 0.1 + 9 * torch.rand(2, 1, 8, 10, generator=torch.Generator().manual_seed(1))
    one, other = (contrast_maps(x, label, (0, 1), eta=0.6, most=8).z for x in (features, features * lengths))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_each_class_is_told_from_all_others():
    features = features_of(b=1)
    label = label_of([(0, 1, 1, 0), (0, 4, 4, 1), (0, 6, 2, 2)], b=1)
    found = contrast_maps(features, label, (0, 1, 2), eta=0.6, most=8)
    assert found.classes.tolist() == [0, 1, 2]
    expected = slow_map(features[0], (4, 4), [(1, 1), (6, 2)], 0.6)
    torch.testing.assert_close(found.z[1], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("points", [[], [(0, 1, 1, 1)], [(0, 1, 1, 0), (0, 5, 5, 0)]])
def test_without_points_on_both_sides_there_are_no_maps(points):
    found = contrast_maps(features_of(), label_of(points), (1,), eta=0.6, most=8)
    assert found.z.shape == (0, 8, 10)


def test_dead_features_and_flat_maps_are_no_contrast():
    label = label_of(THREE)
    assert (contrast_maps(torch.zeros(2, 6, 8, 10), label, (1,), eta=0.6, most=8).z == 0).all()
    same = torch.ones(2, 6, 8, 10) + 1e-5 * features_of()
    assert (contrast_maps(same, label, (1,), eta=0.6, most=8).z == 0).all()
    half_dead = features_of()
    half_dead[:, :, :, :5] = 0
    assert contrast_maps(half_dead, label, (1,), eta=0.6, most=8).z.isfinite().all()


def test_connected_marks_are_one_point_also_across_corners():
    label = torch.full((8, 10), IGNORE)
    label[1:4, 1:4] = 1
    label[6, 6], label[7, 7] = 1, 1
    label[4, 4] = 0  # touches the block's corner, and is another class
    points = marked_points(label, (8, 10), 8)
    assert points.classes.tolist() == [1, 0, 1]
    assert (points.cells[0].view(8, 10)[1:4, 1:4] == 1 / 9).all()
    torch.testing.assert_close(points.cells.sum(1), torch.ones(3))


def test_a_block_has_the_mean_direction_of_its_pixels():
    features, label = features_of(b=1), torch.full((1, 8, 10), IGNORE)
    label[0, 1:4, 1:4], label[0, 6, 6] = 1, 0
    unit = torch.nn.functional.normalize(features[0].flatten(1), dim=0)
    mean = unit.view(6, 8, 10)[:, 1:4, 1:4].flatten(1).mean(1)
    similar = (mean / mean.norm()) @ unit
    plain = (similar - 0.6 * unit.T @ unit[:, 66]).relu().square().view(8, 10)
    found = contrast_maps(features, label, (1,), eta=0.6, most=8).z[0]
    torch.testing.assert_close(found, stretched(plain), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("most", "rows"), [(8, range(8)), (4, (0, 2, 4, 6)), (3, (0, 2, 5)), (1, (0,))])
def test_of_many_points_some_are_taken_at_even_distances(most, rows):
    label = torch.full((16, 4), IGNORE)
    label[::2, 0] = 1
    label[15, 3] = 0
    points = marked_points(label, (16, 4), most)
    assert points.classes.tolist() == [1] * len(rows) + [0]
    assert points.cells[:-1].nonzero()[:, 1].tolist() == [8 * row for row in rows]


def test_coarser_features_and_points_that_share_a_cell():
    features = features_of(b=1, h=4, w=5)
    label = label_of([(0, 1, 1, 1), (0, 0, 0, 0), (0, 7, 9, 0)], b=1)  # the first two in one cell
    found = contrast_maps(features, label, (1,), eta=0.6, most=8)
    torch.testing.assert_close(found.z[0], slow_map(features[0], (0, 0), [(3, 4)], 0.6), atol=1e-5, rtol=1e-5)
    alone = label_of([(0, 1, 1, 1), (0, 0, 0, 0)], b=1)
    assert len(contrast_maps(features, alone, (1,), eta=0.6, most=8).z) == 0


def test_literal_has_the_floors_of_the_code():
    features, label = features_of(), label_of(THREE)
    unit = torch.nn.functional.normalize(features[1].flatten(1), dim=0)
    s_p, s_q = (unit.T @ unit[:, place] for place in (23, 55))
    for s in (s_p, s_q):
        s[s < 0.02] = 1e-6
    plain = torch.relu(s_p - 0.6 * s_q) ** 2
    expected = (plain - plain.min()) / (plain.max() - plain.min())
    expected[expected < 0.02] = 1e-6
    literal, ours = (contrast_maps(features, label, (1,), eta=0.6, most=8, literal=one).z[2] for one in (True, False))
    torch.testing.assert_close(literal.flatten(), expected, atol=1e-6, rtol=1e-4)
    # where the other's similarity is negative, our reading adds to the contrast and the code does not
    assert (ours.flatten() - expected).abs().max() > 0.01


def test_stretching():
    maps = torch.tensor([[[1.0, 3.0], [2.0, 2.0]], [[5.0, 5.0], [5.0, 5.0005]]])
    torch.testing.assert_close(stretched(maps), torch.tensor([[[0, 1], [0.5, 0.5]], [[0, 0], [0, 0.0]]]))
