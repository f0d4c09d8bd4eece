"""From a recipe to an optimiser and a learning rate."""

from __future__ import annotations

from typing import Any

import torch

from pointillist.errors import InputError, nearest
from pointillist.methods import Recipe

_POLY_POWER = 0.9


def build_optimizer(recipe: Recipe, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The recipe's optimiser over a method's parameter groups.

    Raises:
        InputError: if the recipe names another optimiser.
    """
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, recipe.lr, weight_decay=recipe.weight_decay)
    raise InputError(
        "there is no such optimiser",
        where="recipe, field optimizer",
        expected="sgd or adam",
        received=recipe.optimizer,
        todo=nearest(recipe.optimizer, ("sgd", "adam")),
    )


def rate_factor(recipe: Recipe, step: int, total: int) -> float:
    """What the initial rate is multiplied with in one step.

    ``poly`` is (1 − t/T)^0.9, set **after** each step t as the published code does, so steps 0 and 1 share the initial
    rate.

    Args:
        recipe: names the schedule.
        step: the step that is about to be made, from 0.
        total: steps of the run.

    Raises:
        InputError: if the recipe names another schedule.
    """
    if recipe.schedule == "poly":
        return float((1 - max(step - 1, 0) / total) ** _POLY_POWER)
    if recipe.schedule == "constant":
        return 1.0
    raise InputError(
        "there is no such schedule",
        where="recipe, field schedule",
        expected="poly or constant",
        received=recipe.schedule,
        todo=nearest(recipe.schedule, ("poly", "constant")),
    )


def set_rate(optimizer: torch.optim.Optimizer, initial: list[float], factor: float) -> None:
    """Set every group's rate to its initial one times a factor."""
    for group, lr in zip(optimizer.param_groups, initial, strict=True):
        group["lr"] = lr * factor
