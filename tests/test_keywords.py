"""Options that belong together: short forms, signatures, and sentences about keywords that are none."""

import inspect
import pickle
from dataclasses import dataclass

import pytest

from zstruct.arguments import whole
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import as_options, keywords, takes
from zstruct.text import nearest


@keywords()
@dataclass(frozen=True)
class Window:
    """Options that belong together."""

    width: int = 1
    offset: float = 0.0

    def __post_init__(self):
        whole("width", self.width, 1)


@keywords(window=Window)
def smooth(values, *, window=None, mode="mean"):
    """Return what it was called with."""
    return values, as_options(Window, window), mode


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (None, Window()),
        (3, Window(3)),
        ({"offset": 0.5}, Window(1, 0.5)),
        (Window(2, 1.0), Window(2, 1.0)),
        ({}, Window()),
    ],
)
def test_options_that_belong_together_have_short_forms(given, made):
    assert smooth([1], window=given) == ([1], made, "mean")


def test_options_that_belong_together_check_themselves():
    for given in (0, {"width": 0}, "wide"):
        with pytest.raises(InputError, match="width is a whole number"):
            smooth([1], window=given)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"width": 3}, r"smooth has width in window: window=Window\(width=...\)"),
        ({"widht": 3}, r"smooth has no option 'widht'; is it width in window: window=Window\(width=...\)\?"),
        ({"mdoe": "sum"}, r"smooth has no option 'mdoe'; is it mode\?"),
        ({"colour": "red"}, "smooth has no option 'colour'; it has values, window, mode"),
        ({"mode": "sum", "colour": "red"}, "smooth has no option 'colour'"),
        ({"window": {"ofset": 1}}, r"Window has no option 'ofset'; is it offset\?"),
    ],
)
def test_unknown_keywords_are_sentences(options, sentence):
    with pytest.raises(ArgumentTypeError, match=f"^{sentence}"):
        smooth([1], **options)


def test_what_answers_unknown_keywords_looks_as_it_did():
    assert str(inspect.signature(smooth)) == "(values, *, window=None, mode='mean')"
    assert str(inspect.signature(Window)) == "(width: int = 1, offset: float = 0.0) -> None"
    assert smooth.__doc__ == "Return what it was called with."
    assert pickle.loads(pickle.dumps(Window(2))) == Window(2)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'values'"):
        smooth()


def test_nearest_is_no_guess():
    assert nearest("max_forces", ["max_energy", "max_force"]) == "max_force"
    assert nearest("forces", ["max_energy"]) is None


@dataclass(frozen=True)
class Limits:
    """Where a dial ends.

    Parameters
    ----------
    low
        Its lowest mark.
    high
        Its highest mark.

    Raises
    ------
    InputError
        Never.
    """

    low: float = 0.0
    high: float = 1.0


class Dial:
    @takes(Limits, {"top": "high=..."})
    def __init__(self, name, limits):
        """Make a dial.

        Parameters
        ----------
        name
            What it shows.

        Raises
        ------
        ArgumentTypeError
            If it has no such mark.
        """
        self.name, self.limits = name, limits

    @takes(Limits)
    def turned(self, limits):
        """Return it with other limits."""
        return Dial(self.name, limits.low, high=limits.high)


@pytest.mark.parametrize(
    "made", [Dial("p", 1.0, 2.0), Dial("p", 1.0, high=2.0), Dial(name="p", low=1.0, high=2.0)]
)
def test_a_method_takes_the_options_of_a_class(made):
    assert (made.name, made.limits) == ("p", Limits(1.0, 2.0))
    assert made.turned(3.0, high=4.0).limits == Limits(3.0, 4.0)


def test_signature_and_documentation_are_those_of_the_class():
    assert str(inspect.signature(Dial)) == "(name, low: float = 0.0, high: float = 1.0)"
    assert inspect.getdoc(Dial.__init__) == (
        "Make a dial.\n\nParameters\n----------\nname\n    What it shows.\nlow\n    Its lowest mark.\n"
        "high\n    Its highest mark.\n\nRaises\n------\nArgumentTypeError\n    If it has no such mark."
    )
    assert inspect.getdoc(Dial.turned) == (
        "Return it with other limits.\n\nParameters\n----------\nlow\n    Its lowest mark.\n"
        "high\n    Its highest mark."
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hihg": 1}, "Dial has no option 'hihg'; is it high?"),
        ({"top": 1}, "Dial has no option 'top'; write high=..."),
        ({"colour": 1}, "Dial has no option 'colour'; it has name, low, high"),
    ],
)
def test_unknown_keywords_of_such_methods_are_sentences(options, sentence):
    with pytest.raises(ArgumentTypeError) as caught:
        Dial("p", **options)
    assert str(caught.value) == sentence
