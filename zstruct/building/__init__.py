"""Build a store: scan → parse → plan → encode → finalize → publish, each step restartable."""

from zstruct.building.build import build
from zstruct.building.filters import Frame
from zstruct.building.report import BuildReport

__all__ = ["BuildReport", "Frame", "build"]
