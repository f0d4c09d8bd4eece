"""What a page may do to the marks of a case: operations, checked before anything is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from pointillist.errors import InputError

MOST_OPS = 5_000
MOST_VERTICES = 20_000
_MOST_SECONDS = 24 * 3600.0

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_Vertex = Annotated[list[FiniteFloat], Field(min_length=2, max_length=3)]


class StrokeIn(BaseModel):
    """A stroke as the page sends it and as the log keeps it; class null erases."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    id: Id
    cls: Annotated[int, Field(ge=0, le=254)] | None = Field(alias="class")
    points: list[_Vertex] = Field(min_length=1, max_length=MOST_VERTICES)
    width_px: FiniteFloat = Field(default=1.0, gt=0)
    time: Annotated[str, Field(max_length=40)] | None = None
    author: Annotated[str, Field(max_length=200)] | None = None


class _Op(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: Id


class Draw(_Op):
    """A new stroke, over all others."""

    op: Literal["draw"]
    stroke: StrokeIn


class Remove(_Op):
    """Strokes go: the undo of a draw."""

    op: Literal["remove"]
    ids: list[Id] = Field(min_length=1, max_length=100_000)


class Restore(_Op):
    """Strokes come back to their place in the order."""

    op: Literal["restore"]
    ids: list[Id] = Field(min_length=1, max_length=100_000)


class Spent(_Op):
    """Seconds that somebody worked on the case."""

    op: Literal["spent"]
    seconds: FiniteFloat = Field(ge=0, le=_MOST_SECONDS)


class Done(_Op):
    """Whether the case is finished."""

    op: Literal["done"]
    value: bool


Op = Annotated[Draw | Remove | Restore | Spent | Done, Field(discriminator="op")]


class Batch(BaseModel):
    """What one request brings."""

    model_config = ConfigDict(extra="forbid")
    ops: list[Op] = Field(min_length=1, max_length=MOST_OPS)


ONE_OP: TypeAdapter[Op] = TypeAdapter(Op)


def read_batch(data: bytes, where: str) -> Batch:
    """The operations of a request.

    Raises:
        InputError: if the body is no such JSON; the message names the first field that is wrong.
    """
    try:
        return Batch.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(
            "the operations cannot be understood",
            where=f"{where}, field {'.'.join(map(str, first['loc'])) or '(whole body)'}",
            expected='{"ops": [{"op": "draw" | "remove" | "restore" | "spent" | "done", "id": …}, …]}',
            received=first["msg"],
            todo="reload the page; strokes that were not acknowledged are kept in it",
        ) from error


def check_stroke(stroke: StrokeIn, shape: tuple[int, ...], slice_axis: int | None, classes: int, where: str) -> None:
    """See that a stroke can lie on an image.

    Args:
        stroke: what was sent.
        shape: spatial shape of the image.
        slice_axis: of a volume.
        classes: number of classes.
        where: the case, for messages.

    Raises:
        InputError: if it is of no class, has another number of axes, lies far away, or leaves its slice.
    """
    axes = len(shape)
    size = [n for axis, n in enumerate(shape) if axis != slice_axis]
    complaint = ""
    if stroke.cls is not None and stroke.cls >= classes:
        complaint = f"class {stroke.cls} of {classes}"
    elif any(len(vertex) != axes for vertex in stroke.points):
        complaint = f"vertices that do not have {axes} coordinates"
    elif any(not -n <= place <= 2 * n for vertex in stroke.points for place, n in zip(vertex, size, strict=False)):
        complaint = "a vertex far outside the image"
    elif stroke.width_px > 2 * max(size):
        complaint = f"a width of {stroke.width_px:g} pixels"
    elif slice_axis is not None and not _in_one_slice(stroke, shape[slice_axis]):
        complaint = "a stroke that leaves its slice, or no such slice"
    if complaint:
        raise InputError(
            "a stroke does not fit its image",
            where=f"{where}, stroke {stroke.id}",
            expected=f"a class below {classes} or null, vertices within {' × '.join(map(str, shape))} pixels",
            received=complaint,
            todo="reload the page",
        )


def _in_one_slice(stroke: StrokeIn, slices: int) -> bool:
    number = stroke.points[0][2]
    return number % 1 == 0 and 0 <= number < slices and all(vertex[2] == number for vertex in stroke.points)
