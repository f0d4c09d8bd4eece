"""Where a suite's dataset comes from: raw data as people have it, imported once, with marks drawn on it on wish."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from pointillist.data.dataset import Dataset
from pointillist.data.image import HeaderRule
from pointillist.data.importers import acdc, btcv, camelyon16, chaos, dsb2018, glas, monuseg, mscmr
from pointillist.data.importers._chaos_dicom import SequenceName
from pointillist.data.importers.acdc_hdf5 import holds_hdf5, import_acdc_hdf5
from pointillist.data.importers.folder import FolderOptions, import_folder
from pointillist.data.phantoms import CLASSES, make_phantoms
from pointillist.data.simulate.dataset import Settings, simulate_dataset
from pointillist.data.source import open_source
from pointillist.errors import InputError
from pointillist.spec import TaskSpec


class Section(BaseModel):
    """A part of a suite's file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Marks(Section):
    """Marks drawn from dense truth: the arguments of ``pointillist simulate``."""

    generator: str
    seed: int = 0
    count: int | None = None
    width_px: float | None = None
    fraction: float | None = None


class _Files(Section):
    """Raw data below the data folder, or a dataset that was imported already, which is used where it is."""

    spec: ClassVar[TaskSpec | None] = None
    source: str
    marks: Marks | None = None

    def path(self, data: Path | None) -> Path:
        """The raw data.

        Raises:
            InputError: if there is no data folder, or it lacks the source.
        """
        if data is None:
            raise InputError(
                "the suite needs a folder of data",
                where="--data",
                expected=f"a folder that holds {self.source}",
                received="none",
                todo="name it with --data, or in the environment variable POINTILLIST_DATA",
            )
        if not (data / self.source).exists():
            raise InputError(
                "the suite's data cannot be found",
                where=data,
                expected=self.source,
                received="nothing",
                todo="name the folder that holds it with --data",
            )
        return data / self.source


class AcdcSource(_Files):
    """ACDC, as NIfTI or as HDF5 files."""

    importer: Literal["acdc"]
    spec: ClassVar[TaskSpec | None] = acdc.SPEC
    scribbles: str | None = None
    header_rule: HeaderRule = "auto"

    def make(self, data: Path | None, target: Path) -> None:
        """Import the data."""
        path = self.path(data)
        if holds_hdf5(open_source(path)):
            import_acdc_hdf5(path, target)
            return
        scribbles = None if self.scribbles is None or data is None else data / self.scribbles
        acdc.import_acdc(path, target, scribbles=scribbles, header_rule=self.header_rule)


class Dsb2018Source(_Files):
    """Nuclei of Data Science Bowl 2018."""

    importer: Literal["dsb2018"]
    spec: ClassVar[TaskSpec | None] = dsb2018.SPEC
    subset: dsb2018.Subset = "all"

    def make(self, data: Path | None, target: Path) -> None:
        """Import the data."""
        dsb2018.import_dsb2018(self.path(data), target, subset=self.subset)


class ChaosSource(_Files):
    """CHAOS abdominal MR, as DICOM or as NIfTI files."""

    importer: Literal["chaos"]
    spec: ClassVar[TaskSpec | None] = chaos.SPEC
    sequence: SequenceName | None = None
    header_rule: HeaderRule = "auto"

    def make(self, data: Path | None, target: Path) -> None:
        """Import the data."""
        chaos.import_chaos(self.path(data), target, sequence=self.sequence, header_rule=self.header_rule)


class BtcvSource(_Files):
    """BTCV abdominal CT."""

    importer: Literal["btcv"]
    spec: ClassVar[TaskSpec | None] = btcv.SPEC
    header_rule: HeaderRule = "auto"

    def make(self, data: Path | None, target: Path) -> None:
        """Import the data."""
        btcv.import_btcv(self.path(data), target, header_rule=self.header_rule)


class MscmrSource(_Files):
    """MSCMRseg, late enhancement."""

    importer: Literal["mscmr"]
    spec: ClassVar[TaskSpec | None] = mscmr.SPEC
    scribbles: str | None = None
    header_rule: HeaderRule = "auto"

    def make(self, data: Path | None, target: Path) -> None:
        """Import the data."""
        scribbles = None if self.scribbles is None or data is None else data / self.scribbles
        mscmr.import_mscmr(self.path(data), target, scribbles=scribbles, header_rule=self.header_rule)


class GlasSource(_Files):
    """GlaS, glands of the colon."""

    importer: Literal["glas"]
    spec: ClassVar[TaskSpec | None] = glas.SPEC

    def make(self, data: Path | None, target: Path) -> None:
        """Import the data."""
        glas.import_glas(self.path(data), target)


class MonusegSource(_Files):
    """MoNuSeg, nuclei in H&E."""

    importer: Literal["monuseg"]
    spec: ClassVar[TaskSpec | None] = monuseg.SPEC

    def make(self, data: Path | None, target: Path) -> None:
        """Import the data."""
        monuseg.import_monuseg(self.path(data), target)


class Camelyon16Source(_Files):
    """CAMELYON16, crops or slides."""

    importer: Literal["camelyon16"]
    spec: ClassVar[TaskSpec | None] = camelyon16.SPEC
    downsample: float = Field(default=camelyon16.DOWNSAMPLE, ge=1)
    partial: tuple[str, ...] = ()

    def make(self, data: Path | None, target: Path) -> None:
        """Import the data."""
        camelyon16.import_camelyon16(self.path(data), target, downsample=self.downsample, partial=self.partial)


class FolderSource(_Files):
    """Any images and label images: the options of ``pointillist import folder``."""

    importer: Literal["folder"]
    name: str
    images: str | None = None
    labels: str | None = None
    truth: str | None = None
    unlabelled: int | None = None
    classes: tuple[str, ...] = ()
    group: str | None = None
    folds: int = 5
    seed: int = 0
    header_rule: HeaderRule = "auto"

    def make(self, data: Path | None, target: Path) -> None:
        """Import the data."""
        options = self.model_dump(exclude={"importer", "source", "marks"})
        import_folder(self.path(data), target, FolderOptions(**options))


class PhantomSource(Section):
    """Phantom hearts with a click a class and slice; needs no data."""

    importer: Literal["phantoms"]
    spec: ClassVar[TaskSpec | None] = TaskSpec(CLASSES, ("MRI",))
    training: int = Field(ge=1)
    testing: int = Field(ge=1)
    seed: int = 0
    marks: Marks | None = None

    def path(self, data: Path | None) -> Path:  # noqa: ARG002 - as of the others
        """No file: the place stands for the computer's making."""
        return Path()

    def make(self, data: Path | None, target: Path) -> None:  # noqa: ARG002 - as of the others
        """Draw the phantoms."""
        make_phantoms(target, training=self.training, testing=self.testing, seed=self.seed)


AnySource = (
    AcdcSource
    | Dsb2018Source
    | ChaosSource
    | BtcvSource
    | MscmrSource
    | GlasSource
    | MonusegSource
    | Camelyon16Source
    | FolderSource
    | PhantomSource
)
Source = Annotated[AnySource, Field(discriminator="importer")]


def prepared_path(source: AnySource, data: Path | None, root: Path) -> Path:
    """Where the suite's dataset is, or will be once ``prepare`` has made it.

    Args:
        source: of the suite.
        data: the folder of raw data.
        root: the folder of prepared datasets.

    Raises:
        InputError: if the raw data cannot be found.
    """
    imported = _imported_path(source, data, root)
    if source.marks is None:
        return imported
    digest = _digest([str(imported.resolve()), source.marks.model_dump(exclude_defaults=True)])
    return root / f"{source.importer}-{source.marks.generator}-{digest}"


def prepare(source: AnySource, data: Path | None, root: Path) -> Dataset:
    """Import the data and draw the marks, or open what an earlier call made.

    Args:
        source: of the suite.
        data: the folder of raw data.
        root: the folder of prepared datasets.

    Raises:
        InputError: if the raw data cannot be found.
        PointillistError: the first thing that is wrong with it; nothing is left behind then.
    """
    imported, target = _imported_path(source, data, root), prepared_path(source, data, root)
    if target.exists():
        return Dataset.open(target)
    if not imported.exists():
        source.make(data, imported)
    if source.marks is not None:
        simulate_dataset(Dataset.open(imported), target, Settings(**source.marks.model_dump()))
    return Dataset.open(target)


def _imported_path(source: AnySource, data: Path | None, root: Path) -> Path:
    path = source.path(data)
    if (path / "dataset.json").is_file() and (path / "imagesTr").is_dir():
        return path
    digest = _digest([str(path.resolve()), source.model_dump(exclude={"marks"}, exclude_defaults=True)])
    return root / f"{source.importer}-{digest}"


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
