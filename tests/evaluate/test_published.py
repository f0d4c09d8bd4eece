from __future__ import annotations

import numpy as np
import pytest

from pointillist.data.image import Grid, Image
from pointillist.errors import InputError
from pointillist.evaluate.cases import case_rows
from pointillist.evaluate.classes import Classes
from pointillist.evaluate.protocol import Protocol
from pointillist.evaluate.published import PUBLISHED_RULES, published_rule

CLASSES = Classes({1: "organ"}, None, "test")
EMPTY, FULL = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
FULL[1:3, 1:4] = 1

# What each code returns for (prediction, reference): both empty, prediction empty, reference empty.
WRITTEN = {
    "wsl4mis-test": [None, None, None],
    "wsl4mis-val": [(0, 0), (0, 0), None],
    "trimix": [(0, 0), (0, 0), None],
    "pclmix": [(0, 50), (0, 50), None],
    "attenscribble": [(0, 0), (0, 0), (0, 0)],
    "transunet": [(0, 0), (0, 0), (1, 0)],
    "pscv": [(0, 0), (0, 0), (1, 0)],  # no code is public; TransUNet's, whose test it names
    "pymic": [(1, 0), (0, 100), (0, 100)],
}


def published_rows(prediction, reference, code):
    images = [Image(array, Grid(array.shape)) for array in (prediction, reference)]
    rows = {row.metric: row for row in case_rows("a", *images, CLASSES, Protocol(published=code))}
    return rows, (rows[f"dsc_as_{code}"], rows[f"hd95_as_{code}"])


def test_every_rule_is_pinned():
    assert set(WRITTEN) == set(PUBLISHED_RULES)


@pytest.mark.parametrize("code", PUBLISHED_RULES)
@pytest.mark.parametrize(
    ("masks", "which"), [((EMPTY, EMPTY), 0), ((EMPTY, FULL), 1), ((FULL, EMPTY), 2)], ids=["both", "pred", "ref"]
)
def test_empty_masks_as_the_code_has_them(code, masks, which):
    expected = WRITTEN[code][which]
    _, found = published_rows(*masks, code)
    if expected is None:
        assert [row.value for row in found] == [None, None]
        assert all(row.reason == "the published code stops with an error" for row in found)
    else:
        assert tuple(row.value for row in found) == expected


@pytest.mark.parametrize("code", PUBLISHED_RULES)
def test_other_pairs_are_scored_in_the_codes_form(code):
    speck = FULL.copy()
    speck[3, 5] = 1
    rows, (dice, distance) = published_rows(speck, FULL, code)
    assert dice.value == rows["dsc"].value
    assert distance.value == rows["hd95_max" if code == "pymic" else "hd95_pooled"].value > 0
    assert distance.unit == "voxel"


def test_the_honest_rows_stay_beside_the_published_ones():
    rows, _ = published_rows(EMPTY, FULL, "attenscribble")
    assert rows["hd95_pooled"].value is None
    assert rows["hd95_as_attenscribble"].value == 0


def test_an_unknown_code_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="no published rule") as caught:
        published_rule("medpy")
    assert "pclmix" in caught.value.expected
