"""The loss of predictions against a batch: what is missing or left out does not count.

Plain torch, differentiable in the predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError
from zstruct.loading.forces import USED

__all__ = ["ObservationModel", "as_predicted", "weighted_loss"]

#: Turns what a model predicts, with what the batch says of it, into what was observed, by name.
ObservationModel = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Mapping[str, Tensor]]

_PER_ATOM = {"energy", "free_energy"}  # extensive: errors grow with the number of atoms


def as_predicted(predictions: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return predictions as they are: what is predicted is observed."""
    return predictions


def weighted_loss(
    predictions: Mapping[str, Tensor],
    batch: Mapping[str, Tensor],
    weights: Mapping[str, float] | None = None,
    *,
    error: Callable[[Tensor, Tensor], Tensor] = torch.nn.functional.mse_loss,
    observation_model: ObservationModel = as_predicted,
) -> Tensor:
    """Return the weighted sum of the errors of several predictions.

    Energies are compared per atom. A structure without a label (``has_<field>``, or NaN where there is
    no such mask), and forces that are not used (``use_forces``), do not count; where nothing counts, an
    error is zero.

    Parameters
    ----------
    predictions
        By field name, shaped as in the batch.
    batch
        Of the ``"graph"`` or the ``"padded"`` layout.
    weights
        Of each prediction that counts, by name; by default 1 for each that the batch has too.
    error
        Of two tensors of the values that count, a scalar; by default their mean squared difference.
    observation_model
        Turns predictions into what was observed, before they are compared: a function of predictions
        and batch that returns predictions.

    Returns
    -------
    torch.Tensor
        A scalar.

    Raises
    ------
    KeyError
        If a prediction or its label is not there.
    ValueError
        If they differ in shape.

    Examples
    --------
    >>> batch = {"energy": torch.tensor([2.0, torch.nan]), "n_atoms": torch.tensor([2, 3])}
    >>> weighted_loss({"energy": torch.tensor([6.0, 1.0])}, batch)
    tensor(4.)
    """
    for what, given in (("predictions", predictions), ("batch", batch)):
        if not isinstance(given, Mapping):
            raise ArgumentTypeError(f"{what} is a mapping of names to tensors, not {shown(given)}")
    predictions = observation_model(predictions, batch)
    if weights is None:
        weights = {name: 1.0 for name in predictions if name in batch}
    total: Any = 0.0
    for name, weight in weights.items():
        for what, there in (("prediction", predictions), ("label", batch)):
            if name not in there:
                raise KeyError(f"there is no {what} {name!r}; there are {', '.join(there)}")
        predicted, label = predictions[name], batch[name]
        if predicted.shape != label.shape:
            raise ValueError(
                f"the prediction of {name} has shape {tuple(predicted.shape)}, its label {tuple(label.shape)}"
            )
        # Some errors, such as huber_loss, want equal dtypes; that of the label has all of its digits.
        dtype = torch.promote_types(predicted.dtype, label.dtype)
        predicted, label = predicted.to(dtype), label.to(dtype)
        if name in _PER_ATOM:
            n_atoms = batch["n_atoms"].to(label.dtype).clamp(min=1)
            predicted, label = predicted / n_atoms, label / n_atoms
        counts = _counts(name, label, batch)
        if counts.any():
            total = total + weight * error(predicted[counts], label[counts])
        else:
            total = total + predicted[counts].sum()  # zero, and still a function of the predictions
    return total if isinstance(total, Tensor) else torch.tensor(total)


def _counts(name: str, label: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Return which rows of a label count."""
    counts = ~label.detach().isnan()
    per_structure = [
        batch[mask] for mask in (f"has_{name}", USED if name == "forces" else "") if mask in batch
    ]
    for given in per_structure:
        if "batch" in batch and len(label) == len(batch["batch"]):
            given = given[batch["batch"]]
        counts &= given.reshape(-1, *[1] * (label.ndim - 1))
    if "mask" in batch and label.shape[:2] == batch["mask"].shape:
        counts &= batch["mask"].reshape(*batch["mask"].shape, *[1] * (label.ndim - 2))
    return counts
