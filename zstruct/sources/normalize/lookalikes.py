"""Properties that look like a label and were not taken for one, because others mean something else by them.

A set whose energies are called ``E_pbe`` would otherwise lose them without a word. What is named here is
told to the user, never taken; what is plainly no label (a weight, an error, a cutoff) is not named.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cache

from zstruct.schema import ATOM, STRUCTURE, Kind, Level
from zstruct.sources.normalize.comments import likely_template
from zstruct.units import is_unit

__all__ = ["suggestion"]

_SCALAR: tuple[tuple[int, ...], ...] = ((), (1,))
_TENSOR: tuple[tuple[int, ...], ...] = ((6,), (9,), (3, 3))
_VECTOR: tuple[tuple[int, ...], ...] = ((3,),)
#: Field, level, shapes, words that mean it, and names that slips of the pen are near to.
_LABELS: tuple[tuple[str, Level, tuple[tuple[int, ...], ...], str, str], ...] = (
    ("energy", STRUCTURE, _SCALAR, "energy energies e e0 u0 pe toten etot etotal epot energie", "energy"),
    ("forces", ATOM, _VECTOR, "force forces f grad grads gradient gradients", "forces"),
    ("stress", STRUCTURE, _TENSOR, "stress stresses", "stress"),
    ("virial", STRUCTURE, _TENSOR[1:], "virial virials vir", "virial"),
    ("dipole", STRUCTURE, _VECTOR, "dipole dipoles mu", "dipole"),
    ("total_charge", STRUCTURE, _SCALAR, "charge q chg qtot", ""),
    ("spin_multiplicity", STRUCTURE, _SCALAR, "multiplicity mult spin", "multiplicity"),
    ("charges", ATOM, _SCALAR, "charges q mulliken hirshfeld", "charges"),
    ("magmoms", ATOM, (*_SCALAR, *_VECTOR), "magmom magmoms spin spins", "magmoms"),
    ("velocities", ATOM, _VECTOR, "vel vels velo velocity velocities", "velocities"),
    ("cell", STRUCTURE, _TENSOR[1:], "lattice cell unitcell box", "lattice"),
)
# A name with one of these is that of something else.
_OTHERWISE = frozenset(
    "weight weights cutoff cut encut error errors err std var variance uncertainty sigma tol tolerance "
    "threshold kinetic ekin ke unit units homo lumo fermi gap hull zpe correction shift offset id ids "
    "index time step converged convergence max fmax min rms norm mean mask constraint constraints type "
    "label name source version seed file path temperature initial dispersion vdw solvation per "
    "mix amp corr basis grid delta diff difference window smearing entropy density".split()
)  # fmt: skip
# Words of charges and spins are in the names of many settings, so what is beside them must be one of these.
_BESIDE = frozenset(
    "total tot net system molecule molecular mol atomic atom partial dft ref reference scf".split()
)
_LOOSE = frozenset({"energy", "forces", "stress", "virial", "dipole", "cell"})
_COMMENT = "a number in the comment may be the energy, in hartree or so; if it is, say keys={}, and its unit"
_SOME = 100
_GRADIENTS = frozenset({"grad", "grads", "gradient", "gradients"})


@cache
def _words(key: str) -> tuple[str, ...]:
    """Return the words of a name, in lower case.

    Examples
    --------
    >>> _words("TotEnergy"), _words("E_pbe-D3"), _words("U0")
    (('tot', 'energy'), ('e', 'pbe', 'd3'), ('u0',))
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key)
    return tuple(word.lower() for word in re.split(r"[^0-9A-Za-z]+", apart) if word)


def suggestion(
    key: str, level: Level, kind: Kind, shape: tuple[int, ...], texts: Sequence[str] = ()
) -> tuple[str, str] | None:
    """Return the field that a property looks like, and a sentence that says how it would be taken.

    Parameters
    ----------
    key
        The input's name of a property that is no field.
    level, kind, shape
        What its values are like.
    texts
        Its values, if they are texts.

    Returns
    -------
    tuple or None
        None if it looks like no label.

    Examples
    --------
    >>> print(suggestion("energy_hartree", "structure", "float", ())[1])  # doctest: +NORMALIZE_WHITESPACE
    'energy_hartree' looks like the energy, but was not taken for it; if it is, say
    keys={'energy': 'energy_hartree'} and units={'energy': 'hartree'}
    >>> suggestion("energy_weight", "structure", "float", ()) is None
    True
    """
    if key.casefold() == "comment" and level == STRUCTURE and texts:
        template = next(filter(None, map(likely_template, texts[:_SOME])), None)
        return None if template is None else ("energy", _COMMENT.format({"energy": template}))
    if level == STRUCTURE and kind == "category" and shape == ():
        near = difflib.get_close_matches("".join(_words(key)), ["configtype"], n=1, cutoff=0.85)
        return ("config_type", _sentence("config_type", key)) if near else None
    words = _words(key)
    if kind not in ("float", "int") or not _OTHERWISE.isdisjoint(words):
        return None
    for name, of, shapes, synonyms, spelled in _LABELS:
        if of != level or shape not in shapes or (kind == "int" and name in ("forces", "stress", "virial")):
            continue
        meant = set(synonyms.split())
        # One letter means something only at the beginning, as in E_pbe.
        found = [w for k, w in enumerate(words) if w in meant and (len(w) > 1 or k == 0)]
        if not found and spelled:
            found = [w for w in words if difflib.get_close_matches(w, [spelled], n=1, cutoff=0.8)]
        if found and (name in _LOOSE or meant | _BESIDE >= set(words)):
            gradient = name == "forces" and not _GRADIENTS.isdisjoint(found)
            return name, _sentence(name, key, gradient=gradient)
    return None


def _sentence(name: str, key: str, *, gradient: bool = False) -> str:
    if name == "cell":
        return f"{key!r} looks like the cell, but was not taken for it, and there is none: check its name"
    if gradient:
        return f"{key!r} looks like minus the forces, and there are none: convert it if you want it as forces"
    unit = next((u for word in _words(key) if (u := _unit(name, word))), "")
    say = f"keys={{{name!r}: {key!r}}}" + (f" and units={{{name!r}: {unit!r}}}" if unit else "")
    return f"{key!r} looks like the {_noun(name)}, but was not taken for it; if it is, say {say}"


def _noun(name: str) -> str:
    return name.replace("_", " ")


def _unit(name: str, word: str) -> str:
    """Return the unit that a word of a name may stand for, if it isn't the store's."""
    unit = {"kcal": "kcal/mol", "kj": "kJ/mol"}.get(word, word)
    if len(word) < 2 or name != "energy" or unit in ("ev", "mol") or not is_unit(unit):
        return ""
    return unit
