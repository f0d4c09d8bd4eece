"""A step in parts, each back-propagated before the next begins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from pointillist.methods._base import StepOut, Term, weighted_sum


class Parts:
    """The terms of a step's parts, of which only one holds its activations at a time.

    A step that goes through its network several times needs the memory of all passes at once, if they are
    back-propagated together. Where no gradient flows from one part to another, each can be back-propagated by itself:
    the same arithmetic, in the memory of the largest part.

    Args:
        parameters: what is trained; gradients are kept of these.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._parameters = [p for p in parameters if p.requires_grad]
        self._gradients: dict[nn.Parameter, Tensor] = {}
        self._terms: dict[str, Term] = {}

    def add(self, terms: dict[str, Term]) -> None:
        """Back-propagate a part, whose graph is gone afterwards.

        Args:
            terms: the part's; no other part may need their graph.
        """
        loss = weighted_sum(terms)
        with torch.autocast(loss.device.type, enabled=False):
            found = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        for parameter, new in zip(self._parameters, cast("tuple[Tensor | None, ...]", found), strict=True):
            if new is not None:
                self._gradients[parameter] = new + self._gradients.get(parameter, 0)
        self._terms |= {name: Term(term.value.detach(), term.weight) for name, term in terms.items()}

    def step(self, carry: dict[str, Tensor]) -> StepOut:
        """All parts as one step; its terms have values alone, and its loss has the gradients of all.

        Args:
            carry: detached tensors for ``Method.after_step``.
        """
        zero = _Known.apply(*self._gradients.values(), *self._gradients)  # type: ignore[no-untyped-call]
        return StepOut(self._terms, carry, zero)


class _Known(torch.autograd.Function):
    """Zero, with gradients that were found before; they are forgotten once they are handed out."""

    @staticmethod
    def forward(ctx: Any, *gradients_and_parameters: Tensor) -> Tensor:
        ctx.save_for_backward(*gradients_and_parameters[: len(gradients_and_parameters) // 2])
        return gradients_and_parameters[0].new_zeros(())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_zero: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        return (*[None] * len(gradients), *(grad_zero * gradient for gradient in gradients))
