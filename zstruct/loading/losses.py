"""The loss of predictions against a batch: what is missing or left out does not count.

Plain torch, differentiable in the predictions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from zstruct.arguments import real, shown
from zstruct.errors import ArgumentTypeError, InputError, UnknownNameError
from zstruct.keywords import keywords
from zstruct.loading.forces import USED
from zstruct.schema import FIELDS
from zstruct.text import nearest

__all__ = ["ObservationModel", "as_predicted", "loss"]

#: Turns what a model predicts, with what the batch says of it, into what was observed, by name.
ObservationModel = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Mapping[str, Tensor]]

_EXTENSIVE = frozenset(name for name, row in FIELDS.items() if row.extensive)
_NO_LABELS = {"batch", "n_atoms", "numbers", "ptr", "structure"}  # say how a batch is laid out


def as_predicted(predictions: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return predictions as they are: what is predicted is observed."""
    return predictions


@keywords()
def loss(
    predictions: Mapping[str, Tensor],
    batch: Mapping[str, Tensor],
    weights: Mapping[str, float] | None = None,
    *,
    error: Callable[[Tensor, Tensor], Tensor] = torch.nn.functional.mse_loss,
    observation_model: ObservationModel = as_predicted,
    extensive: Collection[str] = _EXTENSIVE,
) -> Tensor:
    """Return the weighted sum of the errors of several predictions.

    Energies are compared per atom. A structure without a label (``has_<field>``, or NaN where there is
    no such mask), and forces that are not used (``use_forces``), do not count; where nothing counts, an
    error is zero.

    Parameters
    ----------
    predictions
        By field name, shaped as in the batch, at least one. The batch has a label for each that counts.
    batch
        Of the ``"graph"`` or the ``"padded"`` layout.
    weights
        Of each prediction that counts, by name, from 0; by default 1 for each. A prediction that is not
        named here does not count.
    error
        Of two tensors of the values that count, a scalar; by default their mean squared difference.
    observation_model
        Turns predictions into what was observed, before they are compared: a function of predictions
        and batch that returns predictions.
    extensive
        What is an energy of all atoms together; ``data.loss`` knows of which fields of ``data`` it is so,
        those that come of other labels among them.

    Returns
    -------
    torch.Tensor
        A scalar.

    Raises
    ------
    UnknownNameError
        If the batch has no label of a prediction's name, or if there is no prediction of a weight's.
    InputError
        If there is no prediction, if one and its label differ in shape, or if a weight is negative.
    ArgumentTypeError
        If something is of a type that makes no sense there.

    Examples
    --------
    >>> batch = {"energy": torch.tensor([2.0, torch.nan]), "n_atoms": torch.tensor([2, 3])}
    >>> loss({"energy": torch.tensor([6.0, 1.0])}, batch)
    tensor(4.)
    """
    for what, given in (("predictions", predictions), ("batch", batch)):
        _check_mapping(what, given)
    for what, function in (("error", error), ("observation_model", observation_model)):
        if not callable(function):
            raise ArgumentTypeError(f"{what} is a function, not {shown(function)}")
    predictions = observation_model(predictions, batch)
    _check_mapping("predictions", predictions)
    if not predictions:
        raise InputError("data.loss needs predictions by name, such as {'energy': ...}, and there are none")
    total: Any = 0.0
    for name, weight in _weights_of(weights, predictions).items():
        if name not in predictions:
            raise _missing("prediction", name, predictions)
        labels = [one for one, label in batch.items() if _is_label(one, label)]
        if name not in labels:
            raise _missing("label", name, labels, " in the batch")
        predicted, label = predictions[name], batch[name]
        if not isinstance(predicted, Tensor):
            raise ArgumentTypeError(f"the prediction of {name} is a tensor, not {shown(predicted)}")
        if predicted.shape != label.shape:
            raise InputError(
                f"the prediction of {name} has shape {tuple(predicted.shape)}, its label {tuple(label.shape)}"
            )
        # Some errors, such as huber_loss, want equal dtypes; that of the label has all of its digits.
        dtype = torch.promote_types(predicted.dtype, label.dtype)
        predicted, label = predicted.to(dtype), label.to(dtype)
        if name in extensive:
            n_atoms = batch["n_atoms"].to(label.dtype).clamp(min=1)
            predicted, label = predicted / n_atoms, label / n_atoms
        counts = _counts(name, label, batch)
        if counts.any():
            total = total + weight * error(predicted[counts], label[counts])
        else:
            total = total + predicted[counts].sum()  # zero, and still a function of the predictions
    return total if isinstance(total, Tensor) else torch.tensor(total)


def _check_mapping(what: str, given: Any) -> None:
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(f"{what} is a mapping of names to tensors, not {shown(given)}")


def _weights_of(weights: Any, predictions: Mapping[str, Tensor]) -> Mapping[str, Any]:
    """Return the weight of each prediction that counts."""
    if weights is None:
        return dict.fromkeys(predictions, 1.0)
    if not isinstance(weights, Mapping):
        raise ArgumentTypeError(f"weights is a mapping of names to numbers, not {shown(weights)}")
    if not weights:
        raise InputError("weights names the predictions that count, and there are none in it")
    for name, weight in weights.items():
        if isinstance(weight, Tensor) and weight.ndim == 0:  # one that is learned, say
            continue
        number: float | None = real(f"the weight of {name}", weight)
        if number is None or not 0 <= number < math.inf:
            raise InputError(f"the weight of {name} is a number from 0, not {shown(weight)}")
    return weights


def _is_label(name: str, value: Any) -> bool:
    """Return whether something in a batch can be predicted: no mask, and nothing that lays it out."""
    return isinstance(value, Tensor) and value.dtype != torch.bool and name not in _NO_LABELS


def _missing(what: str, name: Any, known: Collection[str], where: str = "") -> UnknownNameError:
    near = nearest(name, known) if isinstance(name, str) else None
    hint = f"there are {', '.join(known) or 'none'}" if near is None else f"did you mean {near!r}?"
    return UnknownNameError(f"data.loss: there is no {what} {shown(name)}{where}; {hint}")


def _counts(name: str, label: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Return which rows of a label count."""
    counts = ~label.detach().isnan()
    per_structure = [
        batch[mask] for mask in (f"has_{name}", USED if name == "forces" else "") if mask in batch
    ]
    for given in per_structure:
        if "batch" in batch and len(label) == len(batch["batch"]):
            given = given[batch["batch"]]
        elif "ptr" in batch and len(label) != len(given):
            given = given.repeat_interleave(batch["ptr"].diff(), output_size=len(label))
        counts &= given.reshape(-1, *[1] * (label.ndim - 1))
    if "mask" in batch and label.shape[:2] == batch["mask"].shape:
        counts &= batch["mask"].reshape(*batch["mask"].shape, *[1] * (label.ndim - 2))
    return counts
