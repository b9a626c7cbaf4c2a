"""`Recipe`: how stored structures become samples. Readers and datasets hold one, and views change theirs.

It says what is wanted, checked as far as that needs no store. `pipeline` does it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from zstruct.features.descriptor import Descriptor
from zstruct.keywords import as_options, keywords, set_fields
from zstruct.loading.dataset_options import Cache, Edges, Forces
from zstruct.loading.fields import named
from zstruct.loading.moved_options import MOVED
from zstruct.query import Selection
from zstruct.store.labelled import check_labels

if TYPE_CHECKING:
    from zstruct.stats.references import References

__all__ = ["Recipe"]


@keywords(MOVED, neighbors=Edges, cache=Cache)
@dataclass(frozen=True, eq=False)
class Recipe:
    """How stored structures become samples.

    Parameters
    ----------
    fields
        The fields of a sample, by name; ``...`` stands for the usual ones: all but the formula and the
        provenance, ``source`` and ``frame``. ``"atoms"`` among them adds ``atoms``, an `ase.Atoms` as
        `get_atoms` returns it, to samples, and a list of these to batches of the layouts ``"graph"``,
        ``"padded"`` and ``"list"``; transforms leave it as it was built, and each is read on its own, in
        some milliseconds. Or ``"energies"``: the numbers and the energy, for models of features.
        By default the usual ones.
    dtype
        ``torch.float32`` or ``torch.float64``, or NumPy's, for all floating-point fields, or a mapping
        of names to these; it may also name ``features``, ``edge_shift``, ``edge_vec``, ``edge_dist`` and
        ``deriv_values``. What nobody names comes as float32, but for ``energy``, ``free_energy`` and
        numbers of structures that the field table does not know, which may be energies, too: these
        come as float64. By name, whole numbers and categories may come in any dtype of torch's that
        holds what is stored, ``{"numbers": "uint8"}``; else they are int64. Layouts of other libraries
        make them what those libraries expect.
    split
        The part of the store to load: a label of the split that `zstruct.split` stored as ``"default"``,
        such as ``"train"``, or the name of a split and a label. By default all of the store. Short for
        ``.select(split=...)``.
    features
        Adds ``features`` (n_atoms, F). The name of features that `zstruct.featurize` stored, or
        `zstruct.features.add`; of the latter, they may also be (F,) or, with rows of the structure's own,
        (any number, F), in batches with their edges ``features_ptr``. Or a descriptor: where the store has
        its features with as many digits, they are read, else computed for each batch in the thread that
        makes it (also with a `transform`, or if they are to be kept). Or a function
        of a sample that returns its features, an array that becomes ``features`` or a mapping of names to
        arrays: per atom where they have a row for each, else per structure.
    derivatives
        Adds ``deriv_values`` (P, F, 3), the derivatives of the features of the centre by the position
        of the neighbour, for pairs ``deriv_index`` (2, P), as in ``edge_index``. Those by the
        centre's own position are minus the sum over its pairs. A name or a descriptor, as above.
    neighbors
        Adds ``edge_index`` (2, E), the rows of centre (first) and neighbour (second) of each pair of
        atoms within a distance; every pair comes from both of its ends; and what the edges carry, by
        default ``edge_shift`` (E, 3). A cutoff in angstrom, the name of a stored list, or `Edges`.
    labels
        Labels that `zstruct.label` or `zstruct.labels.add` stored. A name: they are in place of the store's
        own, all of them (what calculations result in, as energies, forces and stresses, comes of these labels
        or not at all), in limits and selections, too. Or a mapping of prefixes to names: they are beside the
        store's own, ``{"teacher": "mace-mp0"}`` as ``teacher_energy`` and ``teacher_forces``, in the same
        units, turned by transforms and with masks as any field.
    references
        Energies of free atoms to subtract from ``energy`` and ``free_energy``, in double precision:
        True for those that `zstruct.fit_references` or the like stored, the name of others, a mapping
        of symbols to eV, or `References`. Of labels in place of the store's own, True means those that were
        stored under the name of these labels, for them. None and False: nothing is subtracted. Limits on
        energies are less these; with None, less the ``atomic_energies`` that the store was built with, as in
        `zstruct.build`, of its own labels; with False, less nothing.
    transform
        What is done to structures as they are loaded: a `zstruct.transforms.Transform`, a function of
        a sample that returns one, or a list of these. What is computed for a batch (features, edges,
        derivatives) sees the outcome of transforms; a function of samples, and what comes after it in a
        list, takes finished ones, and so does a change of the unit of length.
    cache
        Where decoded fields are kept: ``"memory"``, ``"shared"``, a directory, None or ``"auto"``; or a
        `Cache`, which also says how much of them, and whether to keep what is computed.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Attributes
    ----------
    selection
        How structures were chosen, the split included.
    forces
        Of how many structures the forces are used; None: of all.

    Raises
    ------
    InputError
        If options contradict each other, or a number makes no sense.
    ArgumentTypeError
        If an option is of a type that makes no sense there.

    Examples
    --------
    >>> recipe = Recipe(["positions", "energy"], neighbors=5.0, split="train")
    >>> recipe.neighbors
    Edges(cutoff=5.0, carry=('edge_shift',))
    >>> print(recipe.selection)
    where split="train"
    """

    fields: Iterable[Any] | str | None = None
    dtype: Any = None
    _: KW_ONLY
    split: str | tuple[str, str] | None = None
    features: str | Descriptor | Callable[[Any], Any] | None = None
    derivatives: str | Descriptor | None = None
    neighbors: float | str | Edges | None = None
    labels: str | Mapping[str, str] | None = None
    references: bool | str | Mapping[str, float] | References | None = None
    transform: Any = None
    cache: str | os.PathLike[str] | Cache | None = "auto"
    storage_options: Mapping[str, Any] | None = field(default=None, repr=False)
    selection: Selection = field(default=Selection(), init=False)
    forces: Forces | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        set_fields(
            self,
            fields=named(self.fields),
            cache=Cache(None) if self.cache is None else as_options(Cache, self.cache),
        )
        check_labels(self.labels)
        if self.neighbors is not None:
            set_fields(self, neighbors=as_options(Edges, self.neighbors))
        set_fields(self, selection=Selection().select(split=self.split))

    @property
    def function(self) -> Callable[[Any], Any] | None:
        """The user's function that makes features, if there is one."""
        made = callable(self.features) and not isinstance(self.features, str | Descriptor)
        return self.features if made else None  # type: ignore[return-value]

    def selected(self, selection: Selection) -> Self:
        """Return the recipe with more choices of structures."""
        return self._with(selection=self.selection.select(selection))

    def with_forces(self, forces: Forces) -> Self:
        """Return the recipe with the forces of some structures used."""
        return self._with(forces=forces)

    def of_all(self) -> Self:
        """Return the recipe for all structures of a store, with all of their forces."""
        return self._with(split=None, selection=Selection(), forces=None)

    def with_cache(self, cache: Cache) -> Self:
        """Return the recipe with what is decoded kept elsewhere."""
        return self._with(cache=cache)

    def _with(self, **values: Any) -> Self:
        other = copy.copy(self)
        set_fields(other, **values)
        return other
