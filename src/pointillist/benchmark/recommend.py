"""Make the table of advice from results files, and ask what following it would have cost."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, product
from statistics import fmean, median, stdev
from typing import Any, NamedTuple, cast

from pointillist.benchmark.advice import OPTIONS, Advice, Evidence, advised, budget_of
from pointillist.benchmark.comparison import OVERALL, Entrant
from pointillist.benchmark.paper_rows import changed_settings
from pointillist.benchmark.suite import load_suite, shipped
from pointillist.data.kind import ImagesKind, MarksKind
from pointillist.data.simulate import generator_named
from pointillist.methods import methods

READING = "plain"
"""What ``train`` makes unless told otherwise."""
REFERENCE = "pce"
BOUND = "full"
MARGIN = 0.01
"""Methods so near to the best count as equal; the smaller HD95 decides."""
_TRACKS = ("-quick", "-long", "-paper")
_IMAGES: dict[str, ImagesKind] = {
    "acdc": "organs", "chaos": "organs", "btcv": "organs", "mscmr": "organs", "dsb2018": "nuclei", "monuseg": "nuclei",
    "glas": "tissue", "camelyon16": "tissue",
}  # fmt: skip
_MARKS: dict[str, MarksKind] = {"points": "points", "pairs": "points", "scribbles": "scribbles"}
_OF_EPOCHS = "refresh"
"""A setting that counts epochs: suites adapt it to their number of images, so it makes no other method of one."""


class Key(NamedTuple):
    """What makes entries of two suites the same: JSON of the settings and of the recipe."""

    method: str
    settings: str
    recipe: str
    net: str


@dataclass(frozen=True)
class Candidate:
    """A method on a track: its evidence and its Dice by fold and seed."""

    key: Key
    evidence: Evidence
    dice: Mapping[tuple[int | None, int], float]

    @property
    def gain(self) -> float:
        """Dice above the reference's."""
        return self.evidence.dsc - self.evidence.reference


@dataclass(frozen=True)
class Track:
    """A suite that methods were compared on."""

    suite: str
    data: str
    marks: MarksKind
    images: ImagesKind
    iterations: int
    candidates: Mapping[Key, Candidate]

    @property
    def best(self) -> Candidate:
        """The candidate that gains most, in hindsight: methods may have been run on unlike folds."""
        return max(self.candidates.values(), key=lambda one: one.gain)


@dataclass(frozen=True)
class Regret:
    """What following the advice costs on a track.

    Attributes:
        track: the suite.
        best: the best candidate in hindsight.
        within: the advice from all tracks, and how much less it gains than the best; None where it was not run there.
        without: likewise from the tracks of other data or other marks alone.
    """

    track: Track
    best: Candidate
    within: tuple[Advice, float | None]
    without: tuple[Advice, float | None] | None


def tracks_of(suites: Mapping[str, Sequence[Entrant]]) -> list[Track]:
    """The suites that the advice rests on: quick, long and paper tracks with runs of ``pce`` and of another method."""
    return [track for name, entrants in suites.items() if name.endswith(_TRACKS) and (track := _track(name, entrants))]


def advice_from(tracks: Sequence[Track]) -> tuple[Advice, ...]:
    """A row for every kind of marks, of images and budget that there are tracks of, and rows for any kind.

    The method of a row has the highest mean gain of Dice over ``pce`` on the row's tracks, less one standard error
    σ/√runs, where σ is the median spread between the seeds of a method; on a track where it was not run its gain
    is 0. Of those within ``MARGIN`` of it on its tracks, the one with the smallest HD95 relative to that of ``pce`` is
    taken. Folds by which a setting was chosen do not count. A row for long budgets rests on short tracks as well: few
    methods are run for long, and the best of two says less than the best of twenty.
    """
    sigma = _spread(tracks)
    rows = []
    for marks, images, budget in product(
        ("points", "scribbles", "any"), (*dict.fromkeys(_IMAGES.values()), "any"), ("short", "long")
    ):
        chosen = [
            track
            for track in tracks
            if marks in (track.marks, "any")
            and images in (track.images, "any")
            and (budget == "long" or budget_of(track.iterations) == "short")
        ]
        covered = any(budget_of(track.iterations) == budget for track in chosen)
        if covered and (marks != "any" or images == "any"):
            rows.append(_row(chosen, sigma, {"marks": marks, "images": images, "budget": budget}))
    return tuple(rows)


def as_json(rows: Iterable[Advice]) -> str:
    """The file of the table, one line of evidence each."""
    lines = []
    for row in rows:
        head = {name: value for name, value in asdict(row).items() if name != "evidence"}
        evidence = ",\n   ".join(json.dumps(asdict(one), ensure_ascii=False) for one in row.evidence)
        lines.append(f'{json.dumps(head, ensure_ascii=False)[:-1]},\n  "evidence": [\n   {evidence}]}}')
    return "[\n " + ",\n ".join(lines) + "\n]\n"


def regrets(tracks: Sequence[Track]) -> list[Regret]:
    """What the advice costs on every track, and what it would have cost before there were results of its kind."""
    found = []
    for track in tracks:
        others = [one for one in tracks if (one.data, one.marks) != (track.data, track.marks)]
        without = _followed(track, advice_from(others)) if others else None
        within = cast("tuple[Advice, float | None]", _followed(track, advice_from(tracks)))
        found.append(Regret(track, track.best, within, without))
    return found


def _followed(track: Track, rows: Sequence[Advice]) -> tuple[Advice, float | None] | None:
    row = advised(rows, track.marks, track.images, track.iterations)
    if row is None:
        return None
    used = track.candidates.get(_key(row.method, row.evidence[0].settings, row.recipe, row.net))
    return row, None if used is None else track.best.gain - used.gain


def _track(name: str, entrants: Sequence[Entrant]) -> Track | None:
    first = entrants[0].results[0]
    source = first["data"]["source"]
    marks = source.get("marks")
    kind = _MARKS.get(generator_named(marks["generator"]).annotation) if marks else "scribbles"
    images = _IMAGES.get(source.get("importer"))
    known = methods()
    pce = next((one for one in entrants if one.label == REFERENCE), None)
    if kind is None or images is None or pce is None:
        return None
    looked_at = _tuned_folds(name)
    candidates: dict[Key, Candidate] = {}
    for one in entrants:
        shared = {fold for fold, _ in _dice(one)} & {fold for fold, _ in _dice(pce)}
        mine, theirs = (_on_folds(each, shared - looked_at.get(one.label, set())) for each in (one, pce))
        if one.method in known and one.method != BOUND and mine and theirs:
            candidate = _candidate(name, mine, theirs)
            rival = candidates.get(candidate.key)
            if rival is None or len(rival.dice) < len(candidate.dice):
                candidates[candidate.key] = candidate
    if len(candidates) < 2:
        return None
    return Track(name, first["data"]["name"], kind, images, first["training"]["iterations"], candidates)


def _tuned_folds(suite: str) -> dict[str, set[int]]:
    """Of the entries of a suite: the folds by which a setting was chosen."""
    entries = load_suite(suite).methods if suite in shipped() else ()
    return {entry.label: set(entry.tuned_folds) for entry in entries}


def _on_folds(one: Entrant, folds: Collection[int | None]) -> Entrant | None:
    """The results of some folds that have a Dice; None where there are none."""
    dice = _dice(one)
    kept = tuple(x for x in one.results if x["fold"] in folds and (x["fold"], x["seed"]) in dice)
    return Entrant(one.label, one.title, kept) if kept else None


def _candidate(suite: str, one: Entrant, reference: Entrant) -> Candidate:
    """A method beside ``pce`` on the same folds."""
    first, dice = one.results[0], _dice(one)
    of_unit = {unit: [_hd95(each, unit) for each in (one, reference)] for unit in ("mm", "voxel")}
    unit = "mm" if of_unit["mm"][0] is not None else "voxel"
    evidence = Evidence(
        suite=suite,
        settings=changed_settings(one.method, first["all_settings"]),
        iterations=first["training"]["iterations"],
        options={name: first["training"][name] for name in OPTIONS},
        slices=first["data"]["training_slices"],
        dsc=round(fmean(dice.values()), 4),
        reference=round(fmean(_dice(reference).values()), 4),
        hd95=of_unit[unit][0],
        hd95_reference=of_unit[unit][1],
        unit=unit,
        folds=tuple(dict.fromkeys(fold for fold, _ in dice)),
        seeds=tuple(sorted({seed for _, seed in dice})),
        minutes=round(median(result["cost"]["train_minutes"] for result in one.results), 1),
        commits=tuple(sorted({result["code"]["commit"] for result in one.results if result["code"]["commit"]})),
    )
    recipe, net = first["training"]["recipe"], first["training"]["net"]
    return Candidate(_key(one.method, evidence.settings, recipe, net), evidence, dice)


def _hd95(one: Entrant, unit: str) -> float | None:
    value = one.mean(READING, OVERALL, "hd95_pooled_bounded", unit)
    return None if value is None else round(value, 2)


def _key(method: str, settings: Mapping[str, Any], recipe: Mapping[str, Any], net: str) -> Key:
    kept = {name: value for name, value in settings.items() if name != _OF_EPOCHS}
    return Key(method, json.dumps(kept, sort_keys=True), json.dumps(recipe, sort_keys=True), net)


def _dice(one: Entrant) -> dict[tuple[int | None, int], float]:
    alone = (
        (result, Entrant(one.label, one.title, (result,)).mean(READING, OVERALL, "dsc", "1")) for result in one.results
    )
    return {(result["fold"], result["seed"]): dice for result, dice in alone if dice is not None}


def _spread(tracks: Iterable[Track]) -> float:
    """Median standard deviation between the seeds of a method on a fold; 0 where nothing has two seeds."""
    spreads = []
    for track in tracks:
        for one in track.candidates.values():
            runs = sorted(one.dice.items(), key=lambda run: str(run[0][0]))
            by_fold = [[dice for _, dice in group] for _, group in groupby(runs, key=lambda run: run[0][0])]
            spreads += [stdev(dice) for dice in by_fold if len(dice) > 1]
    return median(spreads) if spreads else 0.0


def _row(tracks: Sequence[Track], sigma: float, place: Mapping[str, Any]) -> Advice:
    keys = list(dict.fromkeys(key for track in tracks for key in track.candidates))
    ran = {key: [(track, track.candidates[key]) for track in tracks if key in track.candidates] for key in keys}

    def gain(key: Key) -> float:
        return sum(one.gain for _, one in ran[key]) / len(tracks)

    def careful(key: Key) -> float:
        noise = sigma * math.sqrt(sum(1 / len(one.dice) for _, one in ran[key])) / len(tracks)
        return gain(key) - noise * (key.method != REFERENCE)

    def distance(key: Key) -> float:
        pairs = [(one.evidence.hd95, one.evidence.hd95_reference) for _, one in ran[key]]
        return sum(math.log(mine / base) for mine, base in pairs if mine and base) / len(tracks)

    best = max(keys, key=careful)
    least = careful(best) - MARGIN * len(ran[best]) / len(tracks)
    key = min((key for key in keys if careful(key) >= least), key=lambda key: (distance(key), -careful(key)))
    return Advice(
        **place,
        method=key.method,
        recipe=json.loads(key.recipe),
        net=key.net,
        gain=round(gain(key), 4),
        tracks=len(tracks),
        evidence=tuple(one.evidence for _, one in ran[key]),
    )
