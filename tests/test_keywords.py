"""Options that belong together: short forms, signatures, and sentences about keywords that are none."""

import inspect
import pickle
import types
from dataclasses import KW_ONLY, dataclass

import ase.build
import pytest

import zstruct
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


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How something is marked.

    Parameters
    ----------
    color
        Of the mark.
    """

    color: str = "red"


@dataclass(frozen=True)
class Sheet(Mark):
    """Something to be marked.

    Parameters
    ----------
    name
        What it is called.
    size
        Its width.
    """

    name: str
    _: KW_ONLY
    size: float = 1.0


@takes(Sheet)
def marked(sheet):
    """Return what is to be marked, and how."""
    return sheet


@pytest.mark.parametrize(
    "made", [Dial("p", 1.0, 2.0), Dial("p", 1.0, high=2.0), Dial(name="p", low=1.0, high=2.0)]
)
def test_a_method_takes_the_options_of_a_class(made):
    assert (made.name, made.limits) == ("p", Limits(1.0, 2.0))
    assert made.turned(3.0, high=4.0).limits == Limits(3.0, 4.0)


def test_a_function_takes_all_that_it_has_from_a_class_whose_own_options_come_first():
    assert marked("p", color="blue") == marked(color="blue", name="p") == Sheet("p", color="blue")
    assert str(inspect.signature(marked)) == "(name: str, *, size: float = 1.0, color: str = 'red')"
    assert inspect.getdoc(marked) == (
        "Return what is to be marked, and how.\n\nParameters\n----------\nname\n    What it is called.\n"
        "size\n    Its width.\ncolor\n    Of the mark."
    )
    for call, sentence in (
        (lambda: marked(), "marked needs name"),
        (lambda: marked("p", 2.0), "marked takes name by place; give size, color by name"),
        (lambda: marked("p", colour="blue"), "marked has no option 'colour'; is it color?"),
    ):
        with pytest.raises(ArgumentTypeError, match=sentence):
            call()


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


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: smooth(), "smooth needs values"),
        (lambda: smooth([1], 2), "smooth takes values by place; give window, mode by name"),
        (lambda: smooth([1], values=[2]), "smooth is given values twice, by place and name"),
        (lambda: Window(1, 2.0, 3), "Window takes width, offset by place"),
        (lambda: Narrow(widht=1), "Narrow has no option 'widht'; is it width?"),
        (lambda: Dial(), "Dial needs name"),
        (lambda: Dial("p").turned(1.0, 2.0, 3.0), "turned takes low, high by place"),
        (
            lambda: Dial("p").turned(Limits(), high=1.0),
            "turned takes Limits(...) alone: put all in it",
        ),
        (lambda: smoothed([1], wide=True), "smoothed has no option 'wide'; write width=5"),
        (lambda: smoothed([1], wyde=True), "smoothed has no option 'wyde'; write width=5"),
        (lambda: nothing(1), "nothing takes nothing by place"),
        (lambda: nothing(colour=1), "nothing has no option 'colour'; it has none"),
    ],
)
def test_calls_that_do_not_fit_are_sentences(call, sentence):
    with pytest.raises(ArgumentTypeError) as caught:
        call()
    assert str(caught.value) == sentence
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


class Narrow(Window):
    """A class takes its sentences from the one that it is made of, but its name is its own."""


@keywords({"wide": "width=5"})
def smoothed(values, *, width=1, fold=None):
    return [width, *map(fold, values)]


@keywords()
def nothing():
    """Take nothing."""


def test_errors_of_what_was_called_stay_as_they_are():
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        smoothed([1], fold=lambda value: value + "a")
    assert type(caught.value) is TypeError


def test_a_method_takes_the_object_of_its_options():
    assert Dial("p", Limits(1.0, 2.0)).limits == Dial("p", low=Limits(1.0, 2.0)).limits == Limits(1.0, 2.0)


# What zstruct makes and nobody else; what others write; what is called too often to pay for a sentence.
MADE = {
    "AppendReport",
    "BuildReport",
    "DropReport",
    "Duplicates",
    "FeaturizeReport",
    "Frame",
    "History",
    "IndexReport",
    "Leaks",
    "Listing",
    "LiveReport",
    "Statistics",
    "features.AddReport",
    "features.FeatureGroup",
    "features.Neighbors",
    "features.PairDerivatives",
    "loading.PackedBatch",
    "ExportReport",
    "Outliers",
    "PeekReport",
    "ProjectReport",
    "Report",
    "RewriteReport",
    "exporters.Block",
    "exporters.Contents",
    "exporters.Entry",
    "exporters.ExportReport",
    "loading.Sample",
    "stats.Magnitudes",
    "Comparison",
    "LabelReport",
    "labels.Labels",
    "stats.Moments",
    "stats.Species",
    "stats.Statistics",
}
BASES = {
    "exporters.Exporter",
    "exporters.TextExporter",
    "features.Descriptor",
    "sources.Source",
    "transforms.Transform",
}
ANY = {"labels.add", "sources.arrays"}  # arrays by any name
HOT = {"take"}
RUNNERS = (
    zstruct.build,
    zstruct.featurize,
    zstruct.statistics,
    zstruct.fit_references,
    zstruct.isolated_references,
)


def public(module, prefix=""):
    """Return what users call by its name in a package, with that of the modules in it."""
    found = {}
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            if hasattr(value, "__all__"):
                found |= public(value, f"{prefix}{name}.")
        elif callable(value) and not (isinstance(value, type) and issubclass(value, Exception)):
            found[prefix + name] = value
    return found


def test_every_public_function_and_class_answers_unknown_keywords_by_a_sentence():
    pytest.importorskip("torch")
    found = public(zstruct)
    assert {*MADE, *BASES, *ANY} <= found.keys()
    assert {"open", "features.Chebyshev", "layouts.mace", "loading.Edges", "transforms.Wrap"} <= found.keys()
    without = []
    for name in sorted(found.keys() - MADE - BASES - ANY):
        try:
            found[name](colour="red")
        except ArgumentTypeError as error:
            if "has no option 'colour'" not in str(error):
                without.append(f"{name}: {error}")
        except TypeError as error:
            without.append(f"{name}: {error}")
    assert not without


def test_every_method_of_what_users_have_answers_unknown_keywords_by_a_sentence(tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "s.zarr"
    zstruct.build([ase.build.molecule("H2O")], path, progress=False)
    without, seen = [], set()
    for owner in (zstruct.ZarrStructureDataset(path), zstruct.StructureReader(path), zstruct.open(path).zs):
        kinds = [kind for kind in type(owner).__mro__ if kind.__module__.startswith("zstruct.")]
        for name in sorted({name for kind in kinds for name in vars(kind)} - HOT):
            if name.startswith("_") or not inspect.isroutine(inspect.getattr_static(owner, name)):
                continue
            seen.add(name)
            try:
                getattr(owner, name)(colour="red")
            except ArgumentTypeError as error:
                if "has no option 'colour'" not in str(error):
                    without.append(f"{name}: {error}")
            except TypeError as error:
                without.append(f"{name}: {error}")
    assert not without
    assert {"loader", "loss", "batches", "select", "with_forces", "get_statistics", "to_ase"} <= seen


@pytest.mark.parametrize(
    ("call", "given", "instead"),
    [
        (zstruct.build, "seed", "encoding=Encoding(shuffle_seed=...)"),
        *((function, "n_workers", "workers=...") for function in RUNNERS),
        *((function, "client", "workers=client") for function in RUNNERS),
        (zstruct.StructureReader, "cache_bytes", "cache=Cache(bytes=...)"),
        (zstruct.StructureReader, "cache_byte", "cache=Cache(bytes=...)"),
        (zstruct.loading.Recipe, "edges", "neighbors=Edges(cutoff, carry=...)"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_keywords_that_there_were_once_are_sentences(call, given, instead):
    with pytest.raises(ArgumentTypeError) as caught:
        call(**{given: 1})
    assert str(caught.value) == f"{call.__name__} has no option {given!r}; write {instead}"
