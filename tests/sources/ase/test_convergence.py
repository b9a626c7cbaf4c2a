"""Outputs that break off and calculations that did not converge are noted, and left out on request."""

import gzip

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.formats import ioformats

import zstruct
from zstruct.sources.ase.convergence import OUTPUTS
from zstruct.sources.ase.source import ASESource

# A structure that converged, one that did not, the end.
TEXTS = {
    "espresso-out": (
        "     convergence has been achieved in  10 iterations\n",
        "     convergence NOT achieved after 100 iterations: stopping\n",
        "   JOB DONE.\n",
    ),
    "aims-output": (
        "  Self-consistency cycle converged.\n",
        " * WARNING! SELF-CONSISTENCY CYCLE DID NOT CONVERGE\n",
        "          Have a nice day.\n",
    ),
    "orca-output": (
        " *  SCF CONVERGED AFTER  11 CYCLES  *\nFINAL SINGLE POINT ENERGY  -76.0\n",
        " SCF NOT CONVERGED AFTER 125 CYCLES\nFINAL SINGLE POINT ENERGY  -76.0\n",
        "                             ****ORCA TERMINATED NORMALLY****\n",
    ),
    "gaussian-out": (
        " SCF Done:  E(RHF) = -74.9  A.U. after  7 cycles\n",
        " >>>>>>>>>> Convergence criterion not met.\n SCF Done:  E(RHF) = -74.9  A.U. after 129 cycles\n",
        " Normal termination of Gaussian 16\n",
    ),
}


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """Write an output of which ASE reads some structures; return the build of it."""

    def build(text, format, n, packed=False, **options):
        def frames(*args, **kwargs):
            for k in range(n):
                atoms = Atoms("H", positions=[[0, 0, 0]])
                atoms.calc = SinglePointCalculator(atoms, energy=float(k))
                yield atoms

        monkeypatch.setattr(ase.io, "iread", frames)
        path = tmp_path / ("out.gz" if packed else "out")
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        report = zstruct.build(
            ASESource(path, format=format), tmp_path / "s.zarr", overwrite=True, progress=False, **options
        )
        return report, zstruct.open(report.path)["energy"].values.tolist()

    return build


def test_every_row_is_a_format_of_ase():
    assert set(OUTPUTS) <= set(ioformats)


@pytest.mark.parametrize("format", TEXTS)
def test_structures_that_did_not_converge(outputs, format):
    good, bad, end = TEXTS[format]
    report, energies = outputs(good + bad + good + end, format, 3)
    assert report.noted == {"unconverged": 1}
    assert energies == [0.0, 1.0, 2.0]
    report, energies = outputs(good + bad + good + end, format, 3, filters={"leave_out": ["unconverged"]})
    assert (report.noted, report.dropped) == ({}, {"unconverged": 1})
    assert energies == [0.0, 2.0]
    assert outputs(good + good + end, format, 2)[0].noted == {}


@pytest.mark.parametrize(
    ("format", "packed"),
    [
        *((format, False) for format in TEXTS),
        *(pytest.param(one, True, marks=pytest.mark.long if k else ()) for k, one in enumerate(TEXTS)),
    ],
)
def test_outputs_that_break_off(outputs, format, packed):
    good, bad, _ = TEXTS[format]
    report, _ = outputs(good + bad, format, 2, packed)
    assert report.noted == {"cut": 2, "unconverged": 1}
    assert "cut: 2 structures (the input ends before the calculation did)" in str(report)
    with pytest.raises(zstruct.InputError, match="no structure is left"):
        outputs(good, format, 1, filters={"leave_out": ["cut"]})


@pytest.mark.parametrize("format", sorted(OUTPUTS.keys() - TEXTS.keys()))
def test_programs_that_only_say_that_something_failed(outputs, format):
    words = OUTPUTS[format]
    text = f"text\n {words.bad.decode()}\n text\n {words.end.decode()}\n"
    assert outputs(text, format, 1)[0].noted == {"unconverged": 1}
    assert outputs(text, format, 2)[0].noted == {"unconverged": 2}  # which of them can't be told
    assert outputs(words.end.decode(), format, 1)[0].noted == {}
    assert outputs("text\n", format, 1)[0].noted == {"cut": 1}


def test_notes_of_many_structures_meet_their_own(outputs):
    rng = np.random.default_rng(0)
    ok = rng.random(3000) < 0.9
    text = "".join(TEXTS["orca-output"][0 if here else 1] for here in ok) + TEXTS["orca-output"][2]
    report, energies = outputs(text, "orca-output", 3000, filters={"leave_out": ["unconverged"]})
    assert energies == np.flatnonzero(ok).tolist()
    assert report.dropped == {"unconverged": int((~ok).sum())}
