"""Runs of VASP as small texts, as its versions 4, 5 and 6 lay them out."""

from dataclasses import dataclass, field

import numpy as np

ION = " {:>12.5f} {:>12.5f} {:>12.5f}   {:>13.6f} {:>13.6f} {:>13.6f}\n"
LINE = 83 * "-"


@dataclass
class Ionic:
    """A step; kinds of its labels are those of VASP."""

    positions: np.ndarray
    forces: np.ndarray
    energy: float = -10.0
    free: float = -10.5
    pressure: tuple = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)  # XX YY ZZ XY YZ ZX in kB
    cell: np.ndarray = field(default_factory=lambda: np.diag([4.0, 5.0, 6.0]))
    cycles: int = 3
    magnetization: str = ""
    table: str = ""
    says: str = "aborting loop because EDIFF is reached"
    learned: bool = False


def steps(rng, n=3, n_atoms=3, **options):
    """Return steps of some atoms, with numbers that VASP can write."""
    return [
        Ionic(
            np.round(rng.uniform(0, 4, (n_atoms, 3)), 5),
            np.round(rng.normal(size=(n_atoms, 3)), 6),
            energy=-10.0 - k,
            free=-10.5 - k,
            **options,
        )
        for k in range(n)
    ]


HEADER = """ vasp.{version}.4 18Apr17 (build somewhere) complex

 POTCAR:    PAW_PBE O_s 07Sep2000
 POTCAR:    PAW_PBE Ti_pv 07Sep2000
   VRHFIN =O : s2p4
   TITEL  = PAW_PBE O_s 07Sep2000
   VRHFIN =Ti: p6d3s1
   TITEL  = PAW_PBE Ti_pv 07Sep2000
   number of dos      NEDOS =    301   number of ions     NIONS = {n:6d}
   ions per type =             {counts}
   NELM   =     {nelm};   NELMIN=  2; NELMDL= -5     # of ELM steps
   ISIF   =      {isif}    stress and relaxation
  energy-cutoff  :      400.00
      direct lattice vectors                 reciprocal lattice vectors
     4.000000000  0.000000000  0.000000000     0.250000000  0.000000000  0.000000000
     0.000000000  5.000000000  0.000000000     0.000000000  0.200000000  0.000000000
     0.000000000  0.000000000  6.000000000     0.000000000  0.000000000  0.166666667

 old parameters found on file WAVECAR:
      direct lattice vectors                 reciprocal lattice vectors
     9.000000000  0.000000000  0.000000000     0.250000000  0.000000000  0.000000000
     0.000000000  9.000000000  0.000000000     0.000000000  0.200000000  0.000000000
     0.000000000  0.000000000  9.000000000     0.000000000  0.000000000  0.166666667

 position of ions in cartesian coordinates  (Angst):
{start}
 number of electron       8.0000000 magnetization       7.0000000
"""


def outcar(ionic, version=5, nelm=60, isif=2, counts=(2, 1), end=True, energy_first=False):
    """Return the text of an OUTCAR."""
    start = "".join("".join(f"{x:>13.8f}" for x in row) + "\n" for row in ionic[0].positions)
    text = HEADER.format(
        version=version,
        n=sum(counts),
        counts="".join(f"{n:4d}" for n in counts),
        nelm=nelm,
        isif=isif,
        start=start,
    )
    number = 0
    for step in ionic:
        number += not step.learned
        text += _learned(step) if step.learned else _step(step, number, energy_first)
    return text + (" General timing and accounting informations for this job:\n" if end else "")


def _cell(step):
    rows = "".join("".join(f"{x:>13.9f}" for x in row) + 3 * "  0.000000000" + "\n" for row in step.cell)
    return f"      direct lattice vectors                 reciprocal lattice vectors\n{rows}\n"


def _ions(step, ml=""):
    rows = "".join(ION.format(*r, *f) for r, f in zip(step.positions, step.forces, strict=True))
    title = f" POSITION                                       TOTAL-FORCE (eV/Angst){ml}\n {LINE}\n"
    return f"{title}{rows} {LINE}\n    total drift:     0.000000      0.000000      0.000000\n\n"


def _stress(step):
    return "  in kB " + "".join(f"{x:>12.5f}" for x in step.pressure) + "\n"


def _energy(step):
    return f"""
  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  = {step.free:>18.8f} eV

  energy  without entropy= {step.free:>16.8f}  energy(sigma->0) = {step.energy:>16.8f}

"""


def _step(step, number, energy_first):
    text = ""
    for k in range(1, step.cycles + 1):
        text += f"----------- Iteration {number:>6d}({k:>4d})  ---------------\n"
        text += "   free energy    TOTEN  =       -99.00000000 eV\n"
        text += f" number of electron       8.0000000 magnetization {step.magnetization}\n"
    text += f"---------- {step.says} -----------\n" if step.says else ""
    text += step.table
    volume = " VOLUME and BASIS-vectors are now :\n"
    labels = (
        _stress(step) + "  Total+kin.   99.0 99.0 99.0 99.0 99.0 99.0\n" + volume + _cell(step) + _ions(step)
    )
    return text + (_energy(step) + labels if energy_first else labels + _energy(step))


def _learned(step):
    return f"""  ML FORCE on cell =-STRESS in cart. coord. units (eV/cell)
{_stress(step)}{_cell(step)} {_ions(step, " (ML)")}
  ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy ML TOTEN  = {step.free:>18.8f} eV

  ML energy  without entropy= {step.free:>16.8f}  ML energy(sigma->0) = {step.energy:>16.8f}

"""


def moments(values, axis="x"):
    """Return a table of magnetic moments of atoms."""
    rows = "".join(f"{k:>5d}       -0.014  -0.051   1.687 {m:>7.3f}\n" for k, m in enumerate(values, start=1))
    head = f"\n magnetization ({axis})\n\n# of ion       s       p       d       tot\n{'-' * 42}\n"
    return f"{head}{rows}{'-' * 50}\ntot         -0.057  -0.210   6.788   6.521\n\n"


def vasprun(ionic, nelm=60, pstress=0.0, symbols=("O ", "O ", "Ti"), selective=(), end=True, titles=None):
    """Return the text of a vasprun.xml."""
    titles = titles or ("PAW_PBE O_s 07Sep2000", "PAW_PBE Ti_pv 07Sep2000")
    kinds = list(dict.fromkeys(symbols))
    atoms = "".join(f"<rc><c>{s}</c><c>   {kinds.index(s) + 1}</c></rc>\n" for s in symbols)
    types = "".join(f"<rc><c>1</c><c>A</c><c>1.0</c><c>1.0</c><c> {title} </c></rc>\n" for title in titles)
    text = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator><i name="program" type="string">vasp </i></generator>
 <structure name="primitive_cell" >{_geometry(ionic[0])}</structure>
 <parameters><separator name="electronic" ><i type="int" name="NELM">   {nelm}</i></separator>
  <separator name="ionic" ><i name="PSTRESS">{pstress:>14.8f}</i></separator></parameters>
 <atominfo><atoms>{len(symbols)}</atoms>
  <array name="atoms" ><set>\n{atoms}</set></array>
  <array name="atomtypes" ><set>\n{types}</set></array>
 </atominfo>
 <structure name="initialpos" >{_geometry(ionic[0])}{_flags(selective)}</structure>
"""
    for step in ionic:
        text += _predicted(step) if step.learned else _calculation(step, pstress)
    return text + (
        f' <structure name="finalpos" >{_geometry(ionic[-1])}</structure>\n</modeling>\n' if end else ""
    )


def _rows(name, values):
    rows = "".join("   <v>" + "".join(f"{x:>17.8f}" for x in row) + " </v>\n" for row in values)
    return f'  <varray name="{name}" >\n{rows}  </varray>\n'


def _flags(flags):
    rows = "".join(f'   <v type="logical" > {" ".join(row)} </v>\n' for row in flags)
    return f'  <varray type="logical" name="selective" >\n{rows}  </varray>\n' if flags else ""


def _geometry(step):
    scaled = np.linalg.solve(step.cell.T, step.positions.T).T
    cells = _rows("basis", step.cell) + _rows("rec_basis", np.eye(3))
    return f"<crystal>{cells}</crystal>{_rows('positions', scaled)}"


def _matrix(step):
    xx, yy, zz, xy, yz, zx = step.pressure
    return _rows("stress", [[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])


def _energies(free, cold, more=""):
    return f"""  <energy>
   <i name="e_fr_energy">{free:>16.8f} </i>
   <i name="e_0_energy">{cold:>16.8f} </i>{more}
  </energy>
"""


def _calculation(step, pstress):
    enthalpy = pstress * 6.241509074460763e-4 * abs(np.linalg.det(step.cell))
    cycle = f"  <scstep>\n{_energies(step.free - 1, step.energy - 1)}  </scstep>\n"
    labels = f"<structure>{_geometry(step)}</structure>{_rows('forces', step.forces)}{_matrix(step)}"
    bands = '<eigenvalues comment="x"><eigenvalues><r> 1.0 1.0 </r></eigenvalues> 1.0 1.0 </eigenvalues>'
    return f""" <calculation>
{step.cycles * cycle}{labels}{_energies(step.free + enthalpy, 99.0)}{bands} </calculation>
"""


def _predicted(step):
    more = f'<i name="kinetic">{3.0:>16.8f} </i>'
    labels = f"<structure>{_geometry(step)}</structure>{_rows('forces', step.forces)}{_matrix(step)}"
    return labels + _energies(step.free, step.energy, more)
