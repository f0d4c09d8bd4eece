"""The shipped model: ``model.safetensors`` (weights) and ``model.json`` (all else that prediction needs).

The weights' SHA-256 stands in ``model.json``, and the description stands once more in the header of the weights file:
a changed bit in either file is found.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as decode_weights
from safetensors.torch import save as encode_weights

from pointillist.data.cache.grids import GridName
from pointillist.data.cache.normalise import NormalisationName
from pointillist.data.writers import atomic_write_bytes, write_json
from pointillist.errors import DamagedFileError, InputError
from pointillist.nets.network import SegmentationNet
from pointillist.nets.registry import GraftDescription, build_net, describe_grafts

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
_FORMAT: Final = 1
_AGAIN = "copy both files of the model again from the run that trained it"


class ModelDescription(BaseModel):
    """What a model is and how images are prepared for it.

    Attributes:
        format: version of this description.
        net: a name in ``pointillist.nets.registry.NETS``.
        grafts: of the network, by stage; ``save_model`` fills them in.
        classes: names by index, background first.
        channels: names of the image's channels.
        normalisation: a rule of ``pointillist.data.cache.normalise.NORMALISATIONS``.
        size: side of the network's input in pixels: of the resized slice, or of a tile.
        grid: how slices are brought to this size, a name in ``pointillist.data.cache.grids.GRIDS``; ``native``
            keeps their size and predicts them by overlapping tiles.
        provenance: where it comes from: data, settings, hashes.
        sha256: of the weights file; ``save_model`` fills it in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")
    format: Literal[1] = _FORMAT
    net: str
    grafts: dict[int, GraftDescription] = {}
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    normalisation: NormalisationName
    size: int = Field(ge=16, le=8192)
    grid: GridName
    provenance: dict[str, Any] = {}
    sha256: str = ""


def save_model(folder: Path, net: SegmentationNet, description: ModelDescription) -> ModelDescription:
    """Write both files, each atomically, weights first.

    Args:
        folder: the run; made if need be.
        net: the network; its weights are written as they are, on the processor.
        description: of the model; ``grafts`` are those of the network, ``sha256`` is computed.

    Returns:
        The description as written.
    """
    description = description.model_copy(update={"grafts": describe_grafts(net)})
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    data = encode_weights(tensors, {"description": _without_hash(description)})
    written = description.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    atomic_write_bytes(folder / WEIGHTS, data)
    write_json(folder / DESCRIPTION, written.model_dump(mode="json"))
    return written


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[SegmentationNet, ModelDescription]:
    """Read a model, checked to the last bit, in eval mode.

    Args:
        folder: the run that holds ``model.safetensors`` and ``model.json``.
        device: where the network shall be.

    Raises:
        InputError: if the folder holds no model, or one of a newer format or with an unknown network.
        DamagedFileError: if a file is truncated, changed, or does not belong to the other.
    """
    description = read_description(folder)
    weights = folder / WEIGHTS
    data = weights.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != description.sha256:
        raise DamagedFileError(
            "the weights are not those that the model's description states",
            where=weights,
            expected=f"SHA-256 {description.sha256 or 'stated in model.json'}",
            received=f"{found} ({len(data):,} bytes)",
            todo=_AGAIN,
        )
    with _open_weights(weights) as file:
        stated = (file.metadata() or {}).get("description")
    if stated != _without_hash(description):
        raise DamagedFileError(
            "the model's description was changed after the model was saved",
            where=folder / DESCRIPTION,
            expected=stated or "a description in the header of the weights",
            received=_without_hash(description),
            todo=_AGAIN,
        )
    net = build_net(description.net, len(description.channels), len(description.classes), description.grafts)
    try:
        net.load_state_dict(decode_weights(data), strict=True)
    except RuntimeError as error:  # names every key that lacks, is too many, or has another shape
        raise InputError(
            "the weights do not fit the network",
            where=weights,
            expected=f"the parameters of '{description.net}' for this number of channels and classes",
            received=" ".join(str(error).split())[:300],
            todo="predict with the version that trained the model",
        ) from error
    return net.to(device).eval(), description


def read_description(folder: Path) -> ModelDescription:
    """Read ``model.json`` alone; the weights must be there but are not opened.

    Raises:
        InputError: if the folder holds no model, or one of a newer format.
        DamagedFileError: if the description cannot be understood.
    """
    path = folder / DESCRIPTION
    missing = [name for name in (WEIGHTS, DESCRIPTION) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            "this folder holds no trained model",
            where=folder,
            expected=f"{WEIGHTS} and {DESCRIPTION}",
            received=f"no {' and no '.join(missing)}" if folder.is_dir() else "no such folder",
            todo="name the folder of a finished run of `pointillist train`",
        )
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        _refuse_newer(content, path)
        return ModelDescription.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        received = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (ValueError, RecursionError) as error:
        received = f"{type(error).__name__}: {error}"
    raise DamagedFileError(
        "the model's description cannot be understood",
        where=path,
        expected="the JSON object that training wrote",
        received=received,
        todo=_AGAIN,
    )


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no JSON number"
    raise ValueError(msg)


def _refuse_newer(content: Any, path: Path) -> None:
    stated = content.get("format") if isinstance(content, dict) else None
    if isinstance(stated, int) and stated > _FORMAT:
        raise InputError(
            "the model was written by a newer version",
            where=path,
            expected=f"format {_FORMAT} or older",
            received=f"format {stated}",
            todo="update Pointillist",
        )


def _open_weights(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise DamagedFileError(
            "the weights cannot be read", where=path, expected="a safetensors file", received=error, todo=_AGAIN
        ) from error


def _without_hash(description: ModelDescription) -> str:
    """The description as one line of JSON, as it stands in the header of the weights."""
    left_out = {"sha256"} if description.grafts else {"sha256", "grafts"}  # older models say nothing of grafts
    return json.dumps(description.model_dump(mode="json", exclude=left_out), sort_keys=True, allow_nan=False)
