"""Where and how exactly the network computes."""

from __future__ import annotations

from typing import Literal

import torch

from pointillist.errors import InputError

Precision = Literal["auto", "fp32", "bf16"]


def choose_device(name: str = "auto") -> torch.device:
    """The device of this name; ``auto`` takes a GPU where there is one.

    Args:
        name: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``, …

    Raises:
        InputError: if there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch's three ways of having none
        raise InputError(
            "there is no such device on this machine",
            where="--device",
            expected=f"cpu{', cuda' if torch.cuda.is_available() else ''} or auto",
            received=name,
            todo="choose one of these",
        ) from error
    return device


def choose_precision(name: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """The precision of this name; ``auto`` is bfloat16 where the device computes it in hardware, else float32."""
    if name != "auto":
        return name
    return "bf16" if _computes_bf16(device) else "fp32"


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    instructions = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device.type == "cpu" and bool(instructions.get("avx512_bf16") or instructions.get("amx_bf16"))


def use_threads(count: int | None) -> None:
    """Compute on the processor with this many threads; None leaves PyTorch's own choice, a thread a physical core."""
    if count is not None:
        torch.set_num_threads(count)
