"""Sources that read through ASE: files, and Atoms objects in memory.

ASE holds the GIL and its readers are slow, so files are read in processes, one slice per file. Objects are
read where they are. How Atoms become columns is the business of `zstruct.sources.ase.atoms`.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Literal

from zstruct.errors import InputError, StoreAccessError
from zstruct.keywords import keywords
from zstruct.sources.ase.atoms import Snapshot, blocks, raw_of
from zstruct.sources.ase.convergence import OUTPUTS, Verdict, note, verdict
from zstruct.sources.ase.corrections import Correction, DistrustError, correct, correction_of
from zstruct.sources.ase.objects import is_structure, snapshots
from zstruct.sources.ase.rows import sentence
from zstruct.sources.compression import DAMAGED, begins, decompressed, unpacked
from zstruct.sources.content import Content, as_file
from zstruct.sources.source import BadFrame, FileSource, Raw, Slice

__all__ = ["ASESource", "AtomsSource"]

# What of a file's beginning is looked at beside ASE.
_HEAD_BYTES = 1 << 16


@keywords()
class ASESource(FileSource):
    """One file of any format that `ase.io.iread` reads.

    Parameters
    ----------
    path
        The file.
    format
        ASE's name of the format; found out by ASE if not given.
    """

    runs_in = "processes"

    def __init__(self, path: str | os.PathLike[str] | Content, format: str | None = None):
        super().__init__(path)
        self.format = format

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the frames of the file in blocks; a frame that ASE fails at is the last.

        What ASE makes up or overlooks is mended as `zstruct.sources.ase.corrections` says.

        Raises
        ------
        InputError
            If there is no such file, ASE doesn't know its format, or takes it for what it is not.
        """
        with contextlib.ExitStack() as stack:
            try:  # ASE does not know zstd, and unpacks the others without an end
                content = unpacked(self.content, "zstd", "xz", "bzip2")
                path = stack.enter_context(as_file(content))
            except StoreAccessError:
                raise
            except (*DAMAGED, OSError) as error:
                raise InputError(
                    f"decompression failed, the file is damaged or cut off: {error}", self.label
                ) from error
            yield from self._read(path)

    def _read(self, path: str) -> Iterator[Raw]:
        failed: list[BadFrame] = []
        format, head = self._format(path, failed), self._head()
        if format is not None:
            try:
                found = correction_of(format, head)
            except DistrustError as error:
                raise InputError(str(error), self.label) from error
            made = self._corrected(path, format, head, found, failed)
            yield from made if format not in OUTPUTS else self._noted(made, format)
        if failed:
            yield raw_of([], [], failed, {}, check=False)

    def _corrected(
        self, path: str, format: str, head: str, found: Correction, failed: list[BadFrame]
    ) -> Iterator[Raw]:
        for raw in blocks(self._frames(path, format, head, found, failed), 0, check=False):
            correct(raw, format, found)
            yield raw

    def _noted(self, made: Iterator[Raw], format: str) -> Iterator[Raw]:
        """Note what the output says of its structures, which can be told when all have been read."""
        known = Verdict([], True)
        try:
            with decompressed(self.content) as file:
                known = verdict(file, format)
        except StoreAccessError:
            raise
        except (*DAMAGED, OSError):  # which is said where the structures are read
            pass
        if known.whole and False not in known.converged:
            yield from made
            return
        whole = list(made)
        note(whole, known)
        yield from whole

    def _format(self, path: str, failed: list[BadFrame]) -> str | None:
        """Return ASE's name of the format; None if the file fails before it can be told."""
        if self.format is not None:
            return self.format
        from ase.io.formats import UnknownFileTypeError, filetype, ioformats

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                format = str(filetype(path))
            if format in ioformats:
                return format
            why = f"nothing is called {format!r}"
        except UnknownFileTypeError as error:
            why = sentence(error)
        except FileNotFoundError as error:
            raise InputError("there is no such file", self.label) from error
        except Exception as error:  # noqa: BLE001 - whatever reading a damaged file raises
            failed.append(BadFrame(0, f"ASE fails to read it: {sentence(error)}"))
            return None
        raise InputError(
            f"ASE can't tell the format of this file ({why}); name it with reader='ase:FORMAT', or another "
            "reader",
            self.label,
        )

    def _head(self) -> str:
        """Return how the file begins, as text; nothing if it can't be read, which ASE will say."""
        return begins(self.content, _HEAD_BYTES).decode("utf-8", "replace")

    def _frames(
        self, path: str, format: str, head: str, found: Correction, failed: list[BadFrame]
    ) -> Iterator[Any]:
        from ase.io import iread
        from ase.io.formats import UnknownFileTypeError

        frames: Iterator[Any] | None = None
        k = 0
        while True:
            try:
                with warnings.catch_warnings():  # readers warn about what is none of the user's fault
                    warnings.simplefilter("ignore")
                    if frames is None:
                        frames = iread(path, ":", format, do_not_split_by_at_sign=True, **found.options)
                    atoms = next(frames)
            except StopIteration:
                break
            except UnknownFileTypeError as error:
                raise InputError(
                    f"ASE can't read this format ({sentence(error)}); name it with reader='ase:FORMAT'",
                    self.label,
                ) from error
            except FileNotFoundError as error:
                raise InputError("there is no such file", self.label) from error
            except Exception as error:  # noqa: BLE001 - ASE's readers raise whatever their parsing trips over
                failed.append(BadFrame(k, f"ASE fails to read it: {sentence(error)}"))
                break
            if found.frame is not None:
                try:
                    found.frame(atoms, head)
                except DistrustError as error:
                    failed.append(BadFrame(k, str(error)))
                    break
            yield atoms
            k += 1
        if k == 0 and not failed:
            raise InputError("ASE finds no structure in this file", self.label)


@keywords()
class AtomsSource:
    """Structures that are already in memory, or come from an iterator.

    Structures and Molecules of pymatgen, Data of torch_geometric and structures of aenet are taken in place
    of Atoms, with their labels under the names that they have there.

    A list is read in place; whatever else iterates has every structure copied as it comes, so
    it may hand out one object again and again, as molecular dynamics does. Labels are the
    results that calculators hold for the structure as it is; nothing is ever calculated.

    Parameters
    ----------
    structures
        An `ase.Atoms`, a list of them, or any iterable.
    label
        What messages and provenance call it.
    first_frame
        The number of its first frame, where it goes on with structures that come elsewhere.
    """

    runs_in: Literal["threads", "processes", "here", "caller"] = "caller"

    def __init__(self, structures: Any, label: str = "atoms", first_frame: int = 0):
        from ase import Atoms

        alone = isinstance(structures, Atoms) or is_structure(type(structures))
        self.structures = [structures] if alone else structures
        self.label, self.first_frame = label, first_frame

    def __repr__(self) -> str:
        return f"AtomsSource({self.label!r})"

    def fingerprint(self) -> None:
        """Return None: objects in memory leave no trace by which to know them again."""

    def scan(self) -> list[Slice]:
        """Return everything as one slice; its length is 0 where it can't be known.

        Raises
        ------
        InputError
            If there are no structures.
        """
        if not isinstance(self.structures, (list, tuple)):
            return [Slice(0, 0, self.first_frame, 0)]
        n = len(self.structures)
        if not n:
            raise InputError("the list of structures is empty", self.label)
        sample = self.structures[:: max(1, n // 100)]
        mean = sum(56 * len(a) + 104 for a in sample if hasattr(a, "arrays")) / len(sample)
        return [Slice(0, n, self.first_frame, int(mean * n))]

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures in blocks."""
        from ase import Atoms

        if isinstance(self.structures, (list, tuple)):
            given: Iterable[Any] = self.structures
            if any(map(is_structure, set(map(type, given)))):
                given = chain.from_iterable(map(snapshots, given))
        else:
            copies = (Snapshot(a) if isinstance(a, Atoms) else a for a in self.structures)
            given = chain.from_iterable(map(snapshots, copies))
        yield from blocks(given, piece.first_frame, check=True)
