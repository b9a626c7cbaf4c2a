"""Methods of ``Dataset.zs`` that hand structures on: objects, files, stores, tables."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from zstruct import parallel
from zstruct.docstrings import documented
from zstruct.explore import conversions
from zstruct.explore.accessor.base import AccessorBase
from zstruct.explore.table import to_table
from zstruct.explore.to_chemiscope import to_chemiscope
from zstruct.explore.write import write_store
from zstruct.keywords import keywords

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

    from zstruct.building.report import BuildReport
    from zstruct.exporters import Exporter, ExportReport

__all__ = ["Outputs"]


class Outputs(AccessorBase):
    """Hands the structures of a Dataset on to other tools."""

    @keywords()
    @documented(conversions.to_ase)
    def to_ase(self, structure: Any = None) -> Atoms | list[Atoms]:
        """Return structures as `ase.Atoms`; reads them, every array once.

        Energies, forces and other results become those of a `SinglePointCalculator`, fixed atoms
        (``move_mask``) become constraints, and everything else goes to ``arrays`` and ``info``
        under the name the input gave it. What a structure lacks is absent. Provenance is in
        ``info["zstruct_source"]`` and ``info["zstruct_frame"]``.
        """
        return conversions.to_ase(self._ragged, structure)

    @keywords()
    @documented(conversions.to_pymatgen)
    def to_pymatgen(self, structure: Any = None) -> Any:
        """Return structures as pymatgen has them: a Structure of what has a cell, else a Molecule; reads.

        What `to_ase` puts into ``arrays`` are site properties, the rest are properties.
        """
        return conversions.to_pymatgen(self._ragged, structure)

    @keywords()
    @documented(to_chemiscope)
    def to_chemiscope(
        self,
        structure: Any = None,
        *,
        properties: list[str] | None = None,
        atoms: bool = False,
        forces: bool = False,
        name: str | None = None,
    ) -> dict[str, Any]:
        """Return structures and their properties as chemiscope takes them; reads them.

        Write it with `json.dump` into a file ending in ``.json`` for ``chemiscope.show_input`` in a notebook,
        or for the web site of chemiscope.
        """
        how: dict[str, Any] = {"properties": properties, "atoms": atoms, "forces": forces}
        return to_chemiscope(self._ragged, structure, **how, name=name)

    @keywords(parallel.WORKERS)
    @documented(conversions.to_file)
    def export(
        self,
        path: str | os.PathLike[str],
        format: str | Exporter | None = None,
        *,
        fields: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        with_split: str | None = None,
        overwrite: bool = False,
        workers: int | None = None,
        progress: bool = True,
    ) -> ExportReport:
        """Write these structures into a file of another format, in this order and with these values; reads.

        What was selected, sorted, changed or added is in the file: ``ds.assign(score=...)`` too, if it has a
        row for each structure or atom. Of coordinates, those are written that a store has.
        """
        return conversions.to_file(
            self._ragged,
            path,
            format,
            fields=fields,
            exclude=exclude,
            with_split=with_split,
            overwrite=overwrite,
            workers=workers,
            progress=progress,
        )

    @keywords()
    @documented(write_store)
    def write(
        self,
        out: str | os.PathLike[str],
        *,
        encoding: Any = None,
        overwrite: bool = False,
        resume: bool = True,
        workers: Any = None,
        progress: bool = True,
    ) -> BuildReport:
        """Write these structures into a store of their own, in their order, with all that their store has.

        ``ds.zs.select("Ti").zs.write("cut.zarr")`` does what `zstruct.build` does with ``select="Ti"``:
        blocks are copied, and where each structure first came from stays with it. Variables that the Dataset
        no longer has are left out. What was changed in memory, or added, is refused by name.
        """
        how = {"encoding": encoding, "overwrite": overwrite, "resume": resume}
        return write_store(self._ragged, out, **how, workers=workers, progress=progress)

    @keywords()
    @documented(to_table)
    def to_dataframe(
        self,
        fields: list[str] | None = None,
        *,
        atoms: bool = False,
        fmax: bool = False,
        composition: bool = False,
    ) -> pd.DataFrame:
        """Return a table with one row a structure, or one an atom; reads what is in it."""
        return to_table(self._ragged, fields, atoms=atoms, fmax=fmax, composition=composition)
