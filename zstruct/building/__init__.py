"""Build a store, scan → parse → plan → encode → finalize → publish, each step restartable; or change one."""

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

__all__ = [
    "AppendReport",
    "BuildReport",
    "DropReport",
    "Encoding",
    "Filters",
    "Frame",
    "PeekReport",
    "RewriteReport",
    "append",
    "build",
    "drop",
    "peek",
    "rewrite",
]
