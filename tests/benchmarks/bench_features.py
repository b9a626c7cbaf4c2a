"""Features: kernels against peers, one core each; featurizing a store; loading; starting.

The environment variable PARTS chooses some of the parts, separated by commas: neighbors, chebyshev,
acsf, second_order, featurize, loader, start.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

import ase
import numpy as np

from tests.benchmarks import feature_stores, feature_workloads
from tests.benchmarks.common import machine, show
from tests.benchmarks.findings import Finding, conclude
from zstruct.features import ACSF, Chebyshev, Neighbors, Structures
from zstruct.geometry.neighbors import neighbor_list, neighbor_pieces
from zstruct.geometry.pieces import visit
from zstruct.parallel import cpu_count

REPEATS = 7
SECOND_ORDER = 2.5  # gradients by atoms that the gradient of one may take
LIST_PEERS = ("vesin", "matscipy")
OURS = ("in pieces", "in one array")
_OF_A_PEER = 4  # times as fast as the better peer, either way
_G2 = [(eta, 0.0) for eta in (0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 1.0)]
_G4 = [(eta, zeta, sign) for eta in (0.005, 0.03) for zeta in (1, 4) for sign in (1, -1)]


def main(scale: float = 1.0) -> None:
    print(machine())
    print(_versions())
    parts = {
        "neighbors": _neighbors,
        "chebyshev": _chebyshev,
        "acsf": _acsf,
        "second_order": _second_order,
        "featurize": feature_stores.featurize,
        "loader": feature_stores.loader,
        "start": feature_stores.start,
    }
    chosen = os.environ.get("PARTS", ",".join(parts)).split(",")
    conclude([finding for name, part in parts.items() if name in chosen for finding in part(scale)])


def _versions() -> str:
    found = []
    for package in (*LIST_PEERS, "dscribe"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"without {package}, which is not installed (pip install {package})")
    return ", ".join(found)


def _medians(
    sides: Mapping[str, Callable[[], int]], clock: Callable[[], float] = time.thread_time
) -> dict[str, float]:
    """Run all sides in turn, several times; return the median of things done per second.

    By default, seconds are those that a side had a core, for all work in the calling thread and the
    machine may be busy with other things.
    """
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(REPEATS):
        for name, side in sides.items():
            began = clock()
            n = side()
            rates[name].append(n / (clock() - began))
    return {name: statistics.median(values) for name, values in rates.items()}


def _pieces(packed: Structures, cutoff: float) -> int:
    return sum(piece.n_pairs for piece in neighbor_pieces(packed, cutoff))


def _list_peers(structures: list[ase.Atoms], cutoff: float) -> dict[str, Callable[[], int]]:
    """Return what makes the lists of all structures with each peer, one after the other."""
    sides: dict[str, Callable[[], int]] = {}
    arrays = [(a.positions, a.cell.array, bool(a.pbc.all())) for a in structures]
    try:
        import vesin

        def of_vesin() -> int:
            calculator = vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
            return sum(len(calculator.compute(*of, quantities="ijSDd")[0]) for of in arrays)

        sides["vesin"] = of_vesin
    except ImportError:
        pass
    try:
        from matscipy.neighbours import neighbour_list

        # It does not take atoms without a cell.
        boxed = [atoms.copy() for atoms in structures]
        for atoms in boxed:
            if not atoms.cell.rank:
                atoms.cell = np.diag(np.ptp(atoms.positions, axis=0) + 1)

        sides["matscipy"] = lambda: sum(len(neighbour_list("ijSDd", a, cutoff)[0]) for a in boxed)
    except ImportError:
        pass
    return sides


def _neighbors(scale: float) -> list[Finding]:
    """Full lists with indices, shifts, vectors and distances in new arrays."""
    rng, rows, findings = np.random.default_rng(0), [], []
    for title, make, n, cutoff in (
        ("64 atoms, periodic, 6 Å", feature_workloads.solids, 200, 6.0),
        ("molecules of 20 atoms, 5 Å", feature_workloads.molecules, 3000, 5.0),
        ("1-4 atoms, triclinic, 8 Å", feature_workloads.triclinic, 1000, 8.0),
        ("5,001 atoms, water, 6 Å", feature_workloads.water, 2, 6.0),
    ):
        structures = make(rng, max(2, int(n * scale)))
        packed = Structures.of(structures)
        sides: dict[str, Callable[[], int]] = {
            "in pieces": lambda p=packed, c=cutoff: _pieces(p, c),
            "in one array": lambda p=packed, c=cutoff: neighbor_list(p, c).n_pairs,
            **_list_peers(structures, cutoff),
        }
        counts = {name: side() for name, side in sides.items()}
        if len(set(counts.values())) != 1:
            raise RuntimeError(f"{title}: the sides find different numbers of pairs, {counts}")
        rates = _medians(sides)
        row = [title, f"{counts['in pieces'] / packed.n_atoms:.0f}"]
        row += [f"{rates[name] / 1e6:.1f}" if name in rates else "-" for name in (*OURS, *LIST_PEERS)]
        if others := [name for name in LIST_PEERS if name in rates]:
            best = max(others, key=lambda name: rates[name])
            for name in OURS:
                ratio = rates[name] / rates[best]
                row.append(f"{ratio:.1f}")
                ours, theirs = (f"{rates[side] / 1e6:.1f} M pairs/s" for side in (name, best))
                findings.append(
                    Finding(f"neighbour list {name}", title, ours, f"{best} {theirs}", ratio, _OF_A_PEER)
                )
        rows.append(row + ["-"] * (len(LIST_PEERS) + 6 - len(row)))
    header = ["", "neighbours", *OURS, *LIST_PEERS, *(f"{name}, of the better peer" for name in OURS)]
    show("neighbour lists, million pairs per second", rows, header)
    return findings


def _chebyshev(scale: float) -> list[Finding]:
    """Features, forces and derivatives; neighbours are found anew each time, and nothing is kept."""
    rng = np.random.default_rng(0)
    packed = Structures.of(feature_workloads.rutile(rng, max(60, int(500 * scale))))
    descriptor = Chebyshev(["Ti", "O"], 10, 6.5, 3, 6.5)
    gradient = rng.normal(size=(packed.n_atoms, descriptor.n_features))

    def over_pieces(function: Callable[[int, Structures, Neighbors], object]) -> Callable[[], int]:
        def side() -> int:
            visit(function, packed, descriptor.cutoff, n_threads=1)
            return packed.n_atoms

        return side

    def pull(row: int, part: Structures, neighbors: Neighbors) -> None:
        first = row + neighbors.start
        on_positions, on_strain = np.zeros((part.n_atoms, 3)), np.zeros((len(part), 3, 3))
        weights = gradient[first : first + len(neighbors)]
        descriptor.vjp(part, neighbors, weights, on_positions, on_strain)

    def derive(row: int, part: Structures, neighbors: Neighbors) -> None:
        descriptor.values(part, neighbors)
        descriptor.derivatives(part, neighbors)

    def whole(n_threads: int) -> int:
        return len(descriptor.compute(packed, n_threads=n_threads))

    sides: dict[str, Callable[[], int]] = {
        "neighbour list alone": over_pieces(lambda row, part, neighbors: None),
        "values": over_pieces(lambda row, part, neighbors: descriptor.values(part, neighbors)),
        "values, by compute()": lambda: whole(1),
        "forces (VJP)": over_pieces(pull),
        "values + derivatives": over_pieces(derive),
        "the same, by compute()": lambda: len(descriptor.compute(packed, derivatives=True, n_threads=1)[0]),
    }
    asked = {"values": 250_000, "forces (VJP)": 150_000, "values + derivatives": 60_000}
    for side in sides.values():
        side()
    rates = _medians(sides)
    findings = [
        Finding(
            f"Chebyshev {name}", "TiO2", f"{rates[name]:,.0f} atoms/s", f"{rate:,} asked for",
            rates[name] / rate, 1, False,
        )
        for name, rate in asked.items()
    ]  # fmt: skip
    rows = [[name, 1, f"{rate:,.0f}", asked.get(name, "-")] for name, rate in rates.items()]
    if cpu_count() > 1:
        # By the clock on the wall: this needs two idle cores.
        elapsed = _medians({"one": lambda: whole(1), "two": lambda: whole(2)}, time.perf_counter)
        one, two = elapsed.values()
        rows += [["values, by compute(), elapsed", k, f"{r:,.0f}", "-"] for k, r in ((1, one), (2, two))]
        findings.append(
            Finding("Chebyshev values, two threads", "TiO2", f"{two:,.0f} atoms/s", f"one thread {one:,.0f}",
                    two / one, 1.8, False)
        )  # fmt: skip
    pairs = _pieces(packed, descriptor.cutoff) / packed.n_atoms
    show(
        f"Chebyshev 10/6.5/3/6.5, list included; {len(packed)} cells of 72 atoms, {pairs:.0f} neighbours",
        rows, ["", "threads", "atoms/s", "asked for"],
    )  # fmt: skip
    return findings


def _acsf(scale: float) -> list[Finding]:
    """G1, 8 G2 and 8 G4 for each species or pair of them, neighbours included."""
    rng, rows, findings = np.random.default_rng(0), [], []
    for title, species, make, n, cutoff, target in (
        ("TiO2, 6 Å", ["Ti", "O"], feature_workloads.rutile, 20, 6.0, 10),
        ("molecules, 5 Å", ["H", "C", "N", "O"], feature_workloads.organic, 200, 5.0, None),
    ):
        structures = list(make(rng, max(4, int(n * scale))))
        packed = Structures.of(structures)
        ours = ACSF(species, cutoff, g2_params=_G2, g4_params=_G4)
        values = ours.compute(packed, n_threads=1)
        sides: dict[str, Callable[[], int]] = {
            "zstruct": lambda d=ours, p=packed: len(d.compute(p, n_threads=1))
        }
        try:
            import dscribe.descriptors
        except ImportError:
            pass
        else:
            theirs = dscribe.descriptors.ACSF(
                r_cut=cutoff, species=species, periodic=bool(packed.pbc.any()), g2_params=_G2, g4_params=_G4
            )
            for i in range(4):
                rows_of = slice(*packed.offsets[i : i + 2])
                np.testing.assert_allclose(
                    values[rows_of], theirs.create(structures[i]), rtol=0, atol=1e-8, err_msg=title
                )
            sides["dscribe"] = lambda d=theirs, s=structures: sum(len(d.create(a)) for a in s)
        rates = _medians(sides)
        row = [title, ours.n_features, *(f"{rates[name]:,.0f}" for name in sides)]
        if "dscribe" in rates:
            ratio = rates["zstruct"] / rates["dscribe"]
            row.append(f"{ratio:.1f}")
            speeds = f"{rates['zstruct']:,.0f} atoms/s", f"dscribe {rates['dscribe']:,.0f}"
            findings.append(Finding("ACSF values", title, *speeds, ratio, target))
        rows.append(row + ["-"] * (5 - len(row)))
    show("ACSF, 8 G2 and 8 G4, atoms/s", rows, ["", "features", "zstruct", "dscribe", "ratio"])
    return findings


def _second_order(scale: float) -> list[Finding]:
    """What a loss of forces takes: the gradient of a gradient by atoms (VJP); also through torch."""
    rng, rows, findings = np.random.default_rng(0), [], []
    rutile = list(feature_workloads.rutile(rng, max(2, int(20 * scale))))
    organic = list(feature_workloads.organic(rng, max(20, int(200 * scale))))
    metals, lights = ["Ti", "O"], ["H", "C", "N", "O"]
    for title, descriptor, structures in (
        ("Chebyshev 10/6.5/3/6.5, TiO2", Chebyshev(metals, 10, 6.5, 3, 6.5), rutile),
        ("Chebyshev 10/5/3/4, molecules", Chebyshev(lights, 10, 5.0, 3, 4.0), organic),
        ("ACSF, TiO2", ACSF(metals, 6.0, g2_params=_G2, g4_params=_G4), rutile[: len(rutile) // 2]),
        ("ACSF, molecules", ACSF(lights, 5.0, g2_params=_G2, g4_params=_G4), organic),
    ):
        packed = Structures.of(structures)
        kernels = _medians(_gradients(descriptor, packed, rng))
        loss = _loss_of_forces(descriptor, packed)
        ratio = kernels["once"] / kernels["twice"]
        rows.append([title, *(f"{rate:,.0f}" for rate in kernels.values()), f"{ratio:.2f}", f"{loss:.2f}"])
        findings.append(
            Finding("VJP, of its gradient", title, f"{kernels['twice']:,.0f} atoms/s",
                    f"VJP {kernels['once']:,.0f}", 1 / ratio, 1 / SECOND_ORDER, False)
        )  # fmt: skip
    header = ["", "VJP, atoms/s", "its gradient, atoms/s", "times a VJP", "torch: loss, times forces"]
    show("second order, neighbours known", rows, header)
    return findings


def _gradients(
    descriptor: Chebyshev | ACSF, packed: Structures, rng: np.random.Generator
) -> dict[str, Callable[[], int]]:
    """Return what computes gradients by atoms, and what computes their gradient, of all features."""
    pieces = list(neighbor_pieces(packed, descriptor.cutoff))
    weights = rng.normal(size=(packed.n_atoms, descriptor.n_features))
    tangents = rng.normal(size=(packed.n_atoms, 3))
    positions, strain = np.zeros((packed.n_atoms, 3)), np.zeros((len(packed), 3, 3))

    def once() -> int:
        for piece in pieces:
            rows = weights[piece.start : piece.start + len(piece)]
            descriptor.vjp(packed, piece, rows, positions, strain)
        return packed.n_atoms

    def twice() -> int:
        for piece in pieces:
            rows = weights[piece.start : piece.start + len(piece)]
            descriptor.jvp_and_hvp(packed, piece, rows, tangents, positions)
        return packed.n_atoms

    once(), twice()
    return {"once": once, "twice": twice}


def _loss_of_forces(descriptor: Chebyshev | ACSF, packed: Structures) -> float:
    """Return how many times the processor time of forces torch needs for the gradient of a loss of them."""
    import torch

    from zstruct.features.torch import descriptor_values

    columns = {"numbers": packed.numbers, "ptr": packed.offsets, "cell": packed.cells, "pbc": packed.pbc}
    batch = {name: torch.tensor(column) for name, column in columns.items()}
    batch["positions"] = torch.tensor(packed.positions, requires_grad=True)
    model = torch.nn.Linear(descriptor.n_features, 1, dtype=torch.float64)
    took: dict[str, list[float]] = {"forces": [], "loss": []}
    for _ in range(REPEATS):
        energy = model(torch.tanh(descriptor_values(descriptor, batch))).sum()
        began = time.process_time()
        (forces,) = torch.autograd.grad(-energy, batch["positions"], create_graph=True)
        found = time.process_time()
        (forces**2).sum().backward()
        took["forces"].append(found - began)
        took["loss"].append(time.process_time() - found)
    return statistics.median(took["loss"]) / statistics.median(took["forces"])
