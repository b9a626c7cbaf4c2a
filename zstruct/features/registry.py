"""Which descriptors there are: the built-in ones by name, and those that users register.

A manifest names its descriptor; here it becomes an object again. Nothing is imported before it is
asked for, and nothing is known of stores.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import count, real, shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.features.descriptor import Descriptor, make_manifest
from zstruct.geometry.neighbors import Neighbors
from zstruct.geometry.structures import Structures
from zstruct.keywords import keywords

if TYPE_CHECKING:
    from zstruct.geometry.neighbors import NeighborList

__all__ = ["FunctionDescriptor", "by_name", "check_known", "from_manifest", "known", "register"]

_BUILT_IN = {"ACSF": "zstruct.features.acsf", "Chebyshev": "zstruct.features.chebyshev"}
_LISTS = ("neighbors", "neighborlist")  # what neighbour lists are called on the command line
_REGISTERED: dict[str, type[Descriptor] | FunctionDescriptor] = {}

_Function = Callable[..., NDArray[np.float64]]
_Class = TypeVar("_Class", bound=type[Descriptor])


@dataclass(frozen=True)
class FunctionDescriptor(Descriptor):
    """A descriptor made of a function by `register`; it has no derivatives.

    Parameters
    ----------
    function
        Called as ``function(structures, neighbors, **options)``.
    name
        What it is called in manifests.
    radius
        Its cutoff in angstrom.
    names
        Of its features.
    options
        Further arguments of the function.
    revision
        Of the function: raised when its numbers change.
    """

    function: _Function
    name: str
    radius: float
    names: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 1

    @property
    def cutoff(self) -> float:
        """The largest distance of a neighbour that matters, in angstrom."""
        return self.radius

    @property
    def feature_names(self) -> list[str]:
        """A name for each feature."""
        return list(self.names)

    def values(self, structures: Structures, neighbors: Neighbors) -> NDArray[np.float64]:
        """Return what the function returns, shape (m, F).

        Raises
        ------
        InputError
            If that has another shape.
        """
        found = np.asarray(self.function(structures, neighbors, **self.options), dtype=np.float64)
        expected = (len(neighbors), self.n_features)
        if found.shape != expected:
            raise InputError(
                f"the descriptor {self.name} returned values of shape {found.shape} for {len(neighbors)} "
                f"atoms; it should be {expected}"
            )
        return found

    def parameters(self) -> dict[str, Any]:
        """Return cutoff, feature names and options."""
        return {"cutoff": self.radius, "feature_names": self.feature_names, "options": dict(self.options)}

    def manifest(self) -> dict[str, Any]:
        """Return name, version and parameters; the function itself is not in it."""
        return make_manifest(self.name, self.revision, self.parameters())


@overload
def register(what: _Class) -> _Class: ...
@overload
def register(
    what: _Function,
    name: str | None = None,
    *,
    cutoff: float,
    feature_names: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    version: int = 1,
) -> FunctionDescriptor: ...
@keywords()
def register(
    what: Any,
    name: str | None = None,
    *,
    cutoff: float | None = None,
    feature_names: Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    version: int = 1,
) -> Any:
    """Make a descriptor known, so that what it computes can be stored, resumed and loaded.

    Groups of a store name the descriptor that made them: register it, under the same name, wherever
    they are to be computed anew. A name in use is given to the new descriptor; its manifest is
    another one if its version or parameters are.

    Parameters
    ----------
    what
        A subclass of `Descriptor` (then nothing else is given, and it may be used as a decorator), or
        a function ``(structures, neighbors, **parameters)`` that returns the features of the centres
        of `neighbors`, shape (m, F). It is called with packed structures and pieces of their
        neighbour lists, by many threads at once.
    name
        What the function is called in manifests; by default its own name.
    cutoff
        Of the function's neighbours, in angstrom.
    feature_names
        A name for each feature of the function.
    parameters
        Further arguments of the function, as what JSON can hold.
    version
        Of the function: raise it when its numbers change.

    Returns
    -------
    type or FunctionDescriptor
        The class itself, or the descriptor that was made of the function.

    Raises
    ------
    InputError
        If something is missing, or the name is that of a built-in descriptor.

    Examples
    --------
    A kernel over pairs, and the function that hands it the packed arrays:

    >>> import ase.build, numba, numpy as np
    >>> from zstruct.features import register
    >>> @numba.njit(nogil=True)
    ... def sums(offsets, distances, width, out):
    ...     for i in range(len(out)):
    ...         for k in range(offsets[i], offsets[i + 1]):
    ...             out[i, 0] += np.exp(-((distances[k] / width) ** 2))
    >>> def crowding(structures, neighbors, width):
    ...     out = np.zeros((len(neighbors), 1))
    ...     sums(neighbors.offsets, neighbors.distances, width, out)
    ...     return out
    >>> descriptor = register(crowding, cutoff=3.0, feature_names=["crowding"], parameters={"width": 1.0})
    >>> descriptor.compute(ase.build.bulk("Cu")).round(4)
    array([[0.0178]])

    ``zstruct.featurize(store, descriptor)`` stores it like any other.
    """
    if isinstance(what, type):
        if not issubclass(what, Descriptor):
            raise InputError(f"{what.__name__} is no subclass of zstruct.features.Descriptor")
        given = {"name": name, "cutoff": cutoff, "feature_names": feature_names, "parameters": parameters}
        for option, value in given.items():
            if value is not None:
                raise InputError(f"{option} is for functions: the class {what.__name__} says it itself")
        _check_name(what.__name__)
        _REGISTERED[what.__name__] = what
        return what
    if not callable(what):
        raise InputError(f"a descriptor is a class or a function, not {shown(what)}")
    if isinstance(feature_names, str):
        raise ArgumentTypeError(
            f"feature_names is a list of names: write feature_names=[{shown(feature_names)}]"
        )
    listed = isinstance(feature_names, Iterable) and getattr(feature_names, "ndim", 1) > 0
    if not (feature_names is None or listed) or isinstance(feature_names, bytes | Mapping):
        raise ArgumentTypeError(f"feature_names is a list of names, not {shown(feature_names)}")
    called_so = () if feature_names is None else tuple(map(str, feature_names))
    number = isinstance(cutoff, Real) and not isinstance(cutoff, bool)
    radius = real("cutoff", cutoff) if number else None
    if radius is None or not 0 < radius < np.inf or not called_so:
        raise InputError("a function is registered with a cutoff above zero and feature_names")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InputError(
            f"parameters are a dict of the function's further arguments, not {shown(parameters)}"
        )
    if not (name is None or isinstance(name, str)):
        raise ArgumentTypeError(f"the name of a descriptor is a text, not {shown(name)}")
    called = str(name or getattr(what, "__name__", ""))
    _check_name(called)
    made = FunctionDescriptor(
        what, called, radius, called_so, dict(parameters or {}), count("version", version)
    )
    try:
        made.manifest()
    except (TypeError, ValueError) as error:
        raise InputError(f"parameters of {called} are not what JSON can hold: {error}") from None
    _REGISTERED[called] = made
    return made


def _check_name(name: str) -> None:
    if not name.isidentifier():
        raise InputError(f"{name!r} can't name a descriptor: give a name of letters, digits and underscores")
    # In any case of letters, for so the command line finds them.
    if name.lower() in (*map(str.lower, _BUILT_IN), *_LISTS):
        raise InputError(f"{name} is built in: give your descriptor another name")


def known(name: str) -> type[Descriptor] | FunctionDescriptor:
    """Return a descriptor by name: a class, or what `register` made of a function.

    Raises
    ------
    InputError
        If there is none; names those that there are.
    """
    if name in _BUILT_IN:
        found: type[Descriptor] = getattr(importlib.import_module(_BUILT_IN[name]), name)
        return found
    if name not in _REGISTERED:
        raise InputError(
            f"no descriptor is called {name!r}; there are {', '.join(sorted({*_BUILT_IN, *_REGISTERED}))}; "
            "register your own by zstruct.features.register"
        )
    return _REGISTERED[name]


def check_known(name: str) -> None:
    """Refuse the name of no descriptor or neighbour list, in any case of letters.

    Raises
    ------
    InputError
        Naming those that there are, as the command line takes them.
    """
    built_in = [*map(str.lower, reversed(_BUILT_IN)), _LISTS[0]]
    if name.lower() not in (*built_in, *_LISTS, *map(str.lower, _REGISTERED)):
        raise InputError(
            f"no descriptor is called {name!r}; there are {', '.join([*built_in, *sorted(_REGISTERED)])}; "
            "register your own by zstruct.features.register"
        )


def by_name(name: str, parameters: Mapping[str, Any]) -> Descriptor | NeighborList:
    """Return a descriptor, or a neighbour list, given its name in any case and its parameters.

    Raises
    ------
    InputError
        If there is no such descriptor, or these are not its parameters.
    """
    from zstruct.geometry.neighbors import NeighborList

    check_known(name)
    names = {each.lower(): each for each in (*_BUILT_IN, *_REGISTERED)}
    what: Any = NeighborList if name.lower() in _LISTS else known(names[name.lower()])
    if isinstance(what, FunctionDescriptor):
        if parameters:
            raise InputError(f"the parameters of {name} were given when it was registered")
        return what
    try:
        made: Descriptor | NeighborList = what(**parameters)
    except TypeError as error:  # a parameter that there isn't, or one that is missing
        said = str(error).removeprefix(f"{what.__name__}.__init__() ").removeprefix(f"{what.__name__} ")
        raise InputError(f"{name}: {said}") from None
    return made


@keywords()
def from_manifest(manifest: Mapping[str, Any]) -> Descriptor:
    """Return the descriptor that a manifest describes.

    Parameters
    ----------
    manifest
        What `Descriptor.manifest` returned, here or elsewhere.

    Raises
    ------
    InputError
        If this is no manifest, or if the descriptor is not known here, or is known in another
        version or, if it is a function, with other parameters.

    Examples
    --------
    >>> from zstruct.features import Chebyshev, from_manifest
    >>> descriptor = Chebyshev(["Ti", "O"], 10, 6.5, 3, 6.5)
    >>> from_manifest(descriptor.manifest()) == descriptor
    True
    """
    expected = {"class": str, "version": int, "parameters": Mapping, "sha256": str}
    if not isinstance(manifest, Mapping) or not all(
        isinstance(manifest.get(key), kind) for key, kind in expected.items()
    ):
        raise InputError(
            f"a manifest has class, version, parameters and sha256, as Descriptor.manifest() returns them; "
            f"this is {manifest!r}"
        )
    name, version = manifest["class"], manifest["version"]
    what = known(name)
    here = what.version if isinstance(what, type) else what.revision
    if version != here:
        newer = "install a newer zstruct, or register it" if version > here else "compute anew"
        raise InputError(f"this was made by version {version} of {name}, and here is version {here}: {newer}")
    if not isinstance(what, type):
        if what.manifest() != dict(manifest):
            raise InputError(
                f"this was made by {name} with parameters {dict(manifest['parameters'])}, and it is "
                f"registered here with {what.parameters()}"
            )
        return what
    try:
        made = what(**{key: _hashable(value) for key, value in manifest["parameters"].items()})
    except (TypeError, AttributeError, LookupError, OverflowError) as error:  # one too many, missing, or odd
        raise InputError(f"the manifest of {name} has not its parameters: {error}") from None
    if made.manifest()["sha256"] != manifest["sha256"]:
        raise InputError(f"the manifest of {name} was changed: its hash does not fit its parameters")
    return made


def _hashable(value: Any) -> Any:
    """Return what JSON made of a parameter with tuples again, as a frozen dataclass has them."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
