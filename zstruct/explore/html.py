"""What notebooks show of a Dataset: what is in it first, how it was built last, all text escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

import xarray as xr

from zstruct.errors import ZstructError
from zstruct.explore.arguments import fields_of
from zstruct.explore.attributes import nested
from zstruct.explore.summary import summarize
from zstruct.schema import ATOM, STRUCTURE
from zstruct.text import counted, html_table, sized

__all__ = ["dataset_page"]

_ABOUT = ("encoding-version", "digest", "metadata_digest")


def dataset_page(dataset: xr.Dataset) -> str:
    """Return a page about a Dataset: counts, sizes, species, then fields, then its store and build.

    A whole store is described as ``zstruct info`` does it, which reads `n_atoms` and `pbc`; of a part of
    one, only what is known without its atoms.
    """
    n, atoms = dataset.sizes.get(STRUCTURE, 0), dataset.sizes.get(ATOM, 0)
    summary = _summary_of(dataset)
    title = html.escape(f"{counted(n, 'structure')}, {counted(atoms, 'atom')}")
    facts = _facts(dataset, summary)
    rows = [_field_row(name, dataset, summary) for name in fields_of(dataset) if name != "offsets"]
    head = ("field", "per", "values", "dtype", "unit", "given", "range")
    about = [(key, dataset.attrs[key]) for key in _ABOUT if key in dataset.attrs]
    if "source" in dataset.encoding:
        about.insert(0, ("store", dataset.encoding["source"]))
    built = dataset.attrs.get("build")
    if built is not None:
        about.append(("build", json.dumps(nested(built), indent=1)))
    last = f"<details><summary>store and build</summary>{html_table(about)}</details>" if about else ""
    return f"<p><b>{title}</b></p>{html_table(facts)}{html_table(rows, head)}{last}"


def _summary_of(dataset: xr.Dataset) -> Mapping[str, Any]:
    """Return the summary of the store that a Dataset is the whole of; nothing if it is a part."""
    if "source" not in dataset.encoding or "digest" not in dataset.attrs:
        return {}
    try:
        summary = summarize(
            dataset.encoding["source"], storage_options=dataset.encoding.get("storage_options")
        )
    except ZstructError:  # it is gone, or was built anew since
        return {}
    return summary if summary["digest"] == dataset.attrs["digest"] else {}


def _facts(dataset: xr.Dataset, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = []
    counts = dataset.variables.get("n_atoms")
    if counts is not None and counts.size:
        values = counts.to_numpy()
        spread = f"{values.min():,} to {values.max():,}, {values.mean():.4g} on average"
        facts.append(("atoms per structure", spread))
    if summary:
        facts.append(("periodic", f"{summary['n_periodic']:,}"))
        if summary["nbytes_on_disk"] is not None:
            facts.append(("on disk", sized(summary["nbytes_on_disk"])))
    for key, unit in (("species", ""), ("atomic_energies", " eV")):
        known = nested(dataset.attrs.get(key, {}))
        if known:
            told = ", ".join(f"{symbol} {value:,.10g}" for symbol, value in known.items())
            facts.append((key.replace("_", " "), told + unit))
    return facts


def _field_row(name: str, dataset: xr.Dataset, summary: Mapping[str, Any]) -> tuple[str, ...]:
    variable = dataset.variables[name]
    attrs = variable.attrs
    share = summary.get("fields", {}).get(name, {}).get("coverage")
    limits = attrs.get("actual_range", ())
    return (
        name,
        str(variable.dims[0]),
        " x ".join(map(str, variable.shape[1:])) or "1",
        "text" if variable.dtype == object else str(variable.dtype),
        str(attrs.get("units", "")).removeprefix("1"),
        "" if share is None else f"{share:.1%}",
        " .. ".join(f"{value:.6g}" for value in limits),
    )
