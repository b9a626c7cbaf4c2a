"""Where arrays become tensors, and tensors arrays: the one place of batches that needs torch.

Torch is loaded with the first tensor that is made. Tensors share the memory of the arrays that they are
made of; what has been a tensor is known by what it can do, so that who has none need not have torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import check

if TYPE_CHECKING:
    from torch import Tensor as Tensor

__all__ = ["as_array", "beside", "converter", "scalar"]


def converter(as_numpy: bool) -> Callable[[NDArray[Any]], Any]:
    """Return what makes of an array what a batch holds: a tensor that shares its memory, or itself."""
    if type(as_numpy) is not bool:
        check(as_numpy=as_numpy)
    return _converter(bool(as_numpy))


@cache  # an import statement takes as long as a tensor
def _converter(as_numpy: bool) -> Callable[[NDArray[Any]], Any]:
    if as_numpy:
        return np.asarray
    from torch import from_numpy

    return from_numpy


def scalar(number: int) -> Tensor:
    """Return a number as a tensor without axes."""
    from torch import tensor

    return tensor(number)


def as_array(value: Any) -> NDArray[Any]:
    """Return a tensor, on any device, or what else holds numbers as an array."""
    array: NDArray[Any] = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    return array


def beside(array: NDArray[np.float64], value: Any) -> Any:
    """Return an array as what can be added to a value: as it is, or on the device of a tensor.

    It stays in double precision, where the device has it: total energies in single precision would
    lose what a model says of them.
    """
    if not hasattr(value, "detach"):
        return array
    import torch

    dtype = value.dtype if value.device.type == "mps" else torch.float64
    return torch.as_tensor(array, dtype=dtype, device=value.device)
