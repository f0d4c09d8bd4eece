"""Phantom abdomens: arrays in RAS+ order, and the DICOM slices and label images of CHAOS's official layout."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tests.conftest import png

SIZE = (24, 20, 6)
PIXEL_SPACING, GAP = (1.5, 1.25), 7.7  # between rows, between columns, between slices
GREYS = np.array([0, 63, 126, 189, 252], np.uint8)
ACROSS, DOWN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)  # columns towards the patient's left, rows towards the back


def abdomen(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Image and truth: liver 1, right kidney 2, left kidney 3, spleen 4; RAS+, so the right side has large indices."""
    truth = np.zeros(SIZE, np.uint8)
    truth[13:22, 9:17, 3:] = 1
    truth[15:19, 3:7, :4] = 2
    truth[4:8, 3:7, :3] = 3
    truth[2:6, 8:12, 3:] = 4
    image = np.array([20, 300, 700, 720, 500])[truth] + np.random.default_rng(seed).integers(0, 20, SIZE)
    return image.astype(np.uint16), truth


def dicom(pixels: np.ndarray, position, *, across=ACROSS, down=DOWN, **fields) -> bytes:
    """One slice; a field that is None is left out."""
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = fields.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    slice_.file_meta.MediaStorageSOPClassUID = slice_.SOPClassUID = MRImageStorage
    slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID = generate_uid(entropy_srcs=[str(position)])
    slice_.SeriesInstanceUID = slice_.FrameOfReferenceUID = "1.2.3"
    slice_.Modality, slice_.PhotometricInterpretation, slice_.SamplesPerPixel = "MR", "MONOCHROME2", 1
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit, slice_.PixelRepresentation = 15, 0
    slice_.Rows, slice_.Columns = pixels.shape[-2:]
    slice_.PixelSpacing, slice_.SliceThickness = list(PIXEL_SPACING), 5.5
    slice_.ImagePositionPatient = [round(float(x), 6) for x in position]
    slice_.ImageOrientationPatient = [round(float(x), 9) for x in (*across, *down)]
    slice_.PixelData = pixels.astype("<u2").tobytes()
    for name, value in fields.items():
        if value is None:
            delattr(slice_, name)
        else:
            setattr(slice_, name, value)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, slice_, enforce_file_format=True)
    return buffer.getvalue()


def as_slices(volume: np.ndarray) -> list[np.ndarray]:
    """Rows and columns of every slice of a RAS+ volume, from the feet to the head."""
    return [volume[::-1, ::-1, z].T for z in range(volume.shape[2])]


def write_subject(root: Path, number: int, *, ground: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A subject of the official release; names run from the head to the feet, those of the phases of T1 alternate."""
    image, truth = abdomen(number)
    kinds = (("T1DUAL", "InPhase", 2, 2), ("T1DUAL", "OutPhase", 2, 1), ("T2SPIR", "", 1, 1))
    for sequence, phase, factor, first in kinds:
        folder = root / "Train_Sets" / "MR" / str(number) / sequence
        (folder / "DICOM_anon" / phase).mkdir(parents=True)
        (folder / "Ground").mkdir(exist_ok=True)
        for z, (pixels, labels) in enumerate(zip(as_slices(image), as_slices(truth), strict=True)):
            name = f"IMG-0004-{factor * (SIZE[2] - 1 - z) + first:05d}"
            added = {"": 2, "InPhase": 0, "OutPhase": 1}[phase]
            content = dicom(pixels + added, (-15.0, -12.0, 100 + GAP * z))
            (folder / "DICOM_anon" / phase / f"{name}.dcm").write_bytes(content)
            if ground and phase != "OutPhase":
                (folder / "Ground" / f"{name}.png").write_bytes(png(GREYS[labels]))
    return image, truth
