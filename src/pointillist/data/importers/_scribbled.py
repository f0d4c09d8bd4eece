"""Images with dense truth and scribbles, told apart by their names; the scribbles may lie in a second place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pointillist.data.image import HeaderRule
from pointillist.data.importers._common import CaseReader, nothing_found
from pointillist.data.source import Source, open_source


@dataclass(frozen=True)
class ScribbledFiles:
    """Names of files by case.

    Attributes:
        source: of images and truths.
        marks: of scribbles; often the same.
        images: every case's image.
        truths: dense labels.
        drawn: scribbles.
    """

    source: Source
    marks: Source
    images: dict[str, str]
    truths: dict[str, str]
    drawn: dict[str, str]

    @classmethod
    def find(
        cls,
        source: Path,
        scribbles: Path | None,
        listed: Callable[[Source, str], dict[str, str]],
        *,
        truth: str,
        examples: tuple[str, str],
    ) -> ScribbledFiles:
        """Find the files.

        Args:
            source: folder or archive.
            scribbles: a second one with the scribbles; there, a file named like an image is one too.
            listed: the files of a kind by case; the kind is ``truth``, ``_scribble``, or nothing for an image.
            truth: how the names of truths end.
            examples: names of an image and of a scribble, for messages.

        Raises:
            DatasetError: if there are no images, or no scribbles where they were said to be.
        """
        files = open_source(source)
        marks = files if scribbles is None else open_source(scribbles)
        images = listed(files, "")
        if not images:
            raise nothing_found(files, examples[0])
        drawn = listed(marks, "_scribble") or (listed(marks, "") if scribbles is not None else {})
        if scribbles is not None and not drawn:
            raise nothing_found(marks, examples[1])
        return cls(files, marks, images, listed(files, truth), drawn)

    def readers(self, header_rule: HeaderRule) -> tuple[CaseReader, CaseReader]:
        """A case's readers, of image and truth and of scribbles."""
        return CaseReader(self.source, header_rule), CaseReader(self.marks, header_rule)

    def without_image(self) -> dict[str, int]:
        """How many truths and scribbles belong to no image."""
        return {
            "truths without an image (left out)": len(self.truths.keys() - self.images.keys()),
            "scribbles without an image (left out)": len(self.drawn.keys() - self.images.keys()),
        }


def counted(counts: dict[str, int]) -> list[str]:
    """A note for each count above 0."""
    return [f"{what}: {count}" for what, count in counts.items() if count]
