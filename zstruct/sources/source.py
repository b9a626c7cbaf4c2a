"""What a source of structures is: fingerprint, cheap scan into slices, read a slice.

A source knows how to read one input and nothing else: not how properties are named in the
store, not in which units, not what happens to bad frames. It hands over `Raw` blocks, column by
column, under the names the input uses; `zstruct.sources.normalize.normalize` turns those into fields.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.content import Content, content_of

__all__ = ["NOTES", "SLICE_BYTES", "BadFrame", "FileSource", "Raw", "RawColumn", "Slice", "Source"]

#: Aimed-at size of a slice of input, and of a block that a read yields.
SLICE_BYTES = 32 << 20

#: What a source may note of a structure that it reads all the same.
NOTES = {
    "unconverged": "the calculation did not converge",
    "cut": "the input ends before the calculation did",
    "predicted": "by a force field, so that its labels are ml_energy and ml_forces only",
}


@keywords()
@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame that can't be used, and why.

    Parameters
    ----------
    frame
        Zero-based frame in the input; None if the fault is the whole input's.
    reason
        A sentence: what was wrong, where, what to do.
    """

    frame: int | None
    reason: str


@keywords()
@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of an input that can be read on its own.

    Parameters
    ----------
    start, stop
        Where it lies, in whatever the source counts (bytes of a file, usually).
    first_frame
        The number of its first frame in the input.
    nbytes
        Its share of the input, for the progress bar and for balancing work.
    """

    start: int
    stop: int
    first_frame: int
    nbytes: int

    def __reduce__(self) -> tuple[Any, ...]:
        return Slice, (self.start, self.stop, self.first_frame, self.nbytes)  # there may be many


@keywords()
@dataclass
class RawColumn:
    """Values of one property for the structures of a block.

    Parameters
    ----------
    values
        float64, int64 or bool rows; int32 codes where `texts` is given. Per-atom rows run over
        all atoms of the block, per-structure rows over all structures; rows of structures that
        lack the property hold anything.
    present
        Which structures have it, shape (n,); None for all.
    texts
        The strings that the codes stand for.
    fault
        A sentence if the property of these structures can't be stored at all: they are bad
        unless the user excludes the property. The values mean nothing then.
    unit
        The unit that the input states for these values, in its own words; None for the store's.
        An empty text says that the format leaves the unit open: the structures are bad until
        the user gives it.
    """

    values: NDArray[Any]
    present: NDArray[np.bool_] | None = None
    texts: list[str] | None = None
    fault: str | None = None
    unit: str | None = None


@keywords()
@dataclass
class Raw:
    """A block of frames as an input has them, packed but not yet interpreted.

    A property that comes in several shapes has several columns, each with its own `present`.
    Four names are the source's to provide: per atom ``numbers`` (uint8) and ``positions``
    (float64, angstrom), per structure ``cell`` (rows are lattice vectors; absent means zero)
    and ``pbc`` (absent means False).

    Parameters
    ----------
    frames
        Frame numbers in the input, shape (n,).
    n_atoms
        Atoms of each frame, shape (n,).
    atom, structure
        Columns by the input's own property names.
    bad
        Frames of this piece of the input that could not be read; they are not in the block.
    types
        What the input calls its atoms where it does not name elements: integers, or codes with
        `texts`, one per atom. ``numbers`` of these structures hold anything; the user says
        which elements the types are.
    notes
        Which structures something is to be said of, by the words of `NOTES`, shape (n,).
    remarks
        The same for whatever else the user should be told, by the sentence that says it.
    first_type
        The number of the first type, where types are numbers: a list of elements begins with it.
    label
        The input that the frames are of, for messages and provenance, where a source has several; each
        counts its own frames.
    labels
        The inputs that the frames are of, one for each, where these are read together.
    ignored
        What else there is in the input that no reader knows.
    """

    frames: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    atom: dict[str, list[RawColumn]] = field(default_factory=dict)
    structure: dict[str, list[RawColumn]] = field(default_factory=dict)
    bad: list[BadFrame] = field(default_factory=list)
    types: RawColumn | None = None
    notes: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    remarks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    first_type: int = 1
    label: str | None = None
    ignored: list[str] = field(default_factory=list)
    labels: list[str] | None = None


@runtime_checkable
class Source(Protocol):
    """One input of a build.

    Sources are pickled to worker processes. Reading never raises for a bad frame: it lists the
    frame in `Raw.bad` and goes on; it raises `InputError` where nothing can be read.
    """

    label: str
    """What provenance and error messages call it, for a file its path as the user gave it."""

    runs_in: Literal["threads", "processes", "here", "caller"]
    """Where reading runs best: threads if it releases the GIL, processes if it holds it. Threads of this
    process (``"here"``) if its data are in memory, so that they are never sent; the calling thread if they
    can't leave it (an iterator)."""

    def fingerprint(self) -> dict[str, Any] | None:
        """Return JSON values that change when the input does; None if it can't be told."""

    def scan(self) -> list[Slice]:
        """Return the slices of the input, cheaply and deterministically, in order."""

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the frames of a slice in order, in blocks of about `SLICE_BYTES`."""


@keywords()
class FileSource:
    """The part every source of one file shares.

    Parameters
    ----------
    path
        The file: its path, a URL, or a `Content` of any other kind.
    """

    runs_in: Literal["threads", "processes", "here", "caller"] = "processes"
    #: So many bytes of input are read in threads all the same, where the GIL is held in part only.
    threads_up_to: int = 0
    #: Whether `read` takes the whole file as ``Slice(0, size, 0, size)``, and reads it once, front to back.
    one_pass: bool = False

    def __init__(self, path: str | os.PathLike[str] | Content):
        self.content = content_of(path)
        self.label = self.content.label

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.label!r})"

    @property
    def path(self) -> str:
        """Where the file is on this machine.

        Raises
        ------
        InputError
            If it is in no file of this machine; `zstruct.sources.content.as_file` makes one.
        """
        if self.content.path is None:
            raise InputError(
                f"{type(self).__name__} reads local files only: unpack or download it", self.label
            )
        return self.content.path

    def fingerprint(self) -> dict[str, Any]:
        """Return size and modification time of the file, or what else tells that it changed."""
        return self.content.fingerprint()

    def scan(self) -> list[Slice]:
        """Return the whole file as one slice."""
        size = int(self.fingerprint()["size"])
        return [Slice(0, size, 0, size)]
