"""zstruct: atomistic structures in one packed ragged Zarr store.

`build` makes a store from any inputs, `open` shows it as an `xarray.Dataset`, `featurize` adds
descriptors to it, `split` divides it, `statistics` sums it up, and `ZarrStructureDataset` feeds it to
torch. Importing this package loads none of torch, numba, dask or ase; each is loaded by what needs it.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from zstruct.errors import (
    ArgumentTypeError,
    BuildLockedError,
    ChangedInputError,
    CorruptStoreError,
    InputError,
    MissingExtraError,
    StaleGroupError,
    StoreAccessError,
    StoreExistsError,
    StoreFormatError,
    UnknownNameError,
    WriteError,
    ZstructError,
)

if TYPE_CHECKING:
    from zstruct import exporters as exporters
    from zstruct import features as features
    from zstruct import labels as labels
    from zstruct import layouts as layouts
    from zstruct import loading as loading
    from zstruct import sources as sources
    from zstruct import stats as stats
    from zstruct import transforms as transforms
    from zstruct.building.append import append
    from zstruct.building.append_report import AppendReport
    from zstruct.building.build import build
    from zstruct.building.drop import drop
    from zstruct.building.drop_report import DropReport
    from zstruct.building.encoding import Encoding
    from zstruct.building.filters import Filters, Frame
    from zstruct.building.peek import peek
    from zstruct.building.peek_report import PeekReport
    from zstruct.building.report import BuildReport
    from zstruct.building.rewrite import rewrite
    from zstruct.building.rewrite_report import RewriteReport
    from zstruct.coverage.projection import ProjectReport, project
    from zstruct.coverage.samplings import farthest, leverage
    from zstruct.explore import open
    from zstruct.exporters.export import ExportReport, export
    from zstruct.features.featurize import FeaturizeReport, featurize
    from zstruct.indexing.index import IndexReport, index
    from zstruct.labels.compare import compare
    from zstruct.labels.comparison import Comparison
    from zstruct.labels.label import label
    from zstruct.labels.report import LabelReport
    from zstruct.loading import Mixture, MixtureReader, StructureReader, ZarrStructureDataset
    from zstruct.precompilation import warmup
    from zstruct.query.listing import Listing, listing
    from zstruct.query.selection import Selection
    from zstruct.reporting import LiveReport, Report, live_report, report
    from zstruct.similarity.duplicates import duplicates
    from zstruct.similarity.groups import Duplicates
    from zstruct.splits.leaks import Leaks, leaks
    from zstruct.splits.split import kfold, split
    from zstruct.stats import Statistics, open_statistics, statistics
    from zstruct.stats.isolated_atoms import isolated_references
    from zstruct.stats.outliers import Outliers, outliers
    from zstruct.stats.reference_fit import fit_references
    from zstruct.stats.references import References, open_references
    from zstruct.store.history import History, log
    from zstruct.store.labels import open_labels
    from zstruct.store.split_parts import Split
    from zstruct.store.splits import open_split
    from zstruct.store.store import Store
    from zstruct.store.verify import verify

__version__ = "0.1.0"

__all__ = [
    "AppendReport",
    "ArgumentTypeError",
    "BuildLockedError",
    "BuildReport",
    "ChangedInputError",
    "Comparison",
    "CorruptStoreError",
    "DropReport",
    "Duplicates",
    "Encoding",
    "ExportReport",
    "FeaturizeReport",
    "Filters",
    "Frame",
    "History",
    "IndexReport",
    "InputError",
    "LabelReport",
    "Leaks",
    "Listing",
    "LiveReport",
    "MissingExtraError",
    "Mixture",
    "MixtureReader",
    "Outliers",
    "PeekReport",
    "ProjectReport",
    "References",
    "Report",
    "RewriteReport",
    "Selection",
    "Split",
    "StaleGroupError",
    "Statistics",
    "Store",
    "StoreAccessError",
    "StoreExistsError",
    "StoreFormatError",
    "StructureReader",
    "UnknownNameError",
    "WriteError",
    "ZarrStructureDataset",
    "ZstructError",
    "append",
    "build",
    "compare",
    "drop",
    "duplicates",
    "export",
    "exporters",
    "farthest",
    "features",
    "featurize",
    "fit_references",
    "index",
    "isolated_references",
    "kfold",
    "label",
    "labels",
    "layouts",
    "leaks",
    "leverage",
    "listing",
    "live_report",
    "loading",
    "log",
    "open",
    "open_labels",
    "open_references",
    "open_split",
    "open_statistics",
    "outliers",
    "peek",
    "project",
    "report",
    "rewrite",
    "sources",
    "split",
    "statistics",
    "stats",
    "transforms",
    "verify",
    "warmup",
]

_LAZY = {
    "AppendReport": "zstruct.building",
    "BuildReport": "zstruct.building",
    "Comparison": "zstruct.labels.comparison",
    "DropReport": "zstruct.building",
    "Encoding": "zstruct.building",
    "ExportReport": "zstruct.exporters",
    "FeaturizeReport": "zstruct.features.featurize",
    "Filters": "zstruct.building",
    "Frame": "zstruct.building",
    "History": "zstruct.store.history",
    "IndexReport": "zstruct.indexing.index",
    "Mixture": "zstruct.loading",
    "MixtureReader": "zstruct.loading",
    "LabelReport": "zstruct.labels.report",
    "Listing": "zstruct.query.listing",
    "Outliers": "zstruct.stats.outliers",
    "outliers": "zstruct.stats.outliers",
    "PeekReport": "zstruct.building",
    "ProjectReport": "zstruct.coverage.projection",
    "project": "zstruct.coverage.projection",
    "References": "zstruct.stats.references",
    "LiveReport": "zstruct.reporting",
    "Report": "zstruct.reporting",
    "live_report": "zstruct.reporting",
    "report": "zstruct.reporting",
    "RewriteReport": "zstruct.building",
    "Selection": "zstruct.query.selection",
    "Duplicates": "zstruct.similarity.groups",
    "duplicates": "zstruct.similarity.duplicates",
    "Leaks": "zstruct.splits",
    "leaks": "zstruct.splits",
    "Split": "zstruct.splits",
    "Statistics": "zstruct.stats",
    "Store": "zstruct.store.store",
    "StructureReader": "zstruct.loading",
    "ZarrStructureDataset": "zstruct.loading",
    "append": "zstruct.building",
    "build": "zstruct.building",
    "compare": "zstruct.labels.compare",
    "drop": "zstruct.building",
    "export": "zstruct.exporters",
    "farthest": "zstruct.coverage.samplings",
    "leverage": "zstruct.coverage.samplings",
    "featurize": "zstruct.features.featurize",
    "fit_references": "zstruct.stats.reference_fit",
    "index": "zstruct.indexing.index",
    "isolated_references": "zstruct.stats.isolated_atoms",
    "kfold": "zstruct.splits",
    "label": "zstruct.labels.label",
    "log": "zstruct.store.history",
    "listing": "zstruct.query.listing",
    "open": "zstruct.explore",
    "open_labels": "zstruct.store.labels",
    "open_references": "zstruct.stats.references",
    "open_split": "zstruct.splits",
    "open_statistics": "zstruct.stats",
    "peek": "zstruct.building",
    "rewrite": "zstruct.building",
    "split": "zstruct.splits",
    "statistics": "zstruct.stats",
    "verify": "zstruct.store.verify",
    "warmup": "zstruct.precompilation",
}


# What to write in Python for commands that are no functions.
_OF_COMMANDS = {
    "info": "zstruct.explore.summarize(store)",
    "live": "zstruct.live_report(store)",
    "ls": "zstruct.listing(store)",
    "references": "zstruct.fit_references(store)",
    "select": "zstruct.build(store, out, select=...)",
}


def __getattr__(name: str) -> Any:
    from zstruct.lazy import load_module

    if name in _LAZY:
        value = getattr(load_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    # Modules are attributes whether or not somebody has imported them: it makes no difference what was first.
    if (
        name.isidentifier()
        and not name.startswith("_")
        and importlib.util.find_spec(f"zstruct.{name}") is not None
    ):
        return load_module(f"zstruct.{name}")
    instead = f"; in Python, {_OF_COMMANDS[name]}" if name in _OF_COMMANDS else ""
    raise AttributeError(f"module 'zstruct' has no attribute {name!r}{instead}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
