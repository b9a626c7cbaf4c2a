"""The whole way in one script: files → store → xarray → features → batches for torch → a picture.

`make demo` runs it. It reads the bundled sample and writes only into ``demo/``.
"""

import os
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch

import zstruct
from zstruct.features import Chebyshev

ROOT = Path(__file__).resolve().parent.parent
STORE = Path("demo/sample.zarr")
PICTURE = Path("demo/energy_per_atom.png")


def main():
    os.chdir(ROOT)
    STORE.parent.mkdir(exist_ok=True)

    heading(f"1. Build {STORE} from tests/data/sample/*.xyz")
    report = zstruct.build("tests/data/sample/*.xyz", STORE, overwrite=True, progress=False)
    print(report)

    heading("2. Explore it with xarray")
    ds = zstruct.open(STORE)
    table = statistics(ds)
    print(f"{'config_type':12} {'structures':>10} {'eV/atom':>9} {'min':>8} {'max':>8} {'fmax, eV/A':>11}")
    for name, row in table.iterrows():
        print(
            f"{name:12} {row['count']:10.0f} {row['mean']:9.3f} {row['min']:8.3f} {row['max']:8.3f} "
            f"{row['fmax']:11.2f}"
        )
    hot = int(ds.zs.fmax.argmax("structure"))
    print(f"the largest force acts in structure {hot}, {ds.zs.to_ase(hot).symbols}")

    heading("3. Featurize it")
    descriptor = Chebyshev(ds.zs.elements, rad_order=8, rad_cutoff=6.0, ang_order=4, ang_cutoff=4.5)
    print(zstruct.featurize(STORE, descriptor, name="cheb", progress=False))
    first = zstruct.open(STORE).zs.features("cheb").sel(feature="rad_0")
    print(f"rad_0, a count of neighbours, is {float(first.min()):.2f} to {float(first.max()):.2f}")

    heading("4. Load it with torch")
    fields = ["numbers", "positions", "energy", "forces"]
    data = zstruct.ZarrStructureDataset(STORE, fields, features="cheb", neighbors=5.0)
    print(f"{len(data)} samples; the first: {shapes(data[0])}")
    batch = next(iter(data.loader(batch_size=32, shuffle=True, generator=seeded())))
    print(f"a batch of 32, graph: {shapes(batch)}")
    plain = zstruct.ZarrStructureDataset(STORE, fields)
    batch = next(iter(plain.loader(batch_size=32, shuffle=True, layout="padded", generator=seeded())))
    print(f"a batch of 32, padded: {shapes(batch)}")
    began = time.perf_counter()
    n_atoms = sum(len(batch["numbers"]) for batch in data.loader(batch_size=32, shuffle=True))
    print(f"one shuffled epoch: {n_atoms:,} atoms in {time.perf_counter() - began:.3f} s")

    heading("5. Draw the energies")
    draw(ds, table)
    print(f"saved {PICTURE}: energies and forces by config_type")
    print()
    print(f"The store is {STORE}. Look at it with: .venv/bin/zstruct info {STORE}")
    print("Next: the notebooks beside this script, or zstruct.build('your/files/**/*.xyz', 'mine.zarr')")


def statistics(ds):
    """Return energies per atom and largest forces by group, the group of lowest energy first."""
    groups = ds.zs.energy_per_atom.compute().groupby(ds.config_type)
    table = groups.mean().to_dataframe("mean")
    table["count"] = groups.count()
    table["min"], table["max"] = groups.min(), groups.max()
    table["fmax"] = ds.zs.fmax.groupby(ds.config_type).max()
    return table.sort_values("mean")


def seeded():
    return torch.Generator().manual_seed(0)


def shapes(tensors):
    return ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())


def draw(ds, table):
    """Save a histogram of the energies per atom, and forces against them, coloured by group."""
    energy, fmax, labels = ds.zs.energy_per_atom.values, ds.zs.fmax.values, ds.config_type.values
    groups = [name for name in table.index if name != "atom"]  # single atoms lie far to the right
    colours = dict(zip(groups, plt.get_cmap("tab10").colors, strict=False))
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharex=True)
    left.hist(
        [energy[labels == name] for name in groups],
        bins=np.linspace(-0.05, 1.6, 67),
        stacked=True,
        color=list(colours.values()),
        label=groups,
        edgecolor="white",
        linewidth=0.3,
    )
    left.set(xlabel="energy per atom (eV)", ylabel="structures")
    left.annotate("single atoms: 3 to 6 eV →", (0.99, 0.13), xycoords="axes fraction", ha="right")
    left.legend(title="config_type", frameon=False, ncols=2, loc="upper right")
    for name, colour in colours.items():
        chosen = (labels == name) & (fmax > 1e-3)  # no forces by symmetry: off a logarithmic axis
        right.scatter(energy[chosen], fmax[chosen], s=14, color=colour, alpha=0.7, linewidths=0)
    right.set(xlabel="energy per atom (eV)", ylabel="largest force (eV/Å)", yscale="log")
    figure.suptitle(f"{ds.zs.n_structures} structures, {ds.zs.n_atoms:,} atoms, labelled by EMT")
    figure.savefig(PICTURE, dpi=150)
    plt.close(figure)


def heading(text):
    print(f"\n{text}\n{'-' * len(text)}")


if __name__ == "__main__":
    main()
