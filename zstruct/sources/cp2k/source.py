"""Read the output of CP2K: coordinates, energy, forces and stress of a structure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zstruct.sources.compression import begins
from zstruct.sources.content import Content
from zstruct.sources.cp2k import output
from zstruct.sources.outputs import Found, OutputSource

__all__ = ["CP2KOutputSource", "is_cp2k_output"]


def is_cp2k_output(content: Content) -> bool:
    """Tell whether content begins as what CP2K prints does."""
    head = begins(content, 1 << 13)
    return b"CP2K| version string" in head or (b"DBCSR|" in head and b"PROGRAM STARTED AT" in head)


class CP2KOutputSource(OutputSource):
    """What CP2K prints of a run that computes one geometry (ENERGY, ENERGY_FORCE), plain or compressed.

    ``energy`` is the total energy of FORCE_EVAL, in which the entropy of smearing is, if there is any;
    ``forces`` and ``stress`` are there if they are printed, in the units that are stated. The stress of CP2K
    has the opposite sign and is converted. ``total_charge`` and ``spin_multiplicity`` are those of the run.
    Where electrons did not converge, the structure is noted as "unconverged". Of runs that move atoms the
    output has not all positions: their trajectory, NAME-pos-1.xyz, is read together with forces and cells.

    Parameters
    ----------
    path
        The file.
    """

    end = output.END

    def found(self, stream: Any) -> Iterator[Found]:
        """Yield the structures of a stream; see `zstruct.sources.outputs.OutputSource`."""
        return iter(output.cp2k_structures(line.decode("utf-8", "replace") for line in stream))
