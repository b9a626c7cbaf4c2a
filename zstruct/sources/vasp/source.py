"""Read OUTCAR and vasprun.xml of VASP: geometries, energies, forces and stresses of all ionic steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zstruct.sources.compression import begins
from zstruct.sources.content import Content
from zstruct.sources.outputs import Found, OutputSource
from zstruct.sources.vasp import outcar, vasprun

__all__ = ["OutcarSource", "VasprunSource", "is_outcar", "is_vasprun"]


def is_outcar(content: Content) -> bool:
    """Tell whether content begins as an OUTCAR does: with the version of VASP."""
    return begins(content, 64).lstrip().startswith(b"vasp.")


def is_vasprun(content: Content) -> bool:
    """Tell whether content begins as a vasprun.xml does."""
    return b"<modeling>" in begins(content, 512)


class OutcarSource(OutputSource):
    """One OUTCAR of VASP, plain or compressed.

    Each ionic step is a structure. ``energy`` is extrapolated to no smearing (``energy(sigma->0)``) and
    ``free_energy`` is TOTEN, of which ``forces`` are the derivative; neither has the PV of PSTRESS in it.
    ``stress`` is VASP's, in kbar and with the opposite sign, converted. ``magmom`` and ``magmoms`` (with
    LORBIT) are there where spins are. What a force field predicts that VASP learns is never taken for
    these: it is ``ml_energy``, ``ml_forces`` and ``ml_stress``, and steps that have nothing else are noted
    as "predicted". Positions have five decimals; vasprun.xml of the same run has more, and the flags of
    selective dynamics.

    Parameters
    ----------
    path
        The file.
    """

    end = outcar.END
    nothing = "no ionic step is finished in it"

    def found(self, stream: Any) -> Iterator[Found]:
        """Yield the steps of a stream; see `zstruct.sources.outputs.OutputSource`."""
        return outcar.outcar_steps(stream)


class VasprunSource(OutputSource):
    """One vasprun.xml of VASP, plain or compressed.

    Each ionic step is a structure. ``energy`` is extrapolated to no smearing and ``free_energy`` is the one
    of which ``forces`` are the derivative, both without the PV of PSTRESS and with corrections for
    dispersion. ``stress`` is VASP's, in kbar and with the opposite sign, converted. ``move_mask`` says
    which atoms selective dynamics lets move. Steps that only a force field has computed have ``ml_energy``,
    ``ml_forces`` and ``ml_stress`` in place of these, and are noted as "predicted".

    Parameters
    ----------
    path
        The file.
    """

    end = vasprun.END
    nothing = "no ionic step is finished in it"

    def found(self, stream: Any) -> Iterator[Found]:
        """Yield the steps of a stream; see `zstruct.sources.outputs.OutputSource`."""
        return vasprun.vasprun_steps(stream)
