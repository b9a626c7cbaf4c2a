"""Manifests rebuild descriptors, and refuse what is not the same."""

from dataclasses import dataclass

import numpy as np
import pytest

from tests.features.gaussians import Gaussians
from zstruct.errors import InputError
from zstruct.features import ACSF, Chebyshev, Descriptor, from_manifest, register
from zstruct.features.descriptor import make_manifest
from zstruct.features.registry import by_name


def one(structures, neighbors, value=1.0):
    return np.full((len(neighbors), 1), value)


@pytest.mark.parametrize(
    "descriptor",
    [
        Chebyshev(["Ti", "O"], 10, 6.5, 3, 4.0),
        Gaussians((0.5, 2.0)),
        register(one, cutoff=2.0, feature_names=["one"], parameters={"value": 2.0}),
    ],
    ids=["built in", "class", "function"],
)
def test_a_manifest_rebuilds_its_descriptor(descriptor):
    manifest = descriptor.manifest()
    assert set(manifest) == {"class", "version", "parameters", "sha256"}
    assert from_manifest(manifest) == descriptor
    assert from_manifest(manifest).manifest() == manifest


def test_acsf_too():
    descriptor = ACSF(["H", "O"], 5.0, g2_params=[[1.0, 0.0]])
    assert from_manifest(descriptor.manifest()) == descriptor


def test_the_hash_is_that_of_the_parameters():
    manifests = [Gaussians(widths).manifest() for widths in ((0.5,), (0.5, 1.0))]
    assert manifests[0]["sha256"] != manifests[1]["sha256"]
    assert Gaussians((0.5,)).manifest() == manifests[0]
    changed = {**manifests[0], "parameters": {"widths": [0.6], "knows_titanium": True}}
    with pytest.raises(InputError, match="its hash does not fit its parameters"):
        from_manifest(changed)


def test_unknown_and_other_versions_are_refused():
    with pytest.raises(InputError, match=r"no descriptor is called 'SOAP'; there are .*Chebyshev"):
        from_manifest(make_manifest("SOAP", 1, {}))
    newer = {**Chebyshev(["H"], 2, 3.0, 2, 3.0).manifest(), "version": 2}
    with pytest.raises(InputError, match="by version 2 of Chebyshev, and here is version 1: install a newer"):
        from_manifest(newer)


def _changed(**changes):
    manifest = Chebyshev(["H"], 2, 3.0, 2, 3.0).manifest()
    return {key: value for key, value in (manifest | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, "a manifest has class, version, parameters and sha256.*this is None"),
        (_changed(sha256=None), "a manifest has class"),
        (_changed(version="new"), "a manifest has class"),
        (
            _changed(parameters={}),
            "the manifest of Chebyshev has not its parameters: Chebyshev needs .* and ang",
        ),
    ],
)
def test_what_is_no_manifest(manifest, message):
    with pytest.raises(InputError, match=message):
        from_manifest(manifest)


def test_names_of_features_become_texts():
    descriptor = register(one, "numbered", cutoff=2.0, feature_names=np.arange(2))
    assert descriptor.feature_names == ["0", "1"]


def test_another_function_of_the_name_is_not_taken_for_it():
    old = register(one, "same", cutoff=2.0, feature_names=["one"]).manifest()
    register(one, "same", cutoff=2.0, feature_names=["one"], version=2)
    with pytest.raises(InputError, match="by version 1 of same, and here is version 2: compute anew"):
        from_manifest(old)
    register(one, "same", cutoff=2.5, feature_names=["one"])
    with pytest.raises(InputError, match=r"with parameters \{.*'cutoff': 2\.0.*registered here with"):
        from_manifest(old)


def test_a_function_that_returns_another_shape_is_named():
    descriptor = register(lambda s, n: np.ones(len(n)), "flat", cutoff=2.0, feature_names=["one"])
    with pytest.raises(InputError, match=r"flat returned values of shape \(1,\) for 1 atoms; it should be"):
        descriptor.compute({"numbers": [1], "positions": [[0.0, 0.0, 0.0]]})


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((dict,), {}, "dict is no subclass of"),
        ((Gaussians,), {"cutoff": 2.0}, "cutoff is for functions"),
        ((3,), {}, "a class or a function, not 3"),
        ((one,), {}, "with a cutoff above zero and feature_names"),
        ((one,), {"cutoff": -1.0, "feature_names": ["a"]}, "with a cutoff above zero"),
        ((one,), {"cutoff": 1.0, "feature_names": "a"}, r"feature_names=\['a'\]"),
        ((one, "a b"), {"cutoff": 1.0, "feature_names": ["a"]}, "'a b' can't name a descriptor"),
        ((one, "Chebyshev"), {"cutoff": 1.0, "feature_names": ["a"]}, "Chebyshev is built in"),
        ((one, "chebyshev"), {"cutoff": 1.0, "feature_names": ["a"]}, "chebyshev is built in"),
        ((one, "NeighborList"), {"cutoff": 1.0, "feature_names": ["a"]}, "NeighborList is built in"),
        ((one,), {"cutoff": "1", "feature_names": ["a"]}, "with a cutoff above zero"),
        ((one,), {"cutoff": 1.0, "feature_names": ["a"], "parameters": [1]}, "are a dict of the function's"),
        ((one,), {"cutoff": 1.0, "feature_names": ["a"], "parameters": {"f": one}}, "not what JSON can hold"),
    ],
)
def test_what_can_not_be_registered(arguments, options, message):
    with pytest.raises(InputError, match=message):
        register(*arguments, **options)


def test_a_class_that_is_no_dataclass_says_its_parameters():
    class Plain(Descriptor):
        cutoff = 2.0
        feature_names = ("n",)

        def values(self, structures, neighbors):
            return np.diff(neighbors.offsets)[:, None].astype(float)

    with pytest.raises(NotImplementedError, match="Plain is no dataclass"):
        Plain().manifest()


def test_descriptors_by_name():
    parameters = {"species": ["H"], "rad_order": 2, "rad_cutoff": 3, "ang_order": 2, "ang_cutoff": 3}
    assert by_name("chebyshev", parameters) == Chebyshev(["H"], 2, 3.0, 2, 3.0)
    assert by_name("neighbors", {"cutoff": 4}).cutoff == 4.0
    assert by_name("gaussians", {"widths": (1.0,)}) == Gaussians((1.0,))
    register(one, "uniform", cutoff=2.0, feature_names=["one"])
    assert by_name("uniform", {}).feature_names == ["one"]
    with pytest.raises(InputError, match="parameters of uniform were given when it was registered"):
        by_name("uniform", {"value": 2})
    with pytest.raises(InputError, match="chebyshev: has no option 'order'; is it rad_order"):
        by_name("chebyshev", parameters | {"order": 3})
    with pytest.raises(InputError, match="neighbors: needs cutoff"):
        by_name("neighbors", {})


@register
@dataclass(frozen=True)
class Later(Descriptor):
    """One that tests register by a decorator."""

    cutoff: float = 2.0
    feature_names: tuple = ("n",)

    def values(self, structures, neighbors):
        return np.diff(neighbors.offsets)[:, None].astype(float)


def test_register_decorates():
    assert from_manifest(Later(3.0).manifest()) == Later(3.0)
