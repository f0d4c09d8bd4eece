"""``pointillist evaluate``: predictions against references."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.table import Table


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of label files, or one file.")],
    reference: Annotated[Path, typer.Argument(help="Folder of references, a dataset, or one file.")],
    out: Annotated[Path | None, typer.Option(help="Write this .json file, and a .csv beside it.")] = None,
    unit: Annotated[Literal["mm", "voxel"], typer.Option(help="Unit of distances.")] = "mm",
    published_rules: Annotated[
        str | None, typer.Option(help="Also score empty masks as this public code does, for example pclmix.")
    ] = None,
    instances: Annotated[bool, typer.Option("--instances", help="Compare objects in 2-D instance maps.")] = False,
    nsd_tolerance: Annotated[float, typer.Option(help="Tolerance of the normalised surface distance.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap intervals.", min=0)] = 0,
    header_rule: Annotated[
        Literal["auto", "pixdim", "affine"],
        typer.Option(help="Which side of a contradictory NIfTI header to believe."),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare predictions with dense references: overlap, surface distances, objects.

    Example: pointillist evaluate predictions/ data/acdc --out metrics.json

    A case's reference has the same name, possibly with _gt, _seg, _label or _mask after it. Undefined values (a
    missed organ has no surface distance) are counted beside every mean.
    """
    import json

    from rich.console import Console

    from pointillist.errors import InputError
    from pointillist.evaluate.evaluation import evaluate_folder
    from pointillist.evaluate.protocol import Protocol
    from pointillist.evaluate.summary import summarise

    if out is not None and out.suffix != ".json":
        raise InputError(
            "results are written as JSON",
            where="--out",
            expected="a name in .json",
            received=out,
            todo="let the name end in .json; a table in .csv is written beside it",
        )
    protocol = Protocol(unit, nsd_tolerance, published_rules)
    evaluation = evaluate_folder(
        predictions, reference, protocol, instances=instances, header_rule=header_rule, seed=seed
    )
    content = evaluation.to_json(summarise(evaluation.rows, seed=seed))
    if out is not None:
        from pointillist.data.writers import atomic_write_bytes, write_json

        write_json(out, content)
        atomic_write_bytes(out.with_suffix(".csv"), evaluation.to_csv())
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
        return
    console = Console()
    console.print(_table([*content["summary"], *_pooled_lines(content["pooled"])], content["header"]["cases"]))
    for line in _remarks(content["header"], out):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(summary: list[dict[str, Any]], cases: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{cases} cases", box=box.SIMPLE_HEAD)
    table.add_column("metric", no_wrap=True)
    for name in ("mean", "95 % interval", "n", "undefined"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = None
    for line in summary:
        if line["class"] != shown:
            shown = line["class"]
            table.add_section()
            table.add_row(Text(shown, style="bold"))
        unit = "" if line["unit"] == "1" else f" ({line['unit']})"
        table.add_row(
            f"  {line['metric']}{unit}",
            _number(line["mean"]),
            "–" if line["low"] is None else f"{_number(line['low'])} … {_number(line['high'])}",
            str(line["n"]),
            str(line["undefined"]) if line["undefined"] else "",
            style="yellow" if line["undefined"] else "",
        )
    return table


def _pooled_lines(pooled: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pooled metrics in the form of the summary's lines, below them."""
    return [
        line
        | {"class": f"{line['class']}, pixels of all cases together", "unit": "1", "mean": line["value"]}
        | {"n": line["cases"], "undefined": 0}
        for line in pooled
    ]


def _remarks(header: dict[str, Any], out: Path | None) -> list[str]:
    """What a reader of the table has to know besides the numbers; notes of one rule are told once."""
    repairs: dict[str, list[dict[str, Any]]] = {}
    for note in header["notes"]:
        repairs.setdefault(note["note"].partition(":")[0], []).append(note)
    remarks = [
        f"note, {sum(note['files'] for note in notes)} files: {notes[0]['note']}" + (" …" if notes[1:] else "")
        for notes in repairs.values()
    ]
    missing = header["references_without_prediction"]
    if missing:
        some = ", ".join(missing[:3]) + (" …" if missing[3:] else "")
        remarks.append(f"references without prediction, not evaluated: {len(missing)} ({some})")
    if out is not None:
        remarks.append(f"written: {out}, {out.with_suffix('.csv')}")
    return remarks


def _number(value: float | None) -> str:
    """Three decimals for ratios and small lengths, fewer for large ones."""
    if value is None:
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
