"""Where an error comes from: an outside library that reads a file, or this package itself.

What a library says of a file is the file's fault. Anything else is not, be it of the same kind: a mistake in
this package must not be taken for a damaged file.
"""

from __future__ import annotations

from zstruct.errors import ZstructError

__all__ = ["hidden_by", "raised_by"]

_OURS = __name__.partition(".")[0]


def raised_by(error: BaseException, *modules: str) -> bool:
    """Tell whether a library raised an error, not what called it, nor what it called back.

    Parameters
    ----------
    error
        An error that was caught.
    modules
        The library's modules; those within them are meant, too.

    Examples
    --------
    >>> import json
    >>> try:
    ...     json.loads("{")
    ... except ValueError as error:
    ...     raised_by(error, "json"), raised_by(error, "numpy")
    (True, False)
    """
    found = False
    place = error.__traceback__
    while place is not None:
        name = place.tb_frame.f_globals.get("__name__") or ""
        if _within(name, _OURS):
            found = False
        elif any(_within(name, module) for module in modules):
            found = True
        place = place.tb_next
    return found


def _within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def hidden_by(error: BaseException) -> ZstructError | None:
    """Return the error of this package that a library has made one of its own of, None if there is none.

    `zipfile`, for one, takes any OSError for a file that is no archive.
    """
    behind = error.__cause__ or error.__context__
    if behind is None or isinstance(behind, ZstructError):
        return behind
    return hidden_by(behind)
