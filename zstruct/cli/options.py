"""Options of commands, made from the functions that they call.

Which options there are, the signature of the function says; what each is for, its docstring; what it takes,
`zstruct.arguments.OPTIONS`. Here is only how one is written in a shell, where that is more than its name.
What is not given is not passed on, so that defaults are those of the function.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from zstruct.arguments import OPTIONS
from zstruct.cli.values import criteria, numbers, pairs, part, rows, sampling, settings, units

__all__ = ["Command", "add_labels", "add_options", "described", "given"]


class Command(argparse.ArgumentParser):
    """A command whose options are made when it is called: nothing is imported for the others.

    Parameters
    ----------
    *args
        As for `argparse.ArgumentParser`.
    options
        Called with the command; adds its options.
    **kwargs
        As for `argparse.ArgumentParser`.
    """

    def __init__(self, *args: Any, options: Callable[[Command], None] | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._options = options

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Add the options, once, and parse."""
        if self._options is not None:
            add, self._options = self._options, None
            add(self)
        return super().parse_known_args(args, namespace)


@dataclass(frozen=True)
class _Form:
    """How an option is written in a shell.

    Parameters
    ----------
    metavar
        What stands for the value in the help.
    flag
        The option; by default its name in Python.
    read
        Makes the value of the text, or of all texts if it is repeated.
    repeated
        Whether it may be given again and again.
    late
        Whether the value is made when the command runs, so that what is wrong with it is a sentence.
    example
        Of a value, for the help.
    choices
        The texts that it takes, if these are few.
    """

    metavar: str | None = None
    flag: str | None = None
    read: Callable[[Any], Any] | None = None
    repeated: bool = False
    late: bool = False
    example: str | None = None
    choices: Collection[str] | None = None


def _repeated(metavar: str, flag: str, read: Callable[[str, list[str]], Any], example: str) -> _Form:
    return _Form(metavar, flag, lambda texts: read(flag, texts), repeated=True, example=example)


_FORMS = {
    "keys": _repeated("FIELD=NAME", "--key", pairs, "energy=E_dft or 'energy=energy: {} ...'"),
    "units": _repeated("WHAT=UNIT", "--unit", units, "energy=kcal/mol, or a system, as in atomic"),
    "elements": _repeated("TYPE=SYMBOL", "--element", pairs, "1=Ti"),
    "atomic_energies": _repeated("SYMBOL=EV", "--atomic-energy", numbers, "H=-13.6"),
    "storage_options": _repeated("NAME=VALUE", "--storage-option", settings, "anon=true"),
    "exclude": _Form("NAME", read=list, repeated=True),
    "fields": _Form("NAME", "--field", read=list, repeated=True),
    "format": _Form("NAME"),
    "with_split": _Form("NAME"),
    "leave_out": _Form(read=list, repeated=True, choices=("unconverged", "cut", "predicted")),
    "level": _Form(choices=("atom", "structure", "row")),
    "feature_names": _Form("A,B,C", read=lambda text: text.split(",")),
    "dtype": _Form(choices=("float32", "float64")),
    "method": _Form(choices=("pca", "umap")),
    "kinds": _Form("A,B,C", read=lambda text: text.split(",")),
    "workers": _Form("N", read=int),
    "max_atoms": _Form("N", read=int),
    "worst": _Form("N", read=int),
    "limit": _Form("N", read=int),
    "n": _Form("N", read=int),
    "most": _Form("N", read=int),
    "features": _Form("NAME"),
    "split": _Form("[NAME/]LABEL", read=part),
    "sample": _Form("HOW:N:FEATURES[:OPTION=VALUE]", read=sampling, late=True, example="farthest:1000:cheb"),
    "by": _Form("FIELD"),
    "stratify": _Form("FIELD,...", read=criteria),
    "labels": _Form("A,B,C", read=lambda text: text.split(",")),
    "select": _Form("EXPRESSION"),
    "references": _Form("NAME"),
    "encoding": _Form(choices=("decimal", "plain")),
    "chunks": _Form("N or atom=N,...", read=rows),
}
_NO = {"progress": "--quiet"}  # flags that say no, if not by "--no-"


def add_options(
    parser: argparse.ArgumentParser,
    function: Any,
    *,
    only: Collection[str] | None = None,
    omit: Collection[str] = (),
) -> None:
    """Add what a function, or a class of options, takes and has a default for.

    Parameters
    ----------
    parser
        The command.
    function
        What it calls.
    only
        The options to add; by default all.
    omit
        Options that can't be typed, or that the command writes in another way.
    """
    sentences = described(function)
    for name, parameter in inspect.signature(function).parameters.items():
        wanted = (only is None or name in only) and name not in omit
        if parameter.default is not parameter.empty and wanted:
            _add(parser, name, parameter.default, _first_sentence(sentences.get(name, "")))


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which labels are taken in place of the store's own."""
    parser.add_argument(
        "--labels",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="labels to take in place of the store's own",
    )


def given(arguments: argparse.Namespace, function: Any) -> dict[str, Any]:
    """Return the options of a function that were typed, by name."""
    found = {}
    for name in inspect.signature(function).parameters:
        form = _FORMS.get(name, _Form())
        if name in arguments:
            value = getattr(arguments, name)
            later = form.read if form.repeated or form.late else None
            found[name] = value if later is None else later(value)
    return found


def described(documented: Any) -> dict[str, str]:
    """Return what the docstring of a function or class says of each parameter.

    Examples
    --------
    >>> described(zip), list(described(add_options))
    ({}, ['parser', 'function', 'only', 'omit'])
    """
    doc = inspect.cleandoc(documented.__doc__ or "")  # there is none under python -OO
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", doc, re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    for entry in re.split(r"^(?=\S)", section[1] if section else "", flags=re.MULTILINE):
        names, _, text = entry.partition("\n")
        for name in names.partition(":")[0].split(","):
            if name.strip():
                found[name.strip().lstrip("*")] = inspect.cleandoc(text)
    return found


def _add(parser: argparse.ArgumentParser, name: str, default: Any, says: str) -> None:
    form, option = _FORMS.get(name, _Form()), OPTIONS.get(name)
    flag = form.flag or f"--{name.replace('_', '-')}"
    common: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
    if isinstance(default, bool):
        says_no = default or name in _NO
        says = re.sub("^whether to ", "don't " if says_no else "", says).removeprefix("whether ")
        if says_no:
            flag = _NO.get(name, flag.replace("--", "--no-", 1))
        parser.add_argument(flag, action="store_const", const=not says_no, help=says, **common)
        return
    remarks = [f"as in {form.example}"] if form.example else []
    remarks += ["repeatable"] if form.repeated else []
    read: Any = (
        (option.read if option else str) if form.read is None or form.repeated or form.late else form.read
    )
    choices = form.choices or (option.choices if option else None) or None
    parser.add_argument(
        flag,
        action="append" if form.repeated else "store",
        type=read,
        choices=choices,
        metavar=None if choices else form.metavar or {int: "N", float: "X"}.get(read),
        help=says + (f" ({'; '.join(remarks)})" if remarks else ""),
        **common,
    )


def _first_sentence(text: str) -> str:
    """Return what a description begins with, as helps of commands are written."""
    first = re.split(r"(?<=[^.])\.\s+(?=[A-Z`\"(])|:?\n\n", text, maxsplit=1)[0]
    plain = " ".join(first.replace("`", "").rstrip(".").split()).replace("%", "%%")
    return plain[:1].lower() + plain[1:]
