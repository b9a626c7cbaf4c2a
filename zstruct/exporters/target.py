"""The target of an export: made in a directory beside it, under a lock, and named when it is whole."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from zstruct.disk import sync_to_disk, sync_tree
from zstruct.errors import InputError, StoreExistsError
from zstruct.store.workdir import WorkingDirectory, exchange

__all__ = ["ExportTarget"]

_SUFFIX = ".exporting"


class ExportTarget:
    """Holds the lock on one target while in use as a context manager.

    Parameters
    ----------
    path
        The file or directory that will be; of a symbolic link, what it points to.
    overwrite
        Whether what is there may be replaced.

    Raises
    ------
    BuildLockedError
        If another process is exporting to the same target.
    StoreExistsError
        If something is there that may not be replaced.
    InputError
        If a directory of the working directory's name is there that zstruct did not make, or can't be made,
        or if the name is too long.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool):
        self.path = Path(os.path.abspath(os.path.expanduser(path)))
        try:
            is_link = self.path.is_symlink()
        except OSError as error:  # a name that is too long
            raise InputError(f"can't write to {self.path.parent}: {error.strerror}") from error
        if is_link:
            self.path = Path(os.path.realpath(self.path))
        self._overwrite = overwrite
        self._work = self.path.with_name(self.path.name + _SUFFIX)
        self._replaced = self._work / "replaced" / self.path.name
        #: Where to make it; it has the name that it will have.
        self.partial = self._work / "new" / self.path.name
        self._directory = WorkingDirectory(self._work, f"exporting to {self.path}")

    def __enter__(self) -> Self:
        self.check()
        self._directory.__enter__()
        try:
            if os.path.lexists(self._replaced) and not os.path.lexists(self.path):
                os.rename(self._replaced, self.path)  # killed between two renames
            self.check()
            self._directory.clear()
            self.partial.parent.mkdir()
        except BaseException:
            self._directory.remove()
            self._directory.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._directory.remove()
        finally:
            self._directory.__exit__(kind, error, trace)

    def check(self) -> None:
        """Refuse a target that is there and may not be replaced."""
        if os.path.lexists(self.path) and not self._overwrite:
            raise StoreExistsError(
                f"{self.path} is there already; give overwrite=True (--overwrite) to replace it"
            )

    def publish(self, names: Sequence[str] = ()) -> None:
        """Give what was made its name, when all of it is on the disk.

        Parameters
        ----------
        names
            Patterns of files that such directories may have, beside those that the new one has.
        """
        self.check()
        if self.partial.is_dir():
            sync_tree(self.partial)
        else:
            sync_to_disk(self.partial)
        if self.path.is_dir():
            self._check_folder(names)
        if os.path.lexists(self.path) and (self.path.is_dir() or self.partial.is_dir()):
            if not exchange(self.partial, self.path):
                self._replaced.parent.mkdir()
                os.rename(self.path, self._replaced)
                os.rename(self.partial, self.path)
        else:
            os.replace(self.partial, self.path)
        sync_to_disk(self.path.parent)

    def _check_folder(self, names: Sequence[str]) -> None:
        """Refuse to replace a directory that holds what no such export makes."""
        ours = [*names]
        if self.partial.is_dir():
            ours += [f"*{file.suffix}" if file.suffix else file.name for file in _files(self.partial)]
        for file in _files(self.path):
            if file.name == "zarr.json" or not any(fnmatch.fnmatch(file.name, one) for one in {*ours}):
                raise StoreExistsError(
                    f"{self.path} holds {file.relative_to(self.path)}, which this format does not have and "
                    "which would be lost: move it away, or choose another target"
                )


def _files(folder: Path) -> list[Path]:
    return [Path(inner, name) for inner, _, names in os.walk(folder) for name in names]
