"""Numbers in comments: what a template such as ``energy: {} ...`` finds in the text of a frame.

Many programs write an energy into the comment of a plain XYZ file, each in a form of its own, and in
units that stand elsewhere. So the user shows the form: the template is compared with the whole
comment, ``{}`` stands for the number and ``...`` for any text. Where a comment could be read in two
ways it is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from zstruct.errors import InputError
from zstruct.schema import ATOM, FIELDS
from zstruct.sources.numerals import number
from zstruct.sources.source import Raw, RawColumn

__all__ = ["CommentTemplate", "check_templates", "likely_template", "take_numbers"]

_COMMENT = "comment"
_NUMBER = (
    r"(?<![\d.])(?<![\d.][eEdD])(?<![\d.][eEdD][-+])"  # not in the middle of another
    r"([-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?|(?i:nan|inf(?:inity)?)\b))"
    r"(?![\d.]|[eEdD][-+]?\d)"
)


_ENERGY = re.compile(
    r"(?i:(?:^|(?<=[\s,;]))((?:total[\s_-]*)?energy|etot|scf(?:\s+done|\s+energy)?|e)(\s*[:=]?\s*))" + _NUMBER
)
_FIRST = re.compile(_NUMBER)


@dataclass(frozen=True)
class CommentTemplate:
    """The form in which comments hold a number.

    Parameters
    ----------
    text
        The comment with ``{}`` in place of the number, and ``...`` where there may be any text or
        none. Any white space stands for any other.

    Raises
    ------
    InputError
        If the text has not exactly one ``{}``.

    Examples
    --------
    >>> CommentTemplate("energy: {} ...").number("energy: -5.070544 gnorm: 0.000 xtb: 6.4.1")
    -5.070544
    >>> CommentTemplate("{} ...").number("-112.4234756903 converged=true")
    -112.4234756903
    """

    text: str
    _lazy: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _greedy: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.text.count("{}") != 1:
            raise InputError(
                f"{self.text!r}: a template of comments has {{}} once, where the number is, and ... where "
                "there may be any text: 'energy: {} ...'"
            )
        for name, lazy in (("_lazy", "?"), ("_greedy", "")):
            object.__setattr__(self, name, re.compile(_pattern(self.text, lazy), re.DOTALL))

    @staticmethod
    def is_meant(key: str) -> bool:
        """Whether the name of a property is a template rather than a name."""
        return "{}" in key

    def number(self, comment: str) -> float | None:
        """Return the number that a comment holds in this form; None if it has another form.

        Raises
        ------
        ValueError
            If two numbers in the comment could be meant.
        """
        first = self._lazy.fullmatch(comment.strip())
        if first is None:
            return None
        last = self._greedy.fullmatch(comment.strip())
        if last is None or last.span(1) != first.span(1):
            raise ValueError(comment)
        return number(first[1])


def _pattern(template: str, lazy: str) -> str:
    """Return a regular expression; `lazy` is what makes repetitions as short as possible, or ""."""
    pieces = []
    for piece in re.split(r"(\{\}|\s*\.\.\.\s*|\s+)", template.strip()):
        if piece == "{}":
            pieces.append(_NUMBER)
        elif piece.strip() == "...":
            pieces.append(_anything(piece[0].isspace(), piece[-1].isspace(), lazy))
        else:
            pieces.append(r"\s+" if piece.isspace() else re.escape(piece))
    return "".join(pieces)


def _anything(before: bool, after: bool, lazy: str) -> str:
    """White space beside ``...`` stands beside the text, and goes with it where there is none."""
    if before and after:
        return rf"\s(?:.*{lazy}\s)?{lazy}"
    if before:
        return rf"(?:\s.*{lazy})?{lazy}"
    return rf"(?:.*{lazy}\s)?{lazy}" if after else f".*{lazy}"


def likely_template(comment: str) -> str | None:
    """Return the form of a comment that seems to hold an energy; None if it does not.

    Examples
    --------
    >>> likely_template("Coordinates from ORCA-job water E -76.323")
    '... E {} ...'
    >>> likely_template("-12.72164"), likely_template("frame 3 of 10")
    ('{} ...', None)
    """
    comment = comment.strip()
    found = _ENERGY.search(comment)
    if found is not None:
        before = "" if found.start() == 0 else "... " if comment[found.start() - 1].isspace() else "..."
        template = f"{before}{found[1]}{found[2]}{{}}"
    else:
        found = _FIRST.match(comment)
        if found is None or "." not in found[1]:  # a whole number is a step, or a count
            return None
        template = "{}"
    rest = comment[found.end() :]
    template += "..." if rest and not rest[0].isspace() else " ..."
    try:
        return template if CommentTemplate(template).number(comment) is not None else None
    except ValueError:
        return None


def take_numbers(raw: Raw, keys: Iterable[str]) -> None:
    """Add to a block the numbers that its comments hold, under the template as a name.

    Parameters
    ----------
    raw
        The block; it gets a property for each template that fits one of its comments.
    keys
        Names of properties; those that are templates are used.
    """
    for key in filter(CommentTemplate.is_meant, keys):
        template = CommentTemplate(key)
        named = (raw.structure[name] for name in raw.structure if name.casefold() == _COMMENT)
        columns = [_numbers(column, template) for column in chain.from_iterable(named)]
        found = list(chain.from_iterable(columns))
        if found:
            raw.structure[key] = found


def _numbers(comments: RawColumn, template: CommentTemplate) -> list[RawColumn]:
    """Return the numbers of one column of comments, and the structures whose comments are not clear."""
    if comments.texts is None or comments.values.ndim != 1:
        return []
    values = np.full(len(comments.texts) + 1, np.nan)  # the last is of structures without a comment
    fits, unclear = (np.zeros(len(values), dtype=bool) for _ in range(2))
    for k, text in enumerate(comments.texts):
        try:
            value = template.number(text)
        except ValueError:
            unclear[k] = True
            continue
        if value is not None:
            values[k], fits[k] = value, True
    codes = comments.values if comments.present is None else np.where(comments.present, comments.values, -1)
    columns = [RawColumn(values[codes], fits[codes])] if fits[codes].any() else []
    for k in np.unique(codes[unclear[codes]]).tolist():
        reason = (
            f"the comment {comments.texts[k][:80]!r} has the form {template.text!r} in more than one way; "
            "write more of it in the template"
        )
        columns.append(RawColumn(values[codes], codes == k, fault=reason))
    return columns


def check_templates(keys: Iterable[tuple[str, str]]) -> None:
    """Refuse templates that are none, or are meant for properties of atoms.

    Parameters
    ----------
    keys
        Field and property of the input, pair by pair.
    """
    for name, key in keys:
        if CommentTemplate.is_meant(key):
            CommentTemplate(key)
            if name in FIELDS and FIELDS[name].level == ATOM:
                raise InputError(
                    f"keys={{{name!r}: {key!r}}}: a number in a comment is one of the structure, and {name} "
                    "belong to its atoms"
                )
