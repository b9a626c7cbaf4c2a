"""Docstrings that are put together have each section once, in the order of numpydoc."""

import inspect

from zstruct.docstrings import documented


def scaled(owner, values, by, how="times"):
    """Return values scaled, of an owner.

    Parameters
    ----------
    owner
        Whose they are.
    values, by
        What to scale, and by what.

        Both are numbers.
    how
        ``"times"``.

    Returns
    -------
    float
        In the same unit.

    Raises
    ------
    ValueError
        If they are none.

    Examples
    --------
    >>> scaled(None, 1, 2)
    2
    """
    return values * by


def test_a_method_has_the_sections_of_its_function_but_for_what_it_has_not():
    class Owner:
        @documented(scaled)
        def scale(self, values, by):
            """Scale values.

            At once.

            Raises
            ------
            KeyError
                If there is no such field.
            """

    assert inspect.getdoc(Owner.scale) == (
        "Scale values.\n\nAt once.\n\n"
        "Parameters\n----------\nvalues, by\n    What to scale, and by what.\n\n    Both are numbers.\n\n"
        "Returns\n-------\nfloat\n    In the same unit.\n\n"
        "Raises\n------\nKeyError\n    If there is no such field.\n\n"
        "Examples\n--------\n>>> scaled(None, 1, 2)\n2"
    )


def test_without_parameters_in_common_there_is_no_such_section():
    class Owner:
        @documented(scaled)
        def scale(self, numbers):
            """Scale numbers."""

    assert "Parameters" not in Owner.scale.__doc__


def test_where_python_leaves_out_docstrings_nothing_is_made_up():
    def bare(values):
        pass

    assert documented(scaled)(bare).__doc__ is None
    assert documented(bare)(scaled).__doc__ == scaled.__doc__
