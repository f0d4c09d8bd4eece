from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pointillist.methods._mix import CutMix, draw_boxes
from pointillist.types import IGNORE


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def labels(count=4, rows=9, columns=13):
    label = torch.randint(0, 3, (count, rows, columns))
    label[torch.rand(label.shape) < 0.5] = IGNORE
    return label


def published_box(u, down, across, rows, columns, area):
    """The rectangle as the public loader draws it, from the same three uniform numbers."""
    height = math.exp(u * math.log(area))
    width = area / height
    tall, wide = np.round(height * rows), np.round(width * columns)
    top, left = np.round((rows - tall) * down), np.round((columns - wide) * across)
    box = np.zeros((rows, columns), bool)
    box[int(top) : int(top + tall), int(left) : int(left + wide)] = True
    return box


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (40, 97)])
def test_boxes_are_those_of_the_public_loader(rows, columns):
    torch.manual_seed(3)
    draws = torch.rand(3, 50, 1)[:, :, 0].T.double().numpy()
    torch.manual_seed(3)
    boxes = draw_boxes(50, (rows, columns), 0.2)
    for box, (u, down, across) in zip(boxes.numpy(), draws, strict=True):
        assert (box == published_box(u, down, across, rows, columns, 0.2)).all()


def test_boxes_have_their_area_lie_inside_and_reach_every_side():
    boxes = draw_boxes(3000, (50, 80), 0.2)
    area, rows, columns = boxes.sum((1, 2)), boxes.any(2), boxes.any(1)
    heights, widths = rows.sum(1), columns.sum(1)
    assert torch.equal(area, heights * widths)  # rectangles, none cut off by the border
    assert ((area - 0.2 * 50 * 80).abs() <= (heights + widths) / 2 + 0.25).all()
    assert (heights.min(), heights.max(), widths.min(), widths.max()) == (10, 50, 16, 80)
    assert all(side.any() for side in (rows[:, 0], rows[:, -1], columns[:, 0], columns[:, -1]))
    assert abs(heights.float().log().mean() - (math.log(50) + math.log(0.2) / 2)) < 0.03


def test_a_box_of_area_0_mixes_nothing_and_of_area_1_everything():
    x, pasted, onto = torch.rand(4, 1, 9, 13), torch.tensor([1, 2, 3, 0]), torch.tensor([2, 2, 0, 1])
    for area, order in ((0, onto), (1, pasted)):
        mix = CutMix.of(draw_boxes(4, (9, 13), area), pasted, onto)
        assert torch.equal(mix(x, x), x[order])


def test_equal_to_a_loop_over_pixels():
    label, image = labels(), torch.rand(4, 2, 9, 13)
    boxes, pasted, onto = draw_boxes(4, (9, 13), 0.3), torch.randperm(4), torch.randperm(4)
    mix = CutMix.of(boxes, pasted, onto)
    mixed, image_mixed = mix(label, label), mix(image, image)
    for n in range(4):
        for row in range(9):
            for column in range(13):
                source = pasted[n] if boxes[pasted[n], row, column] else onto[n]
                assert mixed[n, row, column] == label[source, row, column]
                assert torch.equal(image_mixed[n, :, row, column], image[source, :, row, column])


def test_two_batches_are_mixed_by_the_order_of_the_mix():
    mix = CutMix.of(draw_boxes(2, (8, 8), 0.25), torch.tensor([1, 0]), torch.tensor([0, 1]))
    first, second = torch.tensor([1, 2]), torch.tensor([3, 4])
    mixed = mix(*(numbers[:, None, None].expand(2, 8, 8) for numbers in (first, second)))
    assert mixed[0].unique().tolist() == [2, 3]  # image 1 of the first batch on image 0 of the second
    assert mixed[1].unique().tolist() == [1, 4]


def test_an_image_pasted_onto_itself_stays():
    label, order = labels(), torch.randperm(4)
    assert torch.equal(CutMix.of(draw_boxes(4, (9, 13), 0.2), order, order)(label, label), label[order])


def test_labels_and_images_are_mixed_by_the_same_box_and_unlabelled_stays_unlabelled():
    label = labels()
    mix = CutMix.of(draw_boxes(4, (9, 13), 0.2), torch.randperm(4), torch.randperm(4))
    mixed = mix(label, label)
    assert torch.equal(mix(label[:, None].float(), label[:, None].float())[:, 0], mixed.float())
    assert torch.equal(mix(label == IGNORE, label == IGNORE), mixed == IGNORE)
    assert set(mixed.unique().tolist()) == {0, 1, 2, IGNORE}
