from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.methods._queue import ClassQueue, at_grid, class_means, draw_anchors
from pointillist.types import IGNORE


def pushed(queue, *numbers, classes=2):
    """One vector (number, number) an image, of class 0 for even numbers and class 1 for odd ones."""
    vectors = torch.tensor(numbers, dtype=torch.float32)[:, None, None].expand(-1, classes, 2)
    queue.push(vectors, torch.tensor([[number % 2 == k for k in range(classes)] for number in numbers]))


def held(queue, number):
    vectors, label = queue.memory()
    return vectors[label == number][:, 0].tolist()


def test_the_oldest_make_room():
    queue = ClassQueue(2, 3, 2)
    assert held(queue, 0) == held(queue, 1) == []
    pushed(queue, 2, 4, 5)
    assert (held(queue, 0), held(queue, 1)) == ([2, 4], [5])
    pushed(queue, 6, 8, 10)
    assert (sorted(held(queue, 0)), held(queue, 1)) == ([6, 8, 10], [5])
    pushed(queue, 12)
    assert sorted(held(queue, 0)) == [8, 10, 12]
    assert queue.written.tolist() == [6, 1]


def test_more_at_once_than_there_is_room_keeps_the_newest():
    queue = ClassQueue(2, 3, 2)
    pushed(queue, 2, 4, 6, 8, 10)
    assert sorted(held(queue, 0)) == [6, 8, 10]
    pushed(queue, 12)
    assert sorted(held(queue, 0)) == [8, 10, 12]


def test_a_class_is_contrasted_when_it_and_another_one_are_held():
    queue = ClassQueue(3, 4, 2)
    assert queue.contrasted().tolist() == [False] * 3
    pushed(queue, 2, classes=3)
    assert queue.contrasted().tolist() == [False] * 3
    pushed(queue, 3, classes=3)
    assert queue.contrasted().tolist() == [True, True, False]


def test_the_queue_is_saved():
    queue, other = ClassQueue(2, 3, 2), ClassQueue(2, 3, 2)
    pushed(queue, 2, 5, 8)
    other.load_state_dict(queue.state_dict())
    for one, two in zip(queue.memory(), other.memory(), strict=True):
        assert torch.equal(one, two)


def labels():
    label = torch.full((2, 60), IGNORE)
    label[0, :40], label[0, 40] = 1, 2
    label[1, 10:13], label[1, 20:22] = 0, 2
    return label


def test_anchors_are_drawn_of_every_class_of_every_image_without_replacement():
    label = labels()
    torch.manual_seed(0)
    drawn = draw_anchors(label, 3, least=2, views=5)
    assert len(drawn.unique()) == len(drawn)
    found = [(i // 60, int(label.flatten()[i])) for i in drawn.tolist()]
    counts = {group: found.count(group) for group in set(found)}
    assert counts == {(0, 1): 5, (1, 0): 3, (1, 2): 2}
    assert not torch.equal(drawn, draw_anchors(label, 3, least=2, views=5))


def test_every_pixel_of_a_class_is_drawn_as_often():
    label = labels()
    torch.manual_seed(0)
    times = torch.zeros(120)
    for _ in range(400):
        times[draw_anchors(label, 3, least=30, views=10)] += 1
    assert times[40:].sum() == 0
    assert (times[:40] - 100).abs().max() < 5 * 75**0.5


def test_nothing_to_draw():
    assert len(draw_anchors(torch.full((2, 9), IGNORE), 3, least=1, views=5)) == 0


def test_class_means_by_a_loop():
    label, vectors = labels(), torch.randn(2, 60, 4, dtype=torch.float64)
    means, present = class_means(vectors, label, 3, least=2)
    for i in range(2):
        for k in range(3):
            mine = vectors[i, label[i] == k]
            assert present[i, k] == (len(mine) >= 2)
            if len(mine):
                torch.testing.assert_close(means[i, k], mine.mean(0) / mine.mean(0).norm())


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (28, 28)])
def test_a_coarse_grid_takes_the_nearest_pixels(size):
    x = torch.randn(2, 3, 56, 61)
    assert torch.equal(at_grid(x, size), F.interpolate(x, size=size, mode="nearest"))
    assert torch.equal(at_grid(x[:, 0] > 0, size), at_grid(x, size)[:, 0] > 0)
