"""The lowest versions that pyproject.toml allows, as pip takes them: ``python tests/lowest.py``.

Needs Python alone, since it says what an environment is made of.
"""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
_BOUND = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,.-]+\])?>=(?P<version>[\d.]+)")


def lowest_versions(path: Path = PYPROJECT) -> dict[str, str]:
    """Return the lower bound of every direct dependency that has one.

    Raises
    ------
    ValueError
        If what every user installs has no lower bound, or another kind of bound.
    """
    project = tomllib.loads(path.read_text())["project"]
    found = {}
    for requirement in project["dependencies"]:
        bound = _BOUND.fullmatch(requirement)
        if bound is None:
            raise ValueError(f"{path}: {requirement!r} has to be NAME>=VERSION")
        found[bound["name"]] = bound["version"]
    for extra in project["optional-dependencies"].values():
        for bound in filter(None, map(_BOUND.fullmatch, extra)):
            if found.setdefault(bound["name"], bound["version"]) != bound["version"]:
                raise ValueError(f"{path}: {bound['name']} has two lower bounds")
    return found


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in lowest_versions().items()))
