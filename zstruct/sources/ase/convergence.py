"""Did a calculation converge, and did its output end? What programs write, looked for beside ASE.

ASE reads what there is: an output that breaks off after the tenth step gives ten structures, and one whose
electrons never settled gives an energy like any other. Each row of the table has the words by
which a program says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from zstruct.sources.source import Raw

__all__ = ["OUTPUTS", "Output", "Verdict", "note", "verdict"]


@dataclass(frozen=True)
class Output:
    """What one program writes.

    Parameters
    ----------
    end
        In every output that is whole.
    good, bad
        Where the electrons of a structure have, or have not, converged.
    step
        Once a structure, behind these; where it is not given, they stand once a structure themselves.
    """

    end: bytes
    good: bytes = b""
    bad: bytes = b""
    step: bytes = b""


@dataclass(frozen=True)
class Verdict:
    """What is known of an output.

    Parameters
    ----------
    converged
        Structure by structure; None where nothing is said.
    whole
        Whether it ends as it should.
    """

    converged: list[bool | None]
    whole: bool


def verdict(lines: Iterable[bytes], format: str) -> Verdict:
    """Return what the lines of an output say.

    Parameters
    ----------
    lines
        Of the file, decompressed.
    format
        ASE's name of a format in `OUTPUTS`.

    Examples
    --------
    >>> verdict([b"convergence has been achieved in 5", b"convergence NOT achieved"], "espresso-out")
    Verdict(converged=[True, False], whole=False)
    """
    words = OUTPUTS[format]
    found: list[bool | None] = []
    state: bool | None = None
    whole = False
    for line in lines:
        said = (
            False if words.bad and words.bad in line else True if words.good and words.good in line else None
        )
        if said is not None:
            state = said if state is None or not said else state
            if not words.step:
                found.append(said)
        if _has(line, words.step):
            found.append(state)
            state = None
        whole = whole or _has(line, words.end)
    return Verdict(found, whole)


def _has(line: bytes, words: bytes) -> bool:
    return words != b"" and words in line


def note(blocks: list[Raw], known: Verdict) -> None:
    """Note what is known of its structures on every block of an output.

    Where the output speaks of more or fewer structures than were read, and says of some that they did not
    converge, it can't be told which: that is noted of all.
    """
    n = sum(len(raw.frames) + len(raw.bad) for raw in blocks)
    for raw in blocks:
        if not known.whole:
            raw.notes["cut"] = np.ones(len(raw.frames), dtype=bool)
        if False not in known.converged:
            continue
        if len(known.converged) == n:
            failed = np.array([said is False for said in known.converged])
            raw.notes["unconverged"] = failed[raw.frames]
        else:
            raw.notes["unconverged"] = np.ones(len(raw.frames), dtype=bool)


OUTPUTS = {
    "espresso-out": Output(
        end=b"JOB DONE", good=b"convergence has been achieved", bad=b"convergence NOT achieved"
    ),
    "aims-output": Output(
        end=b"Have a nice day",
        good=b"Self-consistency cycle converged",
        bad=b"SELF-CONSISTENCY CYCLE DID NOT CONVERGE",
    ),
    "castep-castep": Output(
        end=b"Total time          =", bad=b"SCF cycles performed but system has not reached the groundstate"
    ),
    "orca-output": Output(
        end=b"ORCA TERMINATED NORMALLY",
        good=b"SCF CONVERGED AFTER",
        bad=b"SCF NOT CONVERGED AFTER",
        step=b"FINAL SINGLE POINT ENERGY",
    ),
    "gaussian-out": Output(
        end=b"Normal termination of Gaussian", bad=b"Convergence criterion not met", step=b"SCF Done:"
    ),
    "gamess-us-out": Output(end=b"TERMINATED NORMALLY", bad=b"SCF IS UNCONVERGED"),
    "nwchem-out": Output(end=b"Total times  cpu:", bad=b"Calculation failed to converge"),
    "abinit-out": Output(end=b"Calculation completed", bad=b"was not enough SCF cycles to converge"),
}
