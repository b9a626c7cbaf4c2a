"""Options of commands follow the functions that they call."""

import inspect
import re

import pytest

import zstruct
from zstruct.arguments import OPTIONS
from zstruct.cli.options import Command, add_options, described, given
from zstruct.errors import InputError


def simulate(
    path,
    cutoff=5.0,
    *,
    seed=0,
    max_force=None,
    on_error="raise",
    keys=None,
    exclude=(),
    split=None,
    overwrite=False,
    resume=True,
    progress=False,
    where=None,
):
    """Run.

    Parameters
    ----------
    path
        Of the input.
    cutoff, seed
        Numbers, 100% exact. Of atoms.
    max_force : float
        Largest force, in eV/angstrom (``"Ti"``, ...): by default any.
    on_error, keys, exclude, split, where
        As for `zstruct.build`.
    overwrite
        Whether a store may be replaced; it stays until then.
    resume
        Whether to go on.
    progress
        Whether to show a bar.

    Returns
    -------
    None
        Nothing.
    """


@pytest.fixture
def command():
    command = Command(prog="zstruct")
    command.add_argument("path")
    add_options(command, simulate, omit=("where",))
    return command


def test_what_is_not_typed_is_not_passed_on(command):
    assert given(command.parse_args(["a.xyz"]), simulate) == {"path": "a.xyz"}


def test_values_are_what_the_function_takes(command):
    typed = ["a.xyz", "--seed=3", "--max-force=2", "--on-error=skip", "--key=energy=E", "--key=forces=F"]
    typed += ["--exclude=a", "--exclude=b", "--split=folds/train", "--overwrite", "--no-resume", "--quiet"]
    assert given(command.parse_args(typed), simulate) == {
        "path": "a.xyz",
        "seed": 3,
        "max_force": 2.0,
        "on_error": "skip",
        "keys": {"energy": "E", "forces": "F"},
        "exclude": ["a", "b"],
        "split": ("folds", "train"),
        "overwrite": True,
        "resume": False,
        "progress": False,
    }


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--seed=x"], "argument --seed: invalid int value: 'x'"),
        (["--max-force=x"], "argument --max-force: invalid float value: 'x'"),
        (["--on-error=stop"], r"argument --on-error: invalid choice: 'stop' \(choose from '?raise'?, "),
        (["--where=x"], "unrecognized arguments: --where=x"),
    ],
)
def test_what_can_not_be_understood(command, typed, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.parse_args(["a.xyz", *typed])
    assert re.search(message, capsys.readouterr().err)


def test_pairs_are_pairs(command):
    with pytest.raises(InputError, match="--key energy: write it as NAME=VALUE"):
        given(command.parse_args(["a.xyz", "--key=energy"]), simulate)


def test_the_help_is_of_the_docstring(command):
    said = " ".join(command.format_help().split())
    assert "--seed N numbers, 100% exact --max-force X largest force, in eV/angstrom" in said
    assert '("Ti", ...): by default any --on-error' in said
    assert "--overwrite a store may be replaced; it stays until then --no-resume don't go on" in said
    assert "--quiet don't show a bar" in said


def test_options_are_made_when_a_command_is_called():
    made = []
    command = Command(prog="zstruct", options=lambda command: made.append(command))
    assert made == []
    command.parse_args([])
    command.parse_args([])
    assert made == [command]


def test_descriptions_are_by_name():
    assert sorted(described(simulate)) == sorted(inspect.signature(simulate).parameters)
    assert described(simulate)["seed"] == "Numbers, 100% exact. Of atoms."
    assert described(len) == {}


def test_limits_of_forces_are_numbers_and_flags_are_flags():
    assert OPTIONS["max_force"].read("2") == 2.0
    assert OPTIONS["on_error"].choices == ("raise", "skip")
    assert OPTIONS["only"].choices == ("forces",)


def test_every_option_of_build_can_be_typed_but_the_function(capsys):
    from zstruct.cli import main

    with pytest.raises(SystemExit):
        main(["build", "--help"])
    shown = capsys.readouterr().out
    takes = [*described(zstruct.build), *described(zstruct.Filters), *described(zstruct.Encoding)]
    other = {
        "keys": "--key",
        "units": "--unit",
        "elements": "--element",
        "storage_options": "--storage-option",
        "atomic_energies": "--atomic-energy",
        "resume": "--no-resume",
        "progress": "--quiet",
    }
    not_typed = {"paths", "out", "filters", "encoding", "where"}
    for name in set(takes) - not_typed:
        assert f"  {other.get(name, '--' + name.replace('_', '-'))}" in shown
