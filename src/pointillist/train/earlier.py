"""Begin with what an earlier run learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pointillist.data.dataset import Dataset
from pointillist.errors import DamagedFileError, InputError
from pointillist.methods import Method, build_method
from pointillist.nets.network import SegmentationNet
from pointillist.nets.registry import describe_grafts
from pointillist.predict.model import load_model
from pointillist.train.checkpoint import load_checkpoint
from pointillist.train.plan import Plan, read_plan

_NET, _GRAFTS = "net.", "grafts."


def build_on_earlier(plan: Plan, net: SegmentationNet, dataset: Dataset) -> Method:
    """The plan's method on a network with the weights of the earlier run's model.

    The network has them before the method is built, so that teachers, which are copies, begin with them too. What else
    a method owns, a second decoder say, is not in a model: it is taken from the earlier run's last checkpoint where
    that run trained the same method, and begins with weights of its own otherwise.

    Args:
        plan: names the earlier run, ``init``.
        net: new, of the plan's name.
        dataset: what is learned.

    Raises:
        InputError: if the folder holds no model, or one of another network, other classes or channels.
        DamagedFileError: if the model is damaged.
    """
    folder = Path(plan.init or "")
    with torch.random.fork_rng(devices=[]):  # new branches have the weights that the seed decides
        earlier, description = load_model(folder)
    weights = earlier.state_dict()
    spec = dataset.spec
    fits = (plan.net, spec.classes, spec.channels) == (description.net, description.classes, description.channels)
    if fits:
        net.load_state_dict({name: one for name, one in weights.items() if not name.startswith(_GRAFTS)})
    method = build_method(plan.method, net, spec, plan.settings)
    grafts = describe_grafts(method.net)
    if not fits or grafts != description.grafts:
        raise InputError(
            "the earlier model is of another network, or of another task",
            where=f"--init {folder}",
            expected=_said(plan.net, spec.classes, spec.channels, grafts),
            received=_said(description.net, description.classes, description.channels, description.grafts),
            todo="begin with a run of the same network, classes and channels, or leave --init out",
        )
    method.net.load_state_dict(weights)
    _continue_branches(method, _besides_net(folder, plan))
    return method


def _besides_net(folder: Path, plan: Plan) -> dict[str, Tensor]:
    """What the same method owned besides its network when it ended; nothing for another method or a model alone."""
    if not (folder / "run.json").is_file():
        return {}
    before = read_plan(folder)
    if before.method != plan.method:
        return {}
    try:
        state, _ = load_checkpoint(folder / ("best" if before.select == "marks" else "checkpoints"))
    except DamagedFileError:
        return {}
    return {name: one for name, one in state["method"].items() if not name.startswith(_NET)}


def _continue_branches(method: Method, found: dict[str, Tensor]) -> None:
    """Load what was found if it is all that the method owns besides its network, in the same shapes."""
    own = {name: one.shape for name, one in method.state_dict().items() if not name.startswith(_NET)}
    if own == {name: one.shape for name, one in found.items()}:
        method.load_state_dict(found, strict=False)


def _said(net: str, classes: tuple[str, ...], channels: tuple[str, ...], grafts: Mapping[int, object]) -> str:
    grafted = f", grafts {grafts}" if grafts else ""
    return f"{net}; classes {', '.join(classes)}; channels {', '.join(channels)}{grafted}"
