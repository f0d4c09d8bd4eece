"""``pointillist predict``: a trained model and images to segmentations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointillist.predict.stream import Outcome


def predict(
    run: Annotated[Path, typer.Argument(help="Folder with model.safetensors and model.json.", show_default=False)],
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Images, folders of images, or datasets.", show_default=False),
    ],
    out: Annotated[Path, typer.Argument(help="Folder for the predictions.", show_default=False)],
    fold: Annotated[
        int | None,
        typer.Option(help="Predict the cases that this fold of the dataset holds out.", min=1, show_default=False),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write class probabilities, as .npz.")
    ] = False,
    uncertainty: Annotated[bool, typer.Option("--uncertainty", help="Also write a map of uncertainty, 0 … 1.")] = False,
    kind: Annotated[
        Literal["nifti", "png", "tiff", "geojson"] | None,
        typer.Option(
            "--as",
            help="Kind of label files; default: NIfTI for volumes, else PNG. geojson: objects as QuPath opens them.",
            show_default=False,
        ),
    ] = None,
    instances: Annotated[bool, typer.Option("--instances", help="Also write images of object numbers.")] = False,
    min_object: Annotated[
        int, typer.Option(metavar="PIXELS", min=0, help="Of --instances and geojson: smaller objects are dropped.")
    ] = 64,
    max_hole: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            min=0,
            help="Likewise: larger holes stay open; default: all are filled.",
            show_default=False,
        ),
    ] = None,
    argmax: Annotated[
        Literal["network", "native"],
        typer.Option(help="Where classes are decided: at the network's size, as published, or on the image's grid."),
    ] = "network",
    border: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Make background of this share of the columns at either end, below 0.5."),
    ] = 0.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], typer.Option(help="auto: bf16 where the hardware has it.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads; default: all cores.", show_default=False)
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Slices or tiles at once; bounds memory.")] = 8,
    header_rule: Annotated[
        Literal["auto", "pixdim", "affine"],
        typer.Option(help="Which side of a contradictory NIfTI header to believe."),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line a case.")] = False,
) -> None:
    """Segment images with a trained model, on the grid they have.

    Example: pointillist predict runs/hearts scans/ predictions/ --uncertainty

    Of a dataset, the held-out images are predicted (imagesTs), or with --fold those of a fold. Run it again to go on
    where it stopped: finished predictions are kept as long as image, model and settings are the same. A file that
    cannot be predicted is reported, and the rest goes on; the exit code is then 1.
    """
    from pointillist.geometry.objects import ObjectRules
    from pointillist.predict.cases import find_cases
    from pointillist.predict.device import choose_device, use_threads
    from pointillist.predict.model import load_model, read_description
    from pointillist.predict.predictor import Predictor
    from pointillist.predict.stream import Output, predict_stream
    from pointillist.runtime.memory import keep_freed_memory

    use_threads(threads)
    keep_freed_memory()
    _refuse_known_cases(run, inputs, fold)
    cases = find_cases(inputs, len(read_description(run).channels), fold=fold)
    net, description = load_model(run, choose_device(device))
    predictor = Predictor(net, description, precision=precision, batch=batch, argmax=argmax, border=border)
    rules = ObjectRules(min_object, max_hole)
    output = Output(kind, probabilities, uncertainty, header_rule, instances, rules)
    outcomes = predict_stream(predictor, cases, out, output)
    _report(outcomes, len(cases), out, as_json=as_json)


def _refuse_known_cases(run: Path, inputs: list[Path], fold: int | None) -> None:
    """Refuse to predict, as held out, cases of a dataset that the model was trained on."""
    from pointillist.data.dataset import Dataset
    from pointillist.errors import InputError
    from pointillist.predict.model import read_description

    origin = read_description(run).provenance
    for folder in inputs if fold is not None and "fold" in origin else ():
        known = (folder / "dataset.json").is_file() and Dataset.open(folder).name == origin.get("dataset")
        if known and origin["fold"] != fold:
            raise InputError(
                "the model may have learned from the cases of this fold",
                where=f"{run}, fold",
                expected=f"--fold {origin['fold']}" if origin["fold"] else "no --fold: it was trained on every case",
                received=f"--fold {fold}",
                todo=f"train with --fold {fold}, or predict the fold that the model was trained without",
            )


def _report(outcomes: Iterable[Outcome], total: int, out: Path, *, as_json: bool) -> None:
    """Show every outcome as it comes, then the sum of them; raises where any case failed."""
    import json
    from dataclasses import asdict

    from pointillist.errors import PointillistError

    counts = {"predicted": 0, "kept": 0, "failed": 0}
    failed: list[str] = []
    for number, outcome in enumerate(outcomes, start=1):
        counts[outcome.status] += 1
        failed += [outcome.case] if outcome.status == "failed" else []
        if as_json:
            content: dict[str, Any] = asdict(outcome) | {"seconds": round(outcome.seconds, 3)}
            typer.echo(json.dumps(content, ensure_ascii=False))
            continue
        typer.echo(f"[{number}/{total}] {outcome.case}: {outcome.status}" + _details(outcome), err=bool(outcome.error))
    if not as_json:
        said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        typer.echo(f"{out}: {said}")
    if failed:
        raise PointillistError(
            f"{len(failed)} of {total} images could not be predicted",
            where=out,
            expected="a prediction of every image",
            received=", ".join(failed[:20]) + (" …" if failed[20:] else ""),
            todo="see the message of each above; mend the files and run the same command again",
        )


def _details(outcome: Outcome) -> str:
    if outcome.error is not None:
        return "\n  " + outcome.error.replace("\n", "\n  ")
    notes = "".join(f"\n  note: {note}" for note in outcome.notes)
    return (f" in {outcome.seconds:.1f} s" if outcome.status == "predicted" else "") + notes
