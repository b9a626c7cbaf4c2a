"""Parameters of descriptors for those who name none."""

import ase.build

import zstruct
from zstruct.features.defaults import completed
from zstruct.store.store import Store


def test_the_defaults_are_those_of_all_elements(tmp_path):
    zstruct.build([ase.build.bulk("NaCl", "rocksalt", a=5.6)], tmp_path / "s.zarr", progress=False)
    store = Store(tmp_path / "s.zarr")
    assert completed("Chebyshev", {"rad_order": 3}, store)["species"] == ["Na", "Cl"]
    assert completed("chebyshev", {"species": ["Cl"]}, store)["species"] == ["Cl"]
    assert completed("mine", {}, store) == {}
