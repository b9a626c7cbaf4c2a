"""Write ``docs/fields.md``, the table of fields, from ``zstruct/schema.py``.

    python docs/make_fields.py

A test fails when the page and the schema differ.
"""

from pathlib import Path

from zstruct.aliases import ALIASES
from zstruct.schema import FIELDS, Field

PAGE = Path(__file__).with_name("fields.md")

HEAD = """\
<!-- Written by docs/make_fields.py from zstruct/schema.py; don't edit. -->
# Fields

These are the fields with a fixed name, unit and meaning. A store has those that its inputs have. It always
has `numbers`, `positions`, `cell` and `pbc`, and where each structure came from: `source` and `frame`.

The unit system is ASE's: eV, angstrom, e, amu, and femtoseconds for velocities. `units=` converts at
import, see [building](building.md#names-and-units).

"""

TAIL = """
What the columns say:

* *dimensions*: one row per `atom` or per `structure`; `xyz` are Cartesian components, `cell_vector` the
  lattice vectors, `voigt` the components xx yy zz yz xz xy.
* *type*: in memory and in the store. Text is stored as integer codes with a table of the texts. Integers and
  booleans that some structures lack are stored as float64 with NaN.
* *rotates as*: what happens to it when the structure is rotated. `rows` are vectors row by row, `rank2` is a
  3x3 tensor, `voigt` a symmetric tensor in six components.
* *also read as*: other names under which inputs may bring it, in any case, as may its own. The same name can
  mean different fields of atoms and of structures (`charge`).

A `virial` W of a structure with a volume V becomes the stress -W/V; if there is a stress, it must be that.

Any other property of the input is kept under its own name. Its dimensions follow from its shape: one value,
three (a vector), 3x3 (a tensor), or any other number of components. Names that Zarr or xarray can't carry
are changed, and the original is in the attribute `original_name`. Names that are taken get the prefix
`input_`.
"""


def table() -> str:
    """Return the field table in Markdown."""
    lines = [
        "| name | dimensions | type | unit | rotates as | what it is | also read as |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(row(field)) + " |" for field in FIELDS.values()]
    return "\n".join(lines) + "\n"


def row(field: Field) -> list[str]:
    """Return the cells of one field."""
    return [
        f"`{field.name}`",
        ", ".join(field.dims),
        "text" if field.kind == "category" else field.dtype,
        field.unit,
        "-" if field.rotates == "none" else field.rotates,
        field.description + ("; a vector for each also fits" if field.or_vector else ""),
        ", ".join(f"`{alias}`" for alias in ALIASES.get(field.name, ())),
    ]


def page() -> str:
    """Return the whole page."""
    return HEAD + table() + TAIL


if __name__ == "__main__":
    PAGE.write_text(page())
