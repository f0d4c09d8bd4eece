"""What is to be segmented: the classes, their colours and the channels of the images."""

from __future__ import annotations

from dataclasses import dataclass

from pointillist.errors import InputError
from pointillist.types import IGNORE

# Okabe and Ito's palette: told apart with every common form of colour blindness. The background's comes first.
_PALETTE = ("#CC79A7", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00")


@dataclass(frozen=True)
class TaskSpec:
    """Classes and channels of one segmentation task.

    Attributes:
        classes: names by index; index 0 is the background.
        channels: one name per image channel, for example ``("MRI",)`` or ``("R", "G", "B")``.

    Raises:
        InputError: if there are fewer than two classes, too many, or names repeat.
    """

    classes: tuple[str, ...]
    channels: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) < IGNORE:
            raise InputError(
                "a task needs a background and at least one more class",
                where="names of the classes",
                expected=f"2 … {IGNORE - 1} classes",
                received=list(self.classes),
                todo="name the background first, then every structure",
            )
        for kind, names in (("class", self.classes), ("channel", self.channels)):
            if len(set(names)) != len(names) or not all(names):
                raise InputError(
                    f"every {kind} needs a name of its own",
                    where=f"names of the {kind}s" if kind == "channel" else "names of the classes",
                    expected="names that differ, none of them empty",
                    received=list(names),
                    todo="rename what is repeated or empty",
                )
        if "ignore" in self.classes:
            raise InputError(
                "'ignore' names the pixels nobody marked and cannot be a class",
                where="names of the classes",
                expected="other names than 'ignore'",
                received=list(self.classes),
                todo="rename the class, or state it as the unlabelled value",
            )

    @property
    def ignore_on_disk(self) -> int:
        """The value that unmarked pixels hold in label files: the largest class + 1, as nnU-Net wants it."""
        return len(self.classes)

    @property
    def colours(self) -> tuple[str, ...]:
        """One ``#rrggbb`` per class, safe for colour-blind readers up to seven classes, then repeating."""
        foreground = _PALETTE[1:]
        return (
            _PALETTE[0],
            *(foreground[i % len(foreground)] for i in range(len(self.classes) - 1)),
        )
