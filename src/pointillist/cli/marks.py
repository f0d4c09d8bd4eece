"""``pointillist marks``: marks from other programs into a dataset, and out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Marks drawn in QuPath, ImageJ, napari, ITK-SNAP or 3D Slicer: into a dataset, and out of it. "
    "Example: pointillist marks import Dataset100_Mine annotations/ --class-map Tumor=lesion",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Formats = Literal["qupath", "imagej", "napari", "nrrd", "labels"]
Axes = Annotated[
    Literal["ijk", "kji"],
    typer.Option(help="napari on volumes: coordinates in the order of the NIfTI file's axes, or turned round."),
]


@app.command("import")
def import_marks(
    dataset: Annotated[Path, typer.Argument(help="The dataset that the marks go into.", show_default=False)],
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES_OR_FOLDERS", help="Files named after their cases, or folders.", show_default=False
        ),
    ],
    form: Annotated[
        Formats | None,
        typer.Option("--format", help="Take this format alone; default: what the endings say.", show_default=False),
    ] = None,
    class_map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="THEIRS=OURS,…", help="Names that differ; =ignore leaves a class out.", show_default=False
        ),
    ] = None,
    of_class: Annotated[
        str | None, typer.Option("--class", help="Class of shapes that have none.", show_default=False)
    ] = None,
    case: Annotated[
        str | None, typer.Option(help="All files belong to this case, whatever their names.", show_default=False)
    ] = None,
    width_px: Annotated[
        float, typer.Option(min=0.01, max=1000, help="Width of points and lines whose file states none.")
    ] = 1.0,
    unlabelled: Annotated[
        int | None,
        typer.Option(help="Value of what nobody marked in label images; default: 0.", show_default=False),
    ] = None,
    axes: Axes = "ijk",
    header_rule: Annotated[
        Literal["auto", "pixdim", "affine"],
        typer.Option(help="Which side of a contradictory NIfTI header to believe."),
    ] = "auto",
    author: Annotated[
        str | None, typer.Option(help="Noted in the marks; default: the program.", show_default=False)
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="The marks that these cases have give way.")] = False,
    json: Json = False,
) -> None:
    """Add marks to the cases that the files' names say; then write a page that shows them on the images.

    Points and lines become strokes; outlines and label images become part of the base raster, under the strokes.
    Example: pointillist marks import Dataset100_Mine qupath_export/ --class-map "Tumor=lesion,Ignore*=ignore"
    """
    from pointillist.data.dataset import Dataset
    from pointillist.data.exchange.bring import BringOptions, bring_marks

    options = BringOptions(
        format=form,
        case=case,
        class_map=tuple(class_map or ()),
        default_class=of_class,
        width_px=width_px,
        unlabelled=unlabelled,
        axes=axes,
        header_rule=header_rule,
        author=author,
        replace=replace,
    )
    brought = bring_marks(Dataset.open(dataset), sources, options)
    page, findings = _show(dataset, brought.cases)
    if json:
        from dataclasses import asdict
        from json import dumps

        typer.echo(dumps(asdict(brought) | {"dataset": str(dataset), "page": str(page)}, ensure_ascii=False))
        return
    typer.echo(
        f"{dataset}: {brought.points} points, {brought.lines} lines, {brought.areas} areas and "
        f"{brought.label_images} label images from {brought.files} files on {len(brought.cases)} cases"
    )
    typer.echo("  " + ", ".join(f"{name}: {count}" for name, count in brought.classes.items()))
    for note in brought.notes:
        typer.echo(f"  {note}")
    typer.echo(f"See that the marks lie where they were drawn ({findings} findings): {page}")


@app.command("export")
def export_marks(
    dataset: Annotated[Path, typer.Argument(help="The dataset whose marks are written.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="A new folder for the files.", show_default=False)],
    form: Annotated[Formats, typer.Option("--format", help="labels: NIfTI for volumes, else TIFF.")],
    case: Annotated[
        list[str] | None, typer.Option(help="Of this case alone; may be repeated.", show_default=False)
    ] = None,
    axes: Axes = "ijk",
    json: Json = False,
) -> None:
    """Write the marks as files of another program, and say what these cannot hold.

    Example: pointillist marks export Dataset100_Mine for_qupath --format qupath
    """
    from pointillist.data.dataset import Dataset
    from pointillist.data.exchange.take_out import take_out_marks

    taken = take_out_marks(Dataset.open(dataset), out, form, cases=tuple(case or ()), axes=axes)
    if json:
        from dataclasses import asdict
        from json import dumps

        typer.echo(dumps(asdict(taken) | {"out": str(out)}, ensure_ascii=False))
        return
    typer.echo(f"{out}: {taken.files} files for {taken.cases} cases")
    for note in taken.notes:
        typer.echo(f"  {note}")


def _show(root: Path, cases: tuple[str, ...]) -> tuple[Path, int]:
    """Write the page of these cases; where it is, and how many warnings and errors it holds."""
    from pointillist.data.check import CheckedCase, check_dataset
    from pointillist.data.dataset import Dataset
    from pointillist.data.writers import atomic_write_bytes
    from pointillist.report.check_page import CasePicture, case_picture, check_page

    opened = Dataset.open(root)
    pictures: list[CasePicture] = []

    def keep(checked: CheckedCase) -> None:
        pictures.append(case_picture(checked, opened.spec))

    result = check_dataset(opened, only=cases, on_case=keep)
    page = root / "marks.html"
    atomic_write_bytes(page, check_page(result, pictures).encode())
    return page, sum(finding.severity != "note" for finding in result.findings)
