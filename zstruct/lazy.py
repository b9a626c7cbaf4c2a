"""Names of a package whose modules are loaded when somebody asks for them."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

__all__ = ["lazy_names", "load_module"]


def load_module(name: str) -> ModuleType:
    """Return a module by its name, loaded without looking for garbage, of which there is none.

    Modules make many objects that stay; when torch is there already, to go through all objects once takes
    longer than to load ours.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        if collects:
            gc.enable()


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package
        Its ``__name__``.
    modules
        The module that has each name, by name; a module of the package stands for itself. No other name
        may be that of a module of the package, which would take its place once it was imported.

    Examples
    --------
    >>> get, _ = lazy_names("zstruct.features", {"ACSF": "zstruct.features.acsf"})
    >>> get("ACSF").__name__
    'ACSF'
    """

    def __getattr__(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = load_module(modules[name])
        value = module if modules[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return __getattr__, __dir__
