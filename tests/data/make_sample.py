"""Make the bundled sample: small metals, alloys, surfaces, clusters and molecules with labels.

    python tests/data/make_sample.py

writes the files of ``tests/data/sample``. Labels are those of ASE's effective-medium potential
(EMT), which is fast and smooth. Its zero of energy is the bulk metal; its H, C, N and O are meant
for tests only, so these numbers are good for trying software, not for science. Every run makes
the same bytes: positions are rounded before labels are computed, labels before they are written.
"""

import io
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc100, fcc111, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cluster import Octahedron
from ase.io import write

SEED = 20260101
HERE = Path(__file__).resolve().parent
METALS = ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")
LATTICE = {"Al": 4.05, "Ni": 3.52, "Cu": 3.61, "Pd": 3.89, "Ag": 4.09, "Pt": 3.92, "Au": 4.08}
PAIRS = (("Cu", "Au"), ("Ag", "Au"), ("Ni", "Pd"), ("Pd", "Pt"), ("Ni", "Al"))
MOLECULES = ("H2", "N2", "O2", "CO", "CO2", "H2O", "NH3", "CH4", "CH3OH", "C2H6")
CARBON_MONOXIDE = Atoms("CO", [(0.0, 0.0, 0.0), (0.0, 0.0, 1.15)])  # stands on its carbon
DECIMALS = 6


def main():
    """Write all files."""
    rng = np.random.default_rng(SEED)
    folder = HERE / "sample"
    folder.mkdir(exist_ok=True)
    for name, structures in (
        ("metals", metals(rng)),
        ("alloys", alloys(rng)),
        ("surfaces", surfaces(rng)),
        ("molecules", molecules(rng)),
    ):
        (folder / f"{name}.xyz").write_text(extended_xyz(structures))


def extended_xyz(structures):
    """Return labelled structures as extended XYZ."""
    text = io.StringIO()
    write(text, [labelled(atoms) for atoms in structures], format="extxyz")
    return text.getvalue()


def labelled(atoms):
    """Return a structure as it will be read back, with its EMT energy, forces and stress."""
    atoms = atoms.copy()
    atoms.set_initial_magnetic_moments(None)  # ase.build sets them for Ni and O2; EMT knows none
    atoms.positions = atoms.positions.round(DECIMALS)
    atoms.cell = atoms.cell.array.round(DECIMALS)
    atoms.calc = EMT()
    results = {"energy": round(atoms.get_potential_energy(), DECIMALS), "forces": atoms.get_forces()}
    if atoms.pbc.all():
        results["stress"] = atoms.get_stress()
    plain = {name: np.round(value, DECIMALS) + 0.0 for name, value in results.items()}  # no -0.0
    atoms.calc = SinglePointCalculator(atoms, **plain)
    return atoms


def metals(rng):
    """Yield primitive cells under pressure, rattled and strained supercells, vacancies."""
    for symbol in METALS:
        a = LATTICE[symbol]
        for scale in np.linspace(0.94, 1.08, 8):
            yield called("bulk", bulk(symbol, "fcc", a * scale))
        for _ in range(6):
            atoms = bulk(symbol, "fcc", a, cubic=True).repeat((2, 2, 1))
            yield called("rattled", rattled(atoms, rng, rng.uniform(0.02, 0.2)))
        for _ in range(6):
            atoms = bulk(symbol, "fcc", a, cubic=True)
            yield called("strained", rattled(strained(atoms, rng, 0.06), rng, 0.03))
        for _ in range(2):
            atoms = bulk(symbol, "fcc", a, cubic=True).repeat((2, 2, 1))
            del atoms[int(rng.integers(len(atoms)))]
            yield called("vacancy", rattled(atoms, rng, 0.05))


def alloys(rng):
    """Yield random solid solutions with the lattice constant of their composition."""
    for first, second in PAIRS:
        for _ in range(14):
            atoms = bulk(first, "fcc", 1.0, cubic=True).repeat((2, 2, 1))
            other = rng.random(len(atoms)) < rng.uniform(0.1, 0.9)
            atoms.symbols[other] = second
            a = LATTICE[first] + (LATTICE[second] - LATTICE[first]) * other.mean()
            atoms.set_cell(atoms.cell * a * rng.uniform(0.97, 1.03), scale_atoms=True)
            yield called("alloy", rattled(atoms, rng, rng.uniform(0.02, 0.12)))


def surfaces(rng):
    """Yield slabs, periodic in two directions, bare and with an atom or CO on top."""
    for symbol in METALS:
        for make in (fcc111, fcc100):
            for _ in range(2):
                slab = make(symbol, (2, 2, 3), a=LATTICE[symbol], vacuum=7.0)
                yield called("surface", rattled(slab, rng, 0.06))
            for guest in ("H", "O", CARBON_MONOXIDE):
                slab = make(symbol, (2, 2, 3), a=LATTICE[symbol], vacuum=7.0)
                add_adsorbate(slab, guest, rng.uniform(1.7, 2.1), "ontop")
                yield called("adsorbate", rattled(slab, rng, 0.06))


def molecules(rng):
    """Yield what has no cell: single atoms, small molecules, metal clusters."""
    for symbol in (*METALS, "H", "C", "N", "O"):
        yield called("atom", Atoms(symbol))
    for name in MOLECULES:
        for _ in range(6):
            yield called("molecule", rattled(molecule(name), rng, rng.uniform(0.0, 0.05)))
    for symbol in METALS:
        for length, cutoff in ((2, 0), (3, 1), (3, 0)):
            for _ in range(2):
                cluster = Octahedron(symbol, length, cutoff, latticeconstant=LATTICE[symbol])
                atoms = Atoms(cluster.symbols, cluster.positions)  # without the box it comes in
                yield called("cluster", rattled(atoms, rng, rng.uniform(0.02, 0.15)))


def called(config_type, atoms):
    """Return the structure with its group label."""
    atoms.info = {"config_type": config_type}
    return atoms


def rattled(atoms, rng, stdev):
    """Return the structure with every atom displaced at random."""
    atoms.positions += rng.normal(0.0, stdev, atoms.positions.shape)
    return atoms


def strained(atoms, rng, largest):
    """Return the structure under a random symmetric strain."""
    strain = rng.uniform(-largest, largest, (3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    return atoms


if __name__ == "__main__":
    main()
