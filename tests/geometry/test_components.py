from __future__ import annotations

import numpy as np
from scipy import ndimage

from pointillist.geometry.components import largest_components


def one_by_one(classes):
    """From the description, an image and a class at a time."""
    out = np.zeros_like(classes)
    for image, kept in zip(classes, out, strict=True):
        whole = largest(image > 0)
        for number in np.unique(image[image > 0]):
            part = largest(image == number)
            kept[part & whole] = number
    return out


def largest(mask):
    parts, count = ndimage.label(mask)
    sizes = [(parts == number).sum() for number in range(1, count + 1)]
    return parts == 1 + int(np.argmax(sizes)) if count else mask


def test_equal_to_one_class_at_a_time():
    rng = np.random.default_rng(0)
    for size in ((1, 1, 1), (1, 9, 7), (4, 24, 17)):
        for smooth in (0, 1, 2):
            noise = ndimage.gaussian_filter(rng.normal(size=(4, *size)), (0, 0, smooth, smooth))
            classes = noise.argmax(0).astype(np.uint8)
            assert np.array_equal(largest_components(classes), one_by_one(classes))


def test_by_hand():
    classes = np.array([[[1, 1, 0, 2], [0, 2, 2, 0], [3, 0, 0, 3]]], np.uint8)
    # the largest foreground part is the 1s with the two 2s; both 3s and the single 2 lie outside it
    assert largest_components(classes).tolist() == [[[1, 1, 0, 0], [0, 2, 2, 0], [0, 0, 0, 0]]]


def test_parts_of_one_image_do_not_join_those_of_the_next():
    classes = np.array([[[1, 1, 0, 1]], [[0, 1, 0, 1]]], np.uint8)
    assert largest_components(classes).tolist() == [[[1, 1, 0, 0]], [[0, 1, 0, 0]]]


def test_background_alone_stays():
    assert not largest_components(np.zeros((2, 3, 4), np.uint8)).any()
