"""What a source notes of structures: counted in the report, and left out if asked for."""

import numpy as np
import pytest

import zstruct
from zstruct import cli
from zstruct.errors import InputError
from zstruct.sources import FileSource, Raw, RawColumn


class Noting(FileSource):
    """Six structures of one atom; 1 and 2 are unconverged, 2 and 5 cut off, 3 has no number."""

    runs_in = "threads"

    def read(self, piece):
        for first in (0, 3):
            raw = Raw(np.arange(first, first + 3), np.ones(3, dtype=np.int64))
            raw.atom["numbers"] = [RawColumn(np.full(3, 1, dtype=np.uint8))]
            raw.atom["positions"] = [RawColumn(np.zeros((3, 3)))]
            raw.structure["energy"] = [RawColumn(-1.0 - np.arange(first, first + 3))]
            raw.structure["bias"] = [RawColumn(np.zeros(3), raw.frames == 3, fault="it has no number")]
            raw.notes["unconverged"] = np.isin(raw.frames, [1, 2])
            raw.notes["cut"] = np.isin(raw.frames, [2, 5])
            yield raw


@pytest.fixture
def build(tmp_path):
    (tmp_path / "in").write_text("x")

    def run(**options):
        target = tmp_path / f"{len(list(tmp_path.iterdir()))}.zarr"
        options = {"on_error": "skip", "progress": False} | options
        report = zstruct.build(Noting(tmp_path / "in"), target, **options)
        return report, zstruct.open(target)["energy"].values.tolist()

    return run


def test_notes_are_counted(build, capsys):
    report, energies = build()
    assert energies == [-1.0, -2.0, -3.0, -5.0, -6.0]
    assert report.noted == {"cut": 2, "unconverged": 2}
    assert report.dropped == {}
    assert cli.main(["info", report.path]) == 0
    told = capsys.readouterr().out
    assert "unconverged: 2 structures" in told
    assert "cut: 2 structures" in told
    text = str(report)
    assert "unconverged: 2 structures (the calculation did not converge); filters=" in text
    assert "cut: 2 structures (the input ends before the calculation did); filters=" in text
    assert "filters={'leave_out': ['cut']} leaves them out" in text


def test_only_what_is_in_the_store_is_counted(build):
    report, energies = build(filters=lambda frame: frame["energy"] > -2.5)
    assert energies == [-1.0, -2.0]
    assert report.noted == {"unconverged": 1}


def test_notes_leave_out(build):
    report, energies = build(filters={"leave_out": ["unconverged"]})
    assert energies == [-1.0, -5.0, -6.0]
    assert report.dropped == {"unconverged": 2}
    assert report.noted == {"cut": 1}
    report, energies = build(filters={"leave_out": ("cut", "unconverged")})
    assert energies == [-1.0, -5.0]
    assert report.dropped == {"cut": 2, "unconverged": 1}
    assert report.noted == {}


@pytest.mark.parametrize(
    ("leave_out", "reason"),
    [
        (["nothing"], "there is nothing called 'nothing'; known are 'unconverged' and 'cut'"),
        ("cut", r"leave_out is a list of names: write leave_out=\['cut'\]"),
        (5, "leave_out is a list of names"),
        ([None], "leave_out is a list of names"),
        ([["cut"]], "leave_out is a list of names"),
    ],
)
def test_notes_that_do_not_exist(build, leave_out, reason):
    with pytest.raises((InputError, TypeError), match=reason):
        build(filters={"leave_out": leave_out})
