"""Devices that batches go to: whether there is such a one, and what happens to each tensor on the way.

It knows batches as nested containers of tensors, and nothing of who makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from zstruct.arguments import shown
from zstruct.batch.packed import Sample
from zstruct.errors import InputError

__all__ = ["device_of", "each_tensor", "moved", "pinned"]

_WITHOUT_DOUBLE = ("mps",)  # devices that have no double precision


def device_of(given: Any) -> torch.device | None:
    """Return a device as torch's; None stays.

    Raises
    ------
    InputError
        If torch knows no such device, or this machine has none.
    """
    try:
        device = None if given is None else torch.device(given)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        said = str(error).splitlines()[0]
        raise InputError(
            f"device is one that torch has, such as 'cpu' or 'cuda', not {shown(given)}: {said}"
        ) from None
    missing = None if device is None else _why_missing(device)
    if missing is not None:
        raise InputError(f"batches can't be put on device {str(device)!r}: {missing}")
    return device


def _why_missing(device: torch.device) -> str | None:
    """Return why there is no such device on this machine; None if there is."""
    if device.type != "cuda":
        try:
            torch.empty(0, device=device)
        except (AssertionError, RuntimeError, NotImplementedError) as error:
            return str(error).splitlines()[0].split(". ")[0]
        return None
    # Asked without a first tensor on it: that would take its memory.
    if not torch.backends.cuda.is_built():
        return "this torch was built without CUDA"
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if there == 0:
        return "torch finds no CUDA device here"
    return None if (device.index or 0) < there else f"there are {there}, numbered from 0"


def each_tensor(data: Any, change: Callable[[Any], Any]) -> Any:
    """Return nested data with every tensor, or what moves as a whole like one, changed."""
    if hasattr(data, "pin_memory") and hasattr(data, "to"):
        return change(data)
    if isinstance(data, Mapping):
        changed = {name: each_tensor(value, change) for name, value in data.items()}
        if isinstance(data, Sample):
            return data.with_tensors(changed)
        return changed
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(each_tensor(value, change) for value in data))
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        kind = tuple if isinstance(data, tuple) else list
        return kind(each_tensor(value, change) for value in data)
    return data


def moved(data: Any, device: torch.device) -> Any:
    """Return a tensor, or what moves as a whole like one, on a device, which may have no float64."""
    if device.type in _WITHOUT_DOUBLE:
        if not isinstance(data, torch.Tensor) and hasattr(data, "apply"):  # a graph of torch_geometric
            return data.apply(lambda tensor: moved(tensor, device))
        if data.dtype == torch.float64:
            data = data.to(torch.float32)
    return data.to(device, non_blocking=True)


def pinned(data: Any) -> Any:
    """Return a tensor, or what moves as a whole like one, in memory that CUDA copies from on its own."""
    if type(data) is not torch.Tensor or data.dtype == torch.bfloat16 or data.requires_grad:
        return data.pin_memory()
    copy = torch.empty(data.shape, dtype=data.dtype, pin_memory=True)
    # By NumPy: torch would start threads for the copy, in every thread that makes batches.
    np.copyto(copy.numpy(), data.numpy())
    return copy
