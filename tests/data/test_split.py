"""Folds never part a group, lose no case, are of nearly equal size, and depend on nothing but ids and seed."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointillist.data.split import (
    Split,
    acdc_folds,
    check_splits,
    drawn_groups,
    group_folds,
    held_out,
    listed_folds,
)
from pointillist.errors import DatasetError, InputError

ids = st.text("abcdefghij0123456789_", min_size=1, max_size=6)
grouped = st.dictionaries(ids, st.sampled_from(["p1", "p2", "p3", "p4", "p5", "p6", "p7"]), min_size=2, max_size=40)


def sound(splits, groups):
    check_splits(splits, groups)
    for split in splits:
        assert sorted((*split.train, *split.val)) == sorted(groups)
        assert list(split.train) == sorted(split.train)
        assert list(split.val) == sorted(split.val)
    return True


@given(groups=grouped, count=st.integers(2, 7), seed=st.integers(0, 99))
def test_folds_are_sound_whatever_the_groups(groups, count, seed):
    members = {name: [case for case in groups if groups[case] == name] for name in groups.values()}
    if count > len(members):
        with pytest.raises(InputError, match="this many folds"):
            group_folds(groups, count, seed)
        return
    splits = group_folds(groups, count, seed)
    assert len(splits) == count
    assert sound(splits, groups)
    tested = [case for split in splits for case in split.val]
    assert sorted(tested) == sorted(groups)  # every case is tested once
    sizes = [len(split.val) for split in splits]
    assert sizes == sorted(sizes)
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= max(len(cases) for cases in members.values())


@given(groups=grouped, seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_of_cases(groups, seed, order):
    if len(set(groups.values())) < 2:
        return
    items = list(groups.items())
    order.shuffle(items)
    assert group_folds(dict(items), 2, seed) == group_folds(groups, 2, seed)
    assert held_out(dict(items), 0.3, seed) == held_out(groups, 0.3, seed)


def test_folds_are_the_same_on_every_machine_and_for_every_release():
    groups = {f"case{number}": f"patient{number // 2}" for number in range(10)}
    held = [split.val[0] for split in group_folds(groups, 5, 0)]
    order = sorted(range(5), key=lambda number: hashlib.sha256(f"0/patient{number}".encode()).hexdigest())
    assert order == [1, 4, 2, 3, 0]
    assert held == [f"case{2 * number}" for number in order]


def test_the_seed_decides():
    groups = {f"case{number}": f"patient{number}" for number in range(20)}
    assert len({tuple(split.val for split in group_folds(groups, 5, seed)) for seed in range(10)}) == 10


@given(groups=grouped, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_what_is_held_out_is_a_share_of_the_groups(groups, fraction, seed):
    members = set(groups.values())
    if len(members) < 2:
        with pytest.raises(InputError, match="nothing can be held out"):
            held_out(groups, fraction, seed)
        return
    split = held_out(groups, fraction, seed)
    assert sound([split], groups)
    share = len({groups[case] for case in split.val})
    assert 1 <= share < len(members)
    assert abs(share - fraction * len(members)) <= 1
    assert split == held_out(groups, fraction, seed)


@pytest.mark.parametrize("count", [-1, 0, 1, 4])
def test_an_impossible_number_of_folds_is_refused(count):
    with pytest.raises(InputError, match="this many folds"):
        group_folds({"a": "p", "b": "q", "c": "r", "d": "r"}, count, 0)


ACDC = {
    f"patient{patient:03d}_frame{frame:02d}": f"patient{patient:03d}" for patient in range(1, 101) for frame in (1, 12)
}


class TestAcdc:
    def test_the_published_folds(self):
        splits = acdc_folds(ACDC)
        assert sound(splits, ACDC)
        for fold, first in enumerate((1, 21, 41, 61, 81)):
            patients = {f"patient{number:03d}" for number in range(first, first + 20)}
            assert {ACDC[case] for case in splits[fold].val} == patients
            assert (len(splits[fold].val), len(splits[fold].train)) == (40, 160)

    def test_a_part_of_the_patients_keeps_its_folds(self):
        part = {case: group for case, group in ACDC.items() if group in ("patient005", "patient100")}
        splits = acdc_folds(part)
        assert [len(split.val) for split in splits] == [2, 0, 0, 0, 2]

    @pytest.mark.parametrize("group", ["patient101", "patient000", "patient1", "Patient001", "patient0010", "p1", ""])
    def test_anybody_else_is_refused(self, group):
        with pytest.raises(InputError, match="hundred training patients") as refused:
            acdc_folds({"case": group})
        assert refused.value.where == "case"


GROUPS = {"a": "p", "b": "p", "c": "q", "d": "r"}


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(("a", "b"), ("x",)), "cases that the dataset lacks"),
        (Split(("a", "b", "x"), ("c",)), "cases that the dataset lacks"),
        (Split((["a"],), ("c",)), "cases that the dataset lacks"),
        (Split((1, None), ("c",)), "cases that the dataset lacks"),
        (Split(("a", "c"), ("b",)), "both sides"),
        (Split(("a", "b"), ("a", "b")), "both sides"),
        (Split(("a", "b", "a"), ("c",)), "a case twice"),
        (Split(("a", "b"), ("c", "c")), "a case twice"),
    ],
)
def test_unsound_folds_are_refused(split, message):
    good = Split(("a", "b"), ("c", "d"))
    check_splits([good, Split(("d",), ("c",))], GROUPS)  # a case may be left out
    with pytest.raises(DatasetError, match=message) as refused:
        check_splits([good, split], GROUPS)
    assert refused.value.where == "fold 2"
    assert refused.value.received


def test_listed_folds_hold_out_what_is_there():
    groups = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    first, second, third = listed_folds(groups, [{"a", "z"}, {"b", "c"}, {"y"}])
    assert (first.train, first.val) == (("b1", "c1"), ("a1", "a2"))
    assert (second.train, second.val) == (("a1", "a2"), ("b1", "c1"))
    assert (third.train, third.val) == (("a1", "a2", "b1", "c1"), ())


@given(groups=grouped, count=st.integers(1, 8), seed=st.integers(0, 99))
def test_drawn_groups_are_whole_and_fewer_are_among_more(groups, count, seed):
    if count > len(set(groups.values())):
        with pytest.raises(InputError, match="cannot be drawn"):
            drawn_groups(groups, count, seed)
        return
    drawn = drawn_groups(groups, count, seed)
    names = {groups[case] for case in drawn}
    assert len(names) == count
    assert sorted(case for case in groups if groups[case] in names) == list(drawn)
    if count > 1:
        assert set(drawn_groups(groups, count - 1, seed)) < set(drawn)
