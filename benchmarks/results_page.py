"""Write RESULTS.md: what the results files say, suite by suite, beside the order that the papers found.

Run: python benchmarks/results_page.py

Every number of the page comes from a file in ``results/`` or from the figures of the papers in the package; none is
typed. A method's row is the mean over the seeds that were run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from scipy.stats import rankdata, spearmanr

from pointillist.benchmark.advice import IMAGES, MARKS, Advice, Evidence, titled
from pointillist.benchmark.comparison import Entrant, read_suites
from pointillist.benchmark.page import HEADS, made_by, row_of
from pointillist.benchmark.paper_rows import standing_for
from pointillist.benchmark.per_class import class_table
from pointillist.benchmark.published import Role, table_of
from pointillist.benchmark.recommend import regrets, tracks_of
from pointillist.benchmark.suite import load_suite
from pointillist.evaluate.summary import ALL_CLASSES

HERE = Path(__file__).parent
PAGE = HERE / "RESULTS.md"
READING = "recalibrated"
"""That methods are put in order by."""
FAR = 3  # places
LEAST = 4  # methods that make an order


def table(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def order(entrants: Sequence[Entrant], tables: Iterable[str]) -> list[str]:
    """Our order by DSC beside each paper's, and how far they agree; see ``standing_for`` for whose row is taken."""
    lines = []
    for place in tables:
        mine = standing_for(entrants, place)
        means = {row: one.mean(READING, *HEADS["DSC"][:3]) for row, one in mine.items()}
        ours = {row: value for row, value in means.items() if value is not None}
        theirs = table_of(place, roles=get_args(Role))
        common = [name for name in theirs if name in ours]
        if len(common) < LEAST:
            continue
        rho = spearmanr([theirs[name] for name in common], [ours[name] for name in common]).statistic
        places = [rankdata([-figures[name] for name in common]) for figures in (theirs, ours)]
        rows = sorted(zip(common, *places, strict=True), key=lambda row: row[1])
        lines += ["", f"Order by DSC against {place}: Spearman's ρ = {rho:.2f} over {len(common)} methods.", ""]
        lines += table(
            ["method", "published", "place", "obtained (re-estimated)", "place", f"moves more than {FAR}"],
            (
                [f"`{mine[name].title}`", f"{theirs[name]:.3f}", f"{there:g}", f"{ours[name]:.3f}", f"{here:g}",
                 "yes" if abs(there - here) > FAR else ""]
                for name, there, here in rows
            ),
        )  # fmt: skip
    return lines


def section(name: str, entrants: Sequence[Entrant]) -> list[str]:
    heads = {
        head: wanted
        for head, wanted in HEADS.items()
        if any(one.mean(READING, *wanted[:3]) is not None for one in entrants)
    }
    main = next(iter(heads.values()))[:3]
    ordered = sorted(entrants, key=lambda one: -(one.mean(READING, *main) or 0))
    rows = [row_of(one, heads, entrants) for one in ordered]
    readings = " / ".join(entrants[0].readings)
    return [
        f"## {name}",
        "",
        f"{entrants[0].results[0]['protocol']} {made_by(entrants)} Readings: {readings}.",
        "",
        *table(
            ["method", "seeds", *heads, "minutes", "peak memory, MB"],
            ([row["title"], row["seeds"], *row["cells"], row["minutes"], str(row["memory"])] for row in rows),
        ),
        *per_class(ordered),
        *order(entrants, load_suite(name).published),
        "",
    ]


def per_class(entrants: Sequence[Entrant]) -> list[str]:
    found = class_table(entrants, "plain")
    if found is None:
        return []
    heads = ["method", *found.classes]
    return [
        "",
        f"Class by class, plain: DSC / HD95 in {found.unit}.",
        "",
        *table(heads, ([title, *cells] for title, cells in found.rows)),
    ]


def advice_costs(suites: Mapping[str, Sequence[Entrant]]) -> list[str]:
    """What following the table of advice costs on each track."""
    return [
        "## What `train --method auto` costs",
        "",
        "Dice (plain reading) of the method that the table of advice names, below the best one in hindsight: with the "
        "table made from all tracks, and with one made without the tracks of the same data and marks. `pce` and the "
        "best one for scale; –: the method was not run on the track. Folds by which a setting was chosen are left out.",
        "",
        *table(
            ["track", "best in hindsight", "DSC", "`pce`", "advice from all", "loss", "advice from the others", "loss"],
            (
                [one.track.suite, entry_title(one.best.key.method, one.best.evidence), f"{one.best.evidence.dsc:.3f}",
                 f"{one.best.evidence.reference:.3f}", *followed(one.within), *followed(one.without)]
                for one in regrets(tracks_of(suites))
            ),
        ),
        "",
    ]  # fmt: skip


def entry_title(method: str, evidence: Evidence) -> str:
    return titled(method, evidence.settings)


def followed(advised: tuple[Advice, float | None] | None) -> list[str]:
    if advised is None:
        return ["none", "–"]
    row, loss = advised
    stand_in = f" (row of {MARKS[row.marks]} on {IMAGES[row.images]})" * ("any" in (row.marks, row.images))
    return [entry_title(row.method, row.evidence[0]) + stand_in, "–" if loss is None else f"{loss:.3f}"]


def protocol() -> list[str]:
    """The same predictions under our rule and under every public code's."""
    found = json.loads((HERE / "results" / "published_rules.json").read_text())
    names = list(found["sources"])
    rows = found["rows"]

    def cell(one: Mapping[str, Any]) -> str:
        dsc, hd95 = ("–" if one[key] is None else f"{one[key]:.{digits}f}" for key, digits in (("dsc", 3), ("hd95", 1)))
        return f"{dsc} / {hd95}" + f" ({one['undefined']})" * bool(one["undefined"])

    def apart(name: str, key: str) -> str:
        both = [(row["rules"][name][key], row["rules"][names[0]][key]) for row in rows]
        known = sorted(round(a - b, 4) + 0.0 for a, b in both if a is not None and b is not None)
        return f"{known[0]:+z.3f} … {known[-1]:+z.3f}" if key == "dsc" else f"{known[0]:+.1f} … {known[-1]:+.1f}"

    def unit(name: str) -> str:
        return str(rows[0]["rules"][name]["unit"])

    return [
        "## How much of a figure is protocol",
        "",
        f"{found['what']}: the predictions that published methods really made (origin `published`), and plain "
        "predictions of our runs with seed 1, under our rule and under each public code's. DSC / HD95, in brackets how "
        "many pairs of case and class have no distance; `empty`: pairs in which a mask is empty, of "
        f"{rows[0]['rules'][names[0]]['pairs']}. PSCV cuts its border on Synapse alone; here it shows what such a rule "
        f"can do. Which weights a code tests is another matter: it needs kept models. Commit {found['commit'][:8]}.",
        "",
        *table(
            ["origin", "predictions", "empty", *(f"{name}, {unit(name)}" for name in names)],
            (
                [row["origin"], row["title"], str(row["rules"][names[0]]["empty"]),
                 *(cell(row["rules"][name]) for name in names)]
                for row in rows
            ),
        ),
        "",
        "What a rule alone moves, over these sets: the smallest and the largest difference from ours.",
        "",
        *table(
            ["rule", "DSC", "HD95", "read in"],
            ([name, apart(name, "dsc"), apart(name, "hd95") + " (voxels − mm)" * (unit(name) == "voxel"),
              found["sources"][name]] for name in names[1:]),
        ),
        "",
    ]  # fmt: skip


def costs() -> list[str]:
    """A training step of every method."""
    found = json.loads((HERE / "results" / "method_step.json").read_text())
    rows = sorted(found["methods"].items(), key=lambda row: row[1]["times_pce"])
    return [
        "## Cost of a training step",
        "",
        f"{found['what']}. {found['hardware']}, {found['precision']}, torch {found['versions']['torch']}, commit "
        f"{found['commit'][:8]}.",
        "",
        *table(
            ["method", "seconds", "times `pce`", "peak memory, MB", "times `pce`"],
            (
                [f"`{name}`", *(str(row[key]) for key in ("seconds", "times_pce", "peak_mb", "times_peak_of_pce"))]
                for name, row in rows
            ),
        ),
        "",
    ]


def public_forms() -> list[str]:
    """Every loss beside the formulation that the public codes use."""
    found = json.loads((HERE / "results" / "public_forms.json").read_text())
    return [
        "## Losses and steps against the public formulations",
        "",
        f"{found['what']}. {found['hardware']['processor']}, 1 thread, torch {found['software']['torch']}, commit "
        f"{found['commit'][:8]}. The gated CRF, the contrastive variance and the attentive similarity have scripts and "
        "files of their own.",
        "",
        *table(
            ["loss or step", "public, ms", "ours, ms", "times faster", "difference of values", "note"],
            (
                [name, f"{row['public_ms']:.2f}", f"{row['ours_ms']:.2f}", f"{row['times_faster']:.2f}",
                 f"{row['value_difference']:.0e}", row.get("note", "")]
                for name, row in found["rows"].items()
            ),
        ),
        "",
    ]  # fmt: skip


def steps() -> list[str]:
    """Steps of three methods beside their public formulations."""
    found = json.loads((HERE / "results" / "steps.json").read_text())

    def row(one: Mapping[str, Any], memory: str) -> list[str]:
        forms = one[memory]
        times = (f"{forms[form]['seconds_best']:.1f}" for form in ("public", "ours"))
        peaks = (f"{forms[form]['peak_mib_over_baseline']:.0f}" for form in ("public", "ours"))
        return [
            f"`{one['method']}`, {size(one['shape'])}, {one['classes']} classes",
            memory.replace("_", " "),
            *times,
            f"{forms['times_faster_best']:.2f}",
            *peaks,
            f"{forms['memory_ratio']:.2f}",
            f"{forms['gradient_difference_over_largest']['ours_public']:.0e}",
        ]

    return [
        "## Steps against the public formulations",
        "",
        f"{found['what']}. PSCV, which has no public code: one cosine after the other. AttenScribble: whole attention "
        "maps, and every window of the CRF gathered. PCLMix: the whole network once a decoder, all graphs kept to the "
        "end. Memory above what the process held before: of the tensors, every block mapped by itself, and with the "
        "gaps that glibc leaves. "
        f"{found['hardware']['processor']}, torch {found['software']['torch']}, commit {found['commit'][:8]}.",
        "",
        *table(
            ["step", "memory", "public, s", "ours, s", "times faster", "public, MiB", "ours, MiB", "share",
             "difference of gradients"],
            [row(one, memory) for one in found["steps"].values() for memory in ("blocks_mapped", "with_gaps")],
        ),
        "",
    ]  # fmt: skip


def novel_tissue() -> list[str]:
    """False positives in tissue that no model saw; nothing before it was measured."""
    path = HERE / "results" / "novel_tissue.json"
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    means = sorted(found["means"].items(), key=lambda row: row[1]["inside"])
    return [
        "## Novel tissue",
        "",
        f"{found['what']}, {found['blobs_an_image']} blobs an image, reading {found['reading']}, commit "
        f"{found['commit'][:8]}. Shares that are called target, means over images: inside of the blob, where all of it "
        "is false; in the same place before; in the background outside of it; and there before. `benchmarks/"
        "novel_tissue.py` says how they are made.",
        "",
        *table(
            ["method", "inside", "same place before", "outside", "outside before"],
            ([f"`{name}`", *(f"{row[key]:.3f}" for key in found["measures"])] for name, row in means),
        ),
        "",
        *table(
            ["difference", "where", "mean", "95 % interval, images drawn again", "images"],
            (
                [f"`{one['method']}` − `{one['label']}`", one["measure"], f"{one['mean']:+.3f}",
                 f"{one['low']:+.3f} … {one['high']:+.3f}", str(one["cases"])]
                for one in found["differences"]
            ),
        ),
        "",
    ]  # fmt: skip


def large_image() -> list[str]:
    """Memory and seconds of training on large images."""
    found = json.loads((HERE / "results" / "large_image.json").read_text())
    return [
        "## Large images",
        "",
        f"{found['what']}: peak memory of the whole process, and seconds of the processor, in each phase. "
        f"{found['hardware']['processor']}, torch {found['software']['torch']}.",
        "",
        *table(
            ["method", "phase", "peak, GiB", "seconds", "commit"],
            (
                [f"`{name}`", phase, f"{one['peak_gib']:.2f}", f"{one['seconds']:.1f}", row["commit"][:8]]
                for name, row in found["methods"].items()
                for phase, one in row["phases"].items()
            ),
        ),
        "",
    ]


def region_targets() -> list[str]:
    """How good CVM's soft labels are; nothing before it was measured."""
    path = HERE / "results" / "region_targets.json"
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    measures = found["measures"]
    return [
        "## What CVM's targets are worth",
        "",
        f"{found['what']}: the prediction for the images that were trained on, and targets of its features and the "
        f"marks, against dense truth; means over images, commit {found['commit'][:8]}. `benchmarks/region_targets.py` "
        "says how they are made.",
        "",
        *table(
            ["target", "images", "Dice", "AUC", "accuracy", "accuracy, weighted by certainty"],
            (
                [name, str(row["images"]), *(f"{row[key]:.3f}" for key in measures)]
                for name, row in found["rows"].items()
            ),
        ),
        "",
    ]


def losses_at_truth() -> list[str]:
    """Whether losses lead to the truth; nothing before it was measured."""
    path = HERE / "results" / "losses_at_truth.json"
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    lines = [
        "## Which losses lead to the truth",
        "",
        "Auxiliary losses on held-out images: at the prediction of a network that learned from marks alone, at its "
        "likeliest classes, at dense truth and at dense truth with objects a pixel larger; in how many batches the "
        "truth's loss is below that of the likeliest classes; and the cosine of its gradient in the logits with "
        f"that of cross-entropy with the truth. Means over batches, commit {found['commit'][:8]}. "
        "`benchmarks/losses_at_truth.py` says how.",
        "",
    ]
    places = {"prediction": "prediction", "likeliest": "likeliest classes", "truth": "truth", "grown": "larger objects"}
    heads = ["loss", *(f"at the {place}" for place in places.values()), "truth is lower", "cosine"]
    for run in found["runs"]:
        rows = (
            [name, *(f"{row[key]:.4g}" for key in places), f"{row['lower']:.0%}", f"{row['cosine']:+.3f}"]
            for name, row in run["rows"].items()
        )
        lines += [f"{run['what']}: {run['batches']} batches of {run['batch']}.", "", *table(heads, rows), ""]
    return lines


def annotation_economy() -> list[str]:
    """What suggestions save; nothing before it was measured."""
    path = HERE / "results" / "annotation_economy.json"
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    rounds = range(found["rounds"])
    return [
        "## Clicks that suggestions save",
        "",
        f"ACDC, fold {found['fold']}, {found['size']}×{found['size']}: {found['rounds']} rounds of "
        f"{found['iterations']} iterations of `{found['method']}`, BatchNorm re-estimated, each from the weights "
        f"of the one before; after each, {found['clicks']} more clicks in a slice of each of "
        f"{found['images']} volumes. Clicks to a mean DSC of {found['target']}, which was fixed beforehand (–: not "
        "reached), then the DSC of every round, with the clicks that it had. `benchmarks/annotation_economy.py` says "
        "what the strategies are.",
        "",
        *saved_clicks(found["results"]),
        "",
        *table(
            ["strategy", "seed", f"clicks to {found['target']}", *(f"round {n + 1}" for n in rounds), "commit"],
            (
                [one["strategy"], str(one["seed"]),
                 "–" if one["clicks"] is None else f"{one['clicks']:.0f}",
                 *(f"{this['dsc'][ALL_CLASSES]:.3f} ({this['clicks']})" for this in one["rounds"]), one["commit"][:8]]
                for one in found["results"]
            ),
        ),
        "",
    ]  # fmt: skip


def saved_clicks(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Clicks of each strategy beside those of random ones with the same seed."""
    runs = {(one["strategy"], one["seed"]): one for one in results}
    rows = []
    for name in dict.fromkeys(name for name, _ in runs):
        seeds = [seed for own, seed in runs if own == name]
        clicks = [one["clicks"] for (own, _), one in runs.items() if own == name]
        mean = f"{sum(clicks) / len(clicks):.0f}" if all(clicks) else "–"
        last = sum(runs[name, seed]["rounds"][-1]["dsc"][ALL_CLASSES] for seed in seeds) / len(seeds)
        beside = [seed for seed in seeds if name != "random" and ("random", seed) in runs]
        compared = [fewer(runs[name, seed], runs["random", seed]) for seed in beside]
        rows.append([name, str(len(seeds)), mean, ", ".join(compared), f"{last:.3f}"])
    return table(["strategy", "seeds", "clicks, mean", "fewer than random, seed by seed", "DSC at the end"], rows)


def fewer(one: Mapping[str, Any], random: Mapping[str, Any]) -> str:
    """Share of the random clicks that are saved; where those did not reach the target, at least so many."""
    if one["clicks"] is None:
        return "–"
    made = random["clicks"] or random["rounds"][-1]["clicks"]
    return f"{'' if random['clicks'] else '> '}{1 - one['clicks'] / made:.0%}"


LOSSES = ("contrastive_variance", "attentive_similarity", "gated_crf", "sigmoid_contrast")


def replaced_forms() -> list[str]:
    """Losses beside the plain form of the same sum: time, memory, and how far the gradients are apart."""
    rows = []
    for name in LOSSES:
        found = json.loads((HERE / "results" / f"{name}.json").read_text())
        for one in found.get("sizes", [found]):
            ours, other = (key for key, value in one.items() if isinstance(value, dict) and "runs" in value)
            apart = one["gradient_difference_over_largest"][f"{ours}_{other}"]
            shape = one["shape"] if isinstance(one["shape"], dict) else {"probabilities": one["shape"]}
            rows.append(
                [
                    f"`{name}`",
                    ", ".join(f"{key} {size(value)}" for key, value in shape.items()),
                    f"{ours} for {other}",
                    f"{1e3 * one[ours]['seconds_median']:.0f}",
                    f"{1e3 * one[other]['seconds_median']:.0f}",
                    f"{one['times_faster_median']:.1f}",
                    f"{one[ours]['peak_mib_over_baseline']:.0f} / {one[other]['peak_mib_over_baseline']:.0f}",
                    f"{apart:.0e}",
                    found["commit"][:8],
                ]
            )
    return [
        "## Losses against their plain forms",
        "",
        "Forward and backward, float32, one core; the plain form in the same run. MiB: peak above what the process "
        "held before. Difference: of the gradients, as a share of the largest.",
        "",
        *table(["loss", "size", "form", "ms", "plain, ms", "times faster", "MiB", "difference", "commit"], rows),
        "",
    ]


def size(value: object) -> str:
    return " × ".join(map(str, value)) if isinstance(value, list) else str(value)


def solver() -> list[str]:
    """CVM's variational model, solved in a batch and map by map."""
    found = json.loads((HERE / "results" / "variational.json").read_text())
    names = {
        "primal_dual": "primal–dual, the batch at once",
        "two_regions": "the same with edges and alternating constants",
        "batched_aos": "AOS, the batch at once",
        "per_map_lu_aos": "AOS, sparse LU map by map",
    }
    maps, *side = found["shape"]
    timed = found["per_map_lu_aos"]["maps_timed"]

    def cell(one: Mapping[str, Any], key: str) -> str:
        return f"{one[key]:.1e}" if key in one else "–"

    return [
        "## CVM's solver",
        "",
        f"{maps} maps of {size(side)}, λ = {found['lambda']:g}; {found['what']}. Map by map {timed} of them is timed, "
        f"with {found['per_map_lu_aos']['steps']} steps, and multiplied. Gap: primal minus dual energy over the primal "
        f"one, the largest of all maps. Commit {found['commit'][:8]}.",
        "",
        *table(
            ["solver", "seconds", "times faster than LU", "largest gap", "energy above the least"],
            (
                [text, f"{found[key]['seconds']:.1f}",
                 f"{found['times_faster'][key]:.0f}" if key in found["times_faster"] else "1",
                 cell(found[key], "largest_relative_gap"), cell(found[key], "energy_above_least")]
                for key, text in names.items()
            ),
        ),
        "",
    ]  # fmt: skip


def page() -> str:
    """RESULTS.md as it should be."""
    lines = ["# Results", "", *(__doc__ or "").splitlines()[4:], ""]
    suites = read_suites(HERE / "results", reading=READING)
    for name, entrants in suites.items():
        lines += section(name, entrants)
    parts = (
        protocol,
        novel_tissue,
        region_targets,
        losses_at_truth,
        annotation_economy,
        costs,
        large_image,
        replaced_forms,
        public_forms,
        steps,
        solver,
    )
    lines += advice_costs(suites) + [line for part in parts for line in part()]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
