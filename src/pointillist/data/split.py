"""Folds and held-out sets that never part a group: a patient or slide is on one side only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pointillist.errors import DatasetError, InputError


@dataclass(frozen=True)
class Split:
    """One fold.

    Attributes:
        train: case ids whose marks may be learned from.
        val: case ids that training never sees: the paper's test cases.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]


# WSL4MIS code/dataloaders/dataset_semi.py; the same in PCLMix and TriMix. Patient numbers of each fold's test set.
_ACDC_FOLDS = (range(1, 21), range(21, 41), range(41, 61), range(61, 81), range(81, 101))


def acdc_folds(groups: Mapping[str, str]) -> list[Split]:
    """ACDC's five published folds: patients 001–020 are held out in fold 1, 021–040 in fold 2, and so on.

    Args:
        groups: patient (``patientNNN``) of every training case id.

    Raises:
        InputError: if a group is not one of the hundred training patients.
    """
    numbers = {}
    for case, group in groups.items():
        match = re.fullmatch(r"patient(\d{3})", group)
        if not match or not 1 <= int(match[1]) <= 100:
            raise InputError(
                "the published ACDC folds know only the hundred training patients",
                where=case,
                expected="patient001 … patient100",
                received=group,
                todo="correct the name of the patient, or leave the case out",
            )
        numbers[case] = int(match[1])
    held_out = [{case for case, number in numbers.items() if number in fold} for fold in _ACDC_FOLDS]
    return [_split(groups, held) for held in held_out]


def listed_folds(groups: Mapping[str, str], tests: Sequence[Collection[str]]) -> list[Split]:
    """Published folds: each holds out the listed groups, as far as they are there.

    Args:
        groups: group of every training case id.
        tests: the groups that each fold holds out.
    """
    return [_split(groups, {case for case, group in groups.items() if group in test}) for test in tests]


def group_folds(groups: Mapping[str, str], count: int, seed: int) -> list[Split]:
    """Folds of nearly equal size, whole groups dealt in seeded order to the smallest fold, large groups first.

    The folds are sorted by size, so that fold 1 holds out the fewest cases.

    Args:
        groups: group of every training case id.
        count: number of folds.
        seed: decides the order of groups of equal size.

    Raises:
        InputError: if there are fewer groups than folds, or fewer than two folds.
    """
    members = _members(groups)
    if not 2 <= count <= len(members):
        raise InputError(
            "cases cannot be divided into this many folds",
            where="--folds",
            expected=f"2 … {len(members)} folds: every fold holds out at least one whole group",
            received=count,
            todo="ask for fewer folds, or import more patients or slides",
        )
    folds: list[list[str]] = [[] for _ in range(count)]
    for group in sorted(_shuffled(members, seed), key=lambda name: -len(members[name])):
        smallest = min(folds, key=len)
        smallest += members[group]
    return [_split(groups, set(fold)) for fold in sorted(folds, key=len)]


def held_out(groups: Mapping[str, str], fraction: float, seed: int) -> Split:
    """A seeded part of the groups set aside, at least one, for example for selection on marks.

    Args:
        groups: group of every case id to divide.
        fraction: share of the groups, between 0 and 1.
        seed: decides which.

    Raises:
        InputError: if there are fewer than two groups.
    """
    members = _members(groups)
    if len(members) < 2:
        raise InputError(
            "nothing can be held out",
            where="--select marks, --hold-out, or a method that validates",
            expected="two patients or slides, or more",
            received=len(members),
            todo="mark or import more, or train without them: --select last, no --hold-out, another method",
        )
    wanted = min(max(round(fraction * len(members)), 1), len(members) - 1)
    chosen = _shuffled(members, seed)[:wanted]
    return _split(groups, {case for group in chosen for case in members[group]})


def drawn_groups(groups: Mapping[str, str], count: int, seed: int) -> tuple[str, ...]:
    """The cases of so many groups; those of fewer groups are among those of more.

    Args:
        groups: group of every case id to draw from.
        count: groups that are drawn.
        seed: decides which.

    Raises:
        InputError: if there are not so many.
    """
    members = _members(groups)
    if not 1 <= count <= len(members):
        raise InputError(
            "so many patients or slides cannot be drawn",
            where="--groups",
            expected=f"1 … {len(members)}, the groups to train on",
            received=count,
            todo="ask for fewer, or leave it out",
        )
    return tuple(sorted(case for group in _shuffled(members, seed)[:count] for case in members[group]))


def check_splits(splits: Sequence[Split], groups: Mapping[str, str]) -> None:
    """Refuse folds that name unknown cases, use a case twice or on both sides, or part a group.

    Raises:
        DatasetError: naming the fold and the case or group.
    """
    for number, split in enumerate(splits, start=1):
        where = f"fold {number}"
        cases: tuple[object, ...] = (*split.train, *split.val)  # a hand-written file may hold anything
        unknown = [case for case in cases if not isinstance(case, str) or case not in groups]
        if unknown:
            raise DatasetError(
                "a fold names cases that the dataset lacks",
                where=where,
                expected="ids of training cases",
                received=unknown[:5],
                todo="correct splits_final.json, or complete the dataset",
            )
        parted = sorted({groups[case] for case in split.train} & {groups[case] for case in split.val})
        if parted:
            raise DatasetError(
                "a fold has the same patient or slide on both sides",
                where=where,
                expected="every group in train or in val",
                received=parted[:5],
                todo="divide by group, or mend the groups in dataset.json",
            )
        if len(set(cases)) != len(cases):
            twice = sorted({case for case in cases if cases.count(case) > 1}, key=str)
            raise DatasetError(
                "a fold names a case twice",
                where=where,
                expected="every case once",
                received=twice[:5],
                todo="remove the repeats from splits_final.json",
            )


def _members(groups: Mapping[str, str]) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for case in sorted(groups):
        members.setdefault(groups[case], []).append(case)
    return members


def _shuffled(members: Mapping[str, list[str]], seed: int) -> list[str]:
    """Groups in an order that a seed decides, the same on every machine and for every NumPy release."""
    return sorted(members, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())


def _split(groups: Mapping[str, str], val: set[str]) -> Split:
    cases = sorted(groups)
    return Split(tuple(c for c in cases if c not in val), tuple(c for c in cases if c in val))
