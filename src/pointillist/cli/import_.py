"""``pointillist import``: other people's data becomes a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pointillist.data.importers._common import Imported

app = typer.Typer(
    help="Make a dataset of images and labels in another layout. Example: pointillist import acdc ACDC Dataset027_ACDC",
    no_args_is_help=True,
)

Source = Annotated[Path, typer.Argument(help="Folder or .zip archive to import.", show_default=False)]
Target = Annotated[Path, typer.Argument(help="The dataset to make; must not exist yet.", show_default=False)]
Rule = Annotated[
    Literal["auto", "pixdim", "affine"],
    typer.Option(help="Which side of a contradictory NIfTI header to believe."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


@app.command()
def acdc(
    source: Source,
    dataset: Target,
    scribbles: Annotated[
        Path | None, typer.Option(help="A second folder with the scribbles.", show_default=False)
    ] = None,
    header_rule: Rule = "auto",
    json: Json = False,
) -> None:
    """ACDC cardiac MRI: official layout, scribbles beside the images or in a second folder; or HDF5 slices.

    Example: pointillist import acdc ACDC/training Dataset027_ACDC --scribbles ACDC_scribbles
    """
    from pointillist.data.importers.acdc import holds_nifti, import_acdc
    from pointillist.data.importers.acdc_hdf5 import holds_hdf5, import_acdc_hdf5
    from pointillist.data.source import open_source
    from pointillist.errors import InputError

    files = open_source(source)
    if not holds_hdf5(files):
        _report(import_acdc(source, dataset, scribbles=scribbles, header_rule=header_rule), json)
    elif not holds_nifti(files):
        _report(import_acdc_hdf5(source, dataset), json)
    else:
        raise InputError(
            "the source holds ACDC twice",
            where=source,
            expected="NIfTI files or HDF5 files",
            received="both",
            todo="name the folder that holds only one of them",
        )


@app.command()
def dsb2018(
    source: Source,
    dataset: Target,
    subset: Annotated[
        Literal["BF", "Fluo", "all"], typer.Option(help="Bright-field or fluorescence images only.")
    ] = "all",
    json: Json = False,
) -> None:
    """Data Science Bowl 2018 nuclei: stage1_train, zipped or unpacked.

    Example: pointillist import dsb2018 stage1_train.zip Dataset030_DSB --subset BF
    """
    from pointillist.data.importers.dsb2018 import import_dsb2018

    _report(import_dsb2018(source, dataset, subset=subset), json)


@app.command()
def chaos(
    source: Source,
    dataset: Target,
    sequence: Annotated[
        Literal["t1-in", "t1-out", "t2"] | None,
        typer.Option(help="Sequence of the DICOM release; default: T1 in phase.", show_default=False),
    ] = None,
    header_rule: Rule = "auto",
    json: Json = False,
) -> None:
    """CHAOS abdominal MR: the official DICOM release, or image_ID.nii.gz and label_ID.nii.gz.

    Example: pointillist import chaos CHAOS_Train_Sets.zip Dataset040_CHAOS --sequence t2
    """
    from pointillist.data.importers.chaos import import_chaos

    _report(import_chaos(source, dataset, sequence=sequence, header_rule=header_rule), json)


@app.command()
def btcv(source: Source, dataset: Target, header_rule: Rule = "auto", json: Json = False) -> None:
    """BTCV abdominal CT: img0001.nii.gz and label0001.nii.gz, or image_N.nii.gz and label_N.nii.gz.

    Example: pointillist import btcv RawData Dataset041_BTCV
    """
    from pointillist.data.importers.btcv import import_btcv

    _report(import_btcv(source, dataset, header_rule=header_rule), json)


@app.command()
def mscmr(
    source: Source,
    dataset: Target,
    scribbles: Annotated[
        Path | None, typer.Option(help="A second folder with the scribbles.", show_default=False)
    ] = None,
    header_rule: Rule = "auto",
    json: Json = False,
) -> None:
    """MSCMRseg late-enhancement cardiac MRI, with CycleMix's scribbles beside the images or in a second folder.

    Example: pointillist import mscmr MSCMR_dataset Dataset042_MSCMR
    """
    from pointillist.data.importers.mscmr import import_mscmr

    _report(import_mscmr(source, dataset, scribbles=scribbles, header_rule=header_rule), json)


@app.command()
def glas(source: Source, dataset: Target, json: Json = False) -> None:
    """GlaS (Warwick-QU) glands of the colon: the official archive.

    Example: pointillist import glas warwick_qu_dataset.zip Dataset050_GlaS
    """
    from pointillist.data.importers.glas import import_glas

    _report(import_glas(source, dataset), json)


@app.command()
def monuseg(source: Source, dataset: Target, json: Json = False) -> None:
    """MoNuSeg nuclei in H&E: NAME.tif and ImageScope's NAME.xml, test data in a folder with "test" in its name.

    Example: pointillist import monuseg MoNuSeg Dataset051_MoNuSeg
    """
    from pointillist.data.importers.monuseg import import_monuseg

    _report(import_monuseg(source, dataset), json)


@app.command()
def camelyon16(
    source: Source,
    dataset: Target,
    downsample: Annotated[
        float, typer.Option(help="Of whole slides: the level so many times smaller than the largest.", min=1.0)
    ] = 32.0,
    partial: Annotated[
        str | None,
        typer.Option(
            help="Slides annotated in part: tumor_010,tumor_015; the rest of them is unknown.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """CAMELYON16 metastases: exported crops, or slides as pyramidal TIFF, with ASAP's outlines.

    Example: pointillist import camelyon16 crops/ Dataset052_CAMELYON16
    """
    from pointillist.data.importers.camelyon16 import import_camelyon16

    slides = tuple(partial.split(",")) if partial else ()
    _report(import_camelyon16(source, dataset, downsample=downsample, partial=slides), json)


@app.command()
def folder(
    source: Source,
    dataset: Target,
    images: Annotated[str | None, typer.Option(help="Subfolder of the images.", show_default=False)] = None,
    labels: Annotated[str | None, typer.Option(help="Subfolder of the label images.", show_default=False)] = None,
    truth: Annotated[
        str | None, typer.Option(help="Subfolder of dense labels beside sparse ones.", show_default=False)
    ] = None,
    unlabelled: Annotated[
        int | None,
        typer.Option(help="Value of pixels nobody marked. Without it the labels are dense truth.", show_default=False),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Names, or value=name pairs: 0=background,255=nucleus.", show_default=False),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Regular expression that finds the patient in a name.", show_default=False)
    ] = None,
    folds: Annotated[int, typer.Option(min=0, help="Number of folds; 0 for none.")] = 5,
    seed: Annotated[int, typer.Option(help="Decides the folds.")] = 0,
    header_rule: Rule = "auto",
    json: Json = False,
) -> None:
    """Any images and label images, under any names.

    Example: pointillist import folder my_images Dataset100_Mine --unlabelled 255 --classes background,tumour
    """
    from pointillist.data.importers.folder import FolderOptions, import_folder

    options = FolderOptions(
        images=images,
        labels=labels,
        truth=truth,
        unlabelled=unlabelled,
        classes=tuple(classes.split(",")) if classes else (),
        group=group,
        folds=folds,
        seed=seed,
        header_rule=header_rule,
    )
    _report(import_folder(source, dataset, options), json)


def _report(imported: Imported, as_json: bool) -> None:
    from dataclasses import asdict
    from json import dumps

    if as_json:
        typer.echo(dumps(asdict(imported) | {"dataset": str(imported.dataset)}, ensure_ascii=False))
        return
    typer.echo(
        f"{imported.dataset}: {imported.training} training cases ({imported.marked} with marks), "
        f"{imported.testing} held-out cases, {imported.folds} folds"
    )
    for note in imported.notes:
        typer.echo(f"  {note}")
    typer.echo(f"Next: pointillist check {imported.dataset}")
