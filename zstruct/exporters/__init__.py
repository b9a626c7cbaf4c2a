"""What other tools read, made of stores: a file per format, which mirrors `zstruct.sources`.

`zstruct.export` is the function; exporters of formats are imported when they are first used.
"""

from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.export import ExportReport, export
from zstruct.exporters.exporter import Exporter, TextExporter
from zstruct.exporters.limits import Entry, FieldLimit, Limits, StructureLimit, only

__all__ = [
    "Block",
    "Contents",
    "Entry",
    "ExportReport",
    "Exporter",
    "FieldLimit",
    "Limits",
    "StructureLimit",
    "TextExporter",
    "export",
    "only",
]
