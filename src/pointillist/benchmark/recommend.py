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
    def reference(self) -> Candidate:
        """The candidate that gains are measured from."""
        return next(one for key, one in self.candidates.items() if key.method == REFERENCE)

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
    is 0. Of those within ``MARGIN`` of it, the one with the smallest HD95 relative to that of ``pce`` is taken.
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
            and budget_of(track.iterations) == budget
        ]
        if chosen and (marks != "any" or images == "any"):
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
    base = _dice(pce)
    candidates: dict[Key, Candidate] = {}
    for one in entrants:
        shared = {run: dice for run, dice in _dice(one).items() if run[0] in {fold for fold, _ in base}}
        if one.method in known and one.method != BOUND and shared:
            candidate = _candidate(name, one, shared, _mean_over_folds(base, {fold for fold, _ in shared}))
            rival = candidates.get(candidate.key)
            if rival is None or len(rival.dice) < len(shared):
                candidates[candidate.key] = candidate
    if len(candidates) < 2:
        return None
    return Track(name, first["data"]["name"], kind, images, first["training"]["iterations"], candidates)


def _mean_over_folds(dice: Mapping[tuple[int | None, int], float], folds: Collection[int | None]) -> float:
    return fmean(value for (fold, _), value in dice.items() if fold in folds)


def _candidate(suite: str, one: Entrant, dice: dict[tuple[int | None, int], float], reference: float) -> Candidate:
    first = one.results[0]
    used = [result for result in one.results if (result["fold"], result["seed"]) in dice]
    lengths = {unit: one.mean(READING, OVERALL, "hd95_pooled_bounded", unit) for unit in ("mm", "voxel")}
    unit = "mm" if lengths["mm"] is not None else "voxel"
    hd95 = lengths[unit]
    evidence = Evidence(
        suite=suite,
        settings=changed_settings(one.method, first["all_settings"]),
        iterations=first["training"]["iterations"],
        options={name: first["training"][name] for name in OPTIONS},
        slices=first["data"]["training_slices"],
        dsc=round(fmean(dice.values()), 4),
        reference=round(reference, 4),
        hd95=None if hd95 is None else round(hd95, 2),
        unit=unit,
        folds=tuple(dict.fromkeys(fold for fold, _ in dice)),
        seeds=tuple(sorted({seed for _, seed in dice})),
        minutes=round(median(result["cost"]["train_minutes"] for result in used), 1),
        commits=tuple(sorted({result["code"]["commit"] for result in used if result["code"]["commit"]})),
    )
    recipe, net = first["training"]["recipe"], first["training"]["net"]
    return Candidate(_key(one.method, evidence.settings, recipe, net), evidence, dice)


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
        pairs = [(one.evidence.hd95, track.reference.evidence.hd95) for track, one in ran[key]]
        return sum(math.log(mine / base) for mine, base in pairs if mine and base) / len(tracks)

    highest = max(careful(key) for key in keys)
    key = min((key for key in keys if careful(key) >= highest - MARGIN), key=lambda key: (distance(key), -careful(key)))
    return Advice(
        **place,
        method=key.method,
        recipe=json.loads(key.recipe),
        net=key.net,
        gain=round(gain(key), 4),
        tracks=len(tracks),
        evidence=tuple(one.evidence for _, one in ran[key]),
    )
