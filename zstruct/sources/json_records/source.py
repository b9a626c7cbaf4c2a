"""Read structures of pymatgen from JSON, with what projects keep beside them, and FitSNAP's files.

Known are lists and tables of structures and molecules; records that have one under ``structure``, as those
of mlearn (with ``outputs``) and of MPtrj (a table of tables); and FitSNAP's ``Dataset``. What a property is
called in a store is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.elements import atomic_number
from zstruct.schema import ATOM, STRUCTURE
from zstruct.sources.columns import Values, atom_columns, by_key, structure_columns, with_gaps
from zstruct.sources.compression import begins, opened, stem
from zstruct.sources.content import Content
from zstruct.sources.json_records.stream import CutError, members
from zstruct.sources.source import BadFrame, FileSource, Raw, RawColumn, Slice

__all__ = ["JSONSource", "is_json_of_structures"]

_BLOCK_ATOMS, _BLOCK_FRAMES = 1 << 17, 1 << 12
_HEAD_BYTES = 1 << 16
_SIGNS = re.compile(
    r'"@class"\s*:\s*"(?:I?Structure|I?Molecule)"|"Dataset"\s*:\s*\{|"sites"\s*:\s*\[\s*\{[^}]*"species"'
)
_WITHIN = ("structure", "molecule")
_BESIDE = ("outputs", "data")  # tables of labels
_WHOLE = frozenset(
    "@module @class @version sites lattice charge spin_multiplicity structure molecule Dataset properties "
    "_id num_atoms outputs params group tags description data task_id".split()
)
_MPTRJ = frozenset({"uncorrected_total_energy", "ef_per_atom", "e_per_atom_relaxed"})
_UNSAID = (
    "its {0} is kept as 'input_{0}': the file says neither unit nor sign, and VASP's has the opposite sign "
    "of the stress here, in kbar, with components in another order; convert it if you want it as stress"
)
_STRESSES = ("stress", "stresses", "virial_stress")
# Words of FitSNAP.
_STYLES = {
    "electronvolt": "eV",
    "electronvoltperangstrom": "eV/angstrom",
    "angstrom": "angstrom",
    "kilobar": "kbar",
    "kb": "kbar",
}
_FITSNAP = {"Energy": "energy", "Forces": "forces", "Stress": "stress"}


def is_json_of_structures(content: Content) -> bool:
    """Tell whether content called ``*.json`` begins with structures as they are known here."""
    if not stem(content.name).lower().endswith(".json"):
        return False
    return _SIGNS.search(begins(content, _HEAD_BYTES).decode("utf-8", "replace")) is not None


class JSONSource(FileSource):
    """One JSON file of structures, plain or compressed.

    It is read record by record; only an object that is a single record is read whole. Labels that stand
    beside a structure keep their names. Of MPtrj the stress is VASP's, in kbar with the opposite sign, and
    is converted; of other files the stress is kept as ``input_stress``, because they say neither. FitSNAP
    says its units, and its stress is a pressure.

    Parameters
    ----------
    path
        The file.
    """

    runs_in = "processes"

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of the file in blocks.

        Raises
        ------
        InputError
            If the file can't be opened or is no text.
        """
        good: list[_Frame] = []
        bad: list[BadFrame] = []
        n = n_atoms = 0
        with opened(self.content) as file:
            found = _frames(file)
            while True:
                try:
                    frame = next(found)
                    frame.number = n
                    good.append(frame)
                    n_atoms += len(frame.positions)
                except StopIteration:
                    break
                except CutError as error:
                    bad.append(BadFrame(n, f"the file is damaged or cut off here: {error}"))
                    break
                n += 1
                if frame.fault:
                    bad.append(BadFrame(frame.number, frame.fault))
                    good.pop()
                if n_atoms >= _BLOCK_ATOMS or len(good) + len(bad) >= _BLOCK_FRAMES:
                    yield _raw(good, bad)
                    good, bad, n_atoms = [], [], 0
        if not n and not bad:
            bad.append(BadFrame(0, "there is no structure in it"))
        if good or bad:
            yield _raw(good, bad)


class _FaultError(Exception):
    """What is wrong with one structure."""


_NOTHING = np.empty((0, 3))


@dataclass
class _Frame:
    """One structure, in the input's words."""

    number: int = 0
    fault: str = ""
    species: list[Any] = field(default_factory=list)
    """Symbols, or types if there are no elements."""
    typed: bool = False
    positions: NDArray[Any] = field(default_factory=lambda: _NOTHING)
    cell: NDArray[Any] | None = None
    pbc: Sequence[bool] = (False, False, False)
    atom: dict[str, Any] = field(default_factory=dict)
    structure: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    remark: str = ""


def _frames(file: Any) -> Iterator[_Frame]:
    for name, value in members(file, _WHOLE):
        yield from _within(value, name)


def _within(value: Any, name: str) -> Iterator[_Frame]:
    """Yield the structures in a value, however deep they are."""
    if isinstance(value, list):
        for one in value:
            yield from _within(one, name)
    elif not isinstance(value, dict):
        if value is not None:
            yield _Frame(fault=f"there is {str(value)[:40]!r} where a structure should be")
    elif isinstance(value.get("Dataset"), dict):
        yield from _fitsnap(value["Dataset"])
    elif "sites" in value or any(_is_structure(value.get(key)) for key in _WITHIN):
        yield _checked(_record, value, name)
    elif value and all(isinstance(one, (dict, list)) for one in value.values()):
        for key, one in value.items():
            yield from _within(one, key)
    else:
        yield _Frame(
            fault=f"a record without a structure; it has {', '.join(map(str, value))[:80] or 'nothing'}"
        )


def _is_structure(value: Any) -> bool:
    return isinstance(value, dict) and "sites" in value


def _checked(make: Any, *given: Any) -> _Frame:
    try:
        frame: _Frame = make(*given)
    except _FaultError as error:
        return _Frame(fault=str(error))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return _Frame(fault=f"the record is not as it should be ({type(error).__name__}: {error})"[:200])
    return frame


def _record(value: Mapping[str, Any], name: str) -> _Frame:
    """Return a structure of pymatgen with the labels beside it."""
    if "sites" in value:
        frame, labels = _structure(value), {}
    else:
        key = next(key for key in _WITHIN if _is_structure(value.get(key)))
        frame = _structure(value[key])
        labels = {k: v for k, v in value.items() if k != key}
        for table in _BESIDE:
            if isinstance(labels.get(table), dict):
                labels |= labels.pop(table)
    if name:
        labels.setdefault("record", name)
    if not _MPTRJ.isdisjoint(labels):
        if labels.get("stress") is not None:
            labels["stress"] = -np.asarray(labels["stress"], dtype=np.float64)
            frame.units["stress"] = "kbar"
        if "magmom" in labels:  # of atoms, and sites may have them, too
            labels["magmoms"] = labels.pop("magmom")
            frame.atom.pop("magmom", None)
    else:
        for key in [key for key in labels if key in _STRESSES]:
            labels[f"input_{key}"] = labels.pop(key)
            frame.remark = _UNSAID.format(key)
    _add(frame, labels)
    return frame


def _structure(value: Mapping[str, Any]) -> _Frame:
    sites = value["sites"]
    if not sites:
        raise _FaultError("the structure has no atoms")
    frame = _Frame(species=[_element(site, k) for k, site in enumerate(sites)])
    lattice = value.get("lattice")
    if lattice:
        frame.cell = _numbers(lattice["matrix"], (3, 3), "the matrix of the lattice")
        frame.pbc = [bool(flag) for flag in lattice.get("pbc", (True, True, True))]
    if "xyz" in sites[0]:
        frame.positions = _numbers([site["xyz"] for site in sites], (len(sites), 3), "positions")
    elif frame.cell is None:
        raise _FaultError("its sites have no positions (xyz)")
    else:
        frame.positions = _numbers([s["abc"] for s in sites], (len(sites), 3), "positions") @ frame.cell
    frame.atom = _of_sites([site.get("properties") or {} for site in sites])
    _add(frame, value.get("properties") or {})
    if lattice is None:  # of crystals, a charge is a sum over guesses
        known = {"charge": value.get("charge"), "spin_multiplicity": value.get("spin_multiplicity")}
        frame.structure |= {key: v for key, v in known.items() if v is not None}
    return frame


def _of_sites(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what sites have, a column each."""
    keys = dict.fromkeys(key for row in rows for key in row)
    values = {key: [row.get(key) for row in rows] for key in keys}
    return {key: with_gaps(column) for key, column in values.items() if any(v is not None for v in column)}


def _element(site: Mapping[str, Any], k: int) -> int:
    species = site["species"]
    if len(species) != 1 or species[0].get("occu", 1) != 1:
        said = ", ".join(f"{one.get('element')} {one.get('occu')}" for one in species)
        raise _FaultError(f"site {k} is disordered ({said}): a structure has one element at each site")
    number = atomic_number(str(species[0]["element"]))
    if not number:
        raise _FaultError(f"site {k} is {str(species[0]['element'])[:40]!r}, which is no chemical element")
    return number


def _numbers(value: Any, shape: tuple[int, ...], what: str) -> NDArray[Any]:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != shape:
        raise _FaultError(f"{what} are not numbers of shape {shape}")
    return array


def _fitsnap(dataset: Mapping[str, Any]) -> Iterator[_Frame]:
    styles = {str(key)[:-5]: str(text) for key, text in dataset.items() if str(key).endswith("Style")}
    labels = {key: v for key, v in dataset.items() if key != "Data" and not str(key).endswith("Style")}
    for value in dataset.get("Data") or [{}]:
        yield _checked(_configuration, value, styles, labels)


def _configuration(value: Mapping[str, Any], styles: Mapping[str, str], labels: Mapping[str, Any]) -> _Frame:
    """Return one configuration of FitSNAP, whose lattice has the cell vectors in its rows."""
    value = dict(value)
    types = value.pop("AtomTypes")
    frame = _Frame(typed=styles.get("AtomType", "chemicalsymbol").lower() != "chemicalsymbol")
    frame.species = list(types) if frame.typed else [atomic_number(str(symbol)) or 0 for symbol in types]
    if not frame.typed and 0 in frame.species:
        raise _FaultError(f"{str(types[frame.species.index(0)])[:40]!r} is no chemical element")
    frame.positions = _numbers(value.pop("Positions"), (len(types), 3), "Positions")
    if "Lattice" in value:
        frame.cell, frame.pbc = _numbers(value.pop("Lattice"), (3, 3), "Lattice"), (True, True, True)
    if value.pop("NumAtoms", len(types)) != len(types):
        raise _FaultError(f"NumAtoms does not fit the {len(types)} atoms")
    if value.get("Stress") is not None:
        value["Stress"] = -np.asarray(
            value["Stress"], dtype=np.float64
        )  # it is compared with LAMMPS's pressure
    for key, name in _FITSNAP.items():
        if key in value:
            value[name] = value.pop(key)
    both = {"Positions": "positions", "Lattice": "cell", **_FITSNAP}
    frame.units = {name: _unit(styles.get(key, "")) for key, name in both.items()}
    _add(frame, {**labels, **value})
    return frame


def _unit(style: str) -> str:
    return _STYLES.get(style.lower(), style)


def _add(frame: _Frame, labels: Mapping[str, Any]) -> None:
    """Add labels to those of atoms or of the structure."""
    n = len(frame.species)
    for key, value in labels.items():
        if value is None:
            continue
        levels = [level for level in (ATOM, STRUCTURE) if by_alias(key, level) is not None]
        sized = isinstance(value, (list, np.ndarray)) and len(value) == n
        fits = sized and (n not in (1, 3, 6, 9) or levels == [ATOM])
        of_atoms = fits and (ATOM in levels or (not levels and _is_plain(value)))
        (frame.atom if of_atoms or levels == [ATOM] else frame.structure)[key] = value


def _is_plain(value: Any) -> bool:
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except ValueError:
        return False


def _raw(frames: list[_Frame], bad: list[BadFrame]) -> Raw:
    n_atoms = np.array([len(f.species) for f in frames], dtype=np.int64)
    raw = Raw(np.array([f.number for f in frames], dtype=np.int64), n_atoms, bad=bad)
    n = len(frames)
    if not n:
        return raw
    _add_species(raw, frames, n_atoms)
    raw.atom["positions"] = [RawColumn(np.concatenate([f.positions for f in frames]))]
    cells = np.array([np.zeros((3, 3)) if f.cell is None else f.cell for f in frames])
    raw.structure["cell"] = [RawColumn(cells)]
    raw.structure["pbc"] = [RawColumn(np.array([f.pbc for f in frames], dtype=bool))]
    for key, (values, index) in by_key([f.atom for f in frames]).items():
        arrays: Values = [_rows(value) for value in values], index
        raw.atom[key] = atom_columns(key, *arrays, n_atoms)
    for key, (values, index) in by_key([f.structure for f in frames]).items():
        raw.structure[key] = structure_columns(key, values, index, n)
    _add_units(raw, [f.units for f in frames])
    for sentence in {f.remark for f in frames} - {""}:
        raw.remarks[sentence] = np.array([f.remark == sentence for f in frames])
    return raw


def _rows(value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError:
        return np.empty(0)


def _add_species(raw: Raw, frames: list[_Frame], n_atoms: NDArray[np.int64]) -> None:
    typed = np.array([f.typed for f in frames])
    zeros = [[0] * len(f.species) if f.typed else f.species for f in frames]
    raw.atom["numbers"] = [RawColumn(np.concatenate(zeros).astype(np.uint8))]
    if typed.any():
        names = [[str(one) for one in f.species] for f in frames]
        index = None if typed.all() else np.flatnonzero(typed)
        given = [np.array(words) for words, is_type in zip(names, typed, strict=True) if is_type]
        raw.types = atom_columns("types", given, index, n_atoms)[0]


def _add_units(raw: Raw, units: list[dict[str, str]]) -> None:
    """Give columns the units that their structures say, parted where these differ."""
    for table in (raw.atom, raw.structure):
        for key, columns in table.items():
            said: list[str | None] = [row.get(key) for row in units]
            if not any(unit is not None for unit in said):
                continue
            parted = []
            for unit in dict.fromkeys(said):
                here = np.array([one == unit for one in said])
                for column in columns:
                    mine = here if column.present is None else here & column.present
                    if mine.any():
                        parted.append(
                            RawColumn(
                                column.values, None if mine.all() else mine, column.texts, column.fault, unit
                            )
                        )
            table[key] = parted
