"""Statistics are read by attribute, and as mappings."""

import pytest

import zstruct


def test_statistics_read_as_mappings(tmp_path, frames):
    zstruct.build(frames, tmp_path / "s.zarr", progress=False)
    found = zstruct.statistics(tmp_path / "s.zarr", name="all")
    for statistics in (found, zstruct.open_statistics(tmp_path / "s.zarr")):
        read = dict(statistics)
        assert read == {name: getattr(statistics, name) for name in read}
        assert list(statistics) == list(read) == [*statistics.keys()]
        assert {"structures", "energy", "forces", "species", "missing", "force_quantiles"} <= read.keys()
        assert statistics["energy"]["mean"] == statistics.energy.mean
        assert statistics["forces"]["rms"] == statistics.forces.rms
        assert statistics["species"]["H"]["force_rms"] == statistics.species["H"].force_rms
        assert statistics["force_norms"]["bins"] is statistics.force_norms.bins
        assert {**statistics["energy"]}["std"] == statistics.energy.std
        assert dict(statistics.items()) == read
        assert list(statistics.values()) == list(read.values())
        assert len(statistics) == len(read)
    assert "energy" in found
    assert "enrgy" not in found
    assert found.get("enrgy", 3) == 3
    for name in ("enrgy", 3, None, "merge"):
        with pytest.raises(KeyError, match=r"there is no .* here; there are structures, atoms, "):
            found[name]
    assert found
    assert len({found, found}) == 1  # hashed by what it is, as before
