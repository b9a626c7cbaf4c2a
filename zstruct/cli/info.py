"""``zstruct info``: what is in a store."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given
from zstruct.text import counted

__all__ = ["add_info"]


def add_info(commands: Any) -> None:
    """Add the command."""
    info = commands.add_parser("info", help="show what is in a store", options=_options)
    info.set_defaults(run=_info)


def _options(info: Command) -> None:
    info.add_argument("path", metavar="STORE")
    info.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_options(info, zstruct.statistics, only=("select",))
    add_options(info, zstruct.verify)


def _info(arguments: argparse.Namespace) -> int:
    from zstruct.explore.summary import WIDTH, format_summary, summarize

    store = zstruct.Store(**given(arguments, zstruct.Store))
    if "select" in arguments:
        return _selected(store, arguments.select, arguments.json)
    summary, groups = summarize(store), _groups(store)
    if arguments.json:
        print(json.dumps(summary | {"groups": groups}, indent=2))
        return 0
    print(format_summary(summary))
    for path, group in groups.items():
        stale = "; stale: the store has other content now" if group["stale"] else ""
        line = f"{path}: {group['made_by']}{stale}"
        print(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False))
    return 0


def _selected(store: zstruct.Store, expression: str, as_json: bool) -> int:
    """Print how many structures and atoms of a store an expression selects."""
    selection = zstruct.Selection().select(expression)
    rows = selection.structures(store)
    n_structures, n_atoms = len(rows), int(store.read("n_atoms")[rows].sum())
    if as_json:
        said = {"select": expression, "n_structures": n_structures, "n_atoms": n_atoms}
        print(json.dumps(said, indent=2))
        return 0
    of = f"{n_structures:,} of {counted(store.n_structures, 'structure')}"
    print(f"{of}, {counted(n_atoms, 'atom')}: {selection}")
    return 0


def _groups(store: zstruct.Store) -> dict[str, dict[str, Any]]:
    """Return what made each group of a store, and whether it is stale."""
    from zstruct.store.spec import GROUP_KINDS, INDEX, LABELS

    found: dict[str, dict[str, Any]] = {}
    for kind in GROUP_KINDS:
        for name in store.group_names(kind):
            attrs = store.group_attrs(f"{kind}/{name}")
            if "level" in attrs:
                found[f"{kind}/{name}"] = _added(attrs, store)
                continue
            parameters = ", ".join(f"{k}={v!r}" for k, v in attrs["manifest"]["parameters"].items())
            found[f"{kind}/{name}"] = {
                "made_by": f"{attrs['manifest']['class']}({parameters})",
                "manifest": attrs["manifest"],
                "stale": attrs["store_digest"] != store.digest,
            }
    for name in store.group_names(LABELS):
        found[f"{LABELS}/{name}"] = _labels(store, name)
    for small, describe in (("splits", _said_split), ("statistics", _said_stats), ("references", _said_fit)):
        for name in store.group_names(small):
            attrs = store.group_attrs(f"{small}/{name}")
            stale = attrs["store_digest"] != store.digest
            found[f"{small}/{name}"] = {"made_by": describe(attrs), "stale": stale}
    for group in (f"{INDEX}/{name}" for name in store.group_names(INDEX)):
        attrs = store.group_attrs(group)
        columns = ", ".join(name.rpartition("/")[2] for name in store.array_names(group))
        sample = "description" in attrs
        made_by = attrs["description"].rstrip(".") if sample else f"{columns}, for selections"
        found[group] = {"made_by": made_by, "stale": attrs["store_digest"] != store.digest}
    return found


def _added(attrs: dict[str, Any], store: zstruct.Store) -> dict[str, Any]:
    """Return what is said of features that were added, not computed."""
    features = counted(len(attrs["feature_names"]), "feature")
    about = f": {attrs['description']}" if attrs.get("description") else ""
    return {
        "made_by": f"added, {features} of each {attrs['level']}, {attrs['dtype']}{about}",
        "manifest": attrs["manifest"],
        "stale": attrs["store_digest"] != store.digest,
    }


def _labels(store: zstruct.Store, name: str) -> dict[str, Any]:
    """Return what is said of labels beside the store's own."""
    from zstruct.labels import Labels

    labels = Labels(store, name, store.group_attrs(f"labels/{name}"))
    n = store.n_structures
    fields = ", ".join(
        field if (k := labels.coverage(field)) == n else f"{field} of {k:,}" for field in labels.fields
    )
    made = labels.manifest
    by = "added" if made["class"] == "External" else f"by {made['parameters'].get('how', made['class'])}"
    lost = sum(1 for _ in labels.failures())
    return {
        "made_by": "".join(
            [
                f"{fields}, {by}",
                f"; {counted(lost, 'structure')} failed" if lost else "",
                f": {labels.description}" if labels.description else "",
            ]
        ),
        "manifest": made,
        "stale": labels.attrs["store_digest"] != store.digest,
    }


def _said_split(attrs: dict[str, Any]) -> str:
    recipe = ", ".join(f"{key}={value!r}" for key, value in attrs["recipe"].items() if value is not None)
    return f"{', '.join(attrs['labels'])} ({recipe})"


def _said_stats(attrs: dict[str, Any]) -> str:
    of = f", {attrs['split'][1]} of {attrs['split'][0]}" if attrs["split"] else ""
    return f"{counted(attrs['structures'], 'structure')}{of}"


def _said_fit(attrs: dict[str, Any]) -> str:
    energies = ", ".join(f"{symbol} {energy:.6g}" for symbol, energy in attrs["energies"].items())
    return f"{energies} eV, {attrs['method']}{', singular' if attrs['singular'] else ''}"
