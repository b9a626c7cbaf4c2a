import re
from pathlib import Path

import pytest

from tests.lowest import PYPROJECT, lowest_versions

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def pyproject(tmp_path):
    def written(dependencies, extras="{}"):
        path = tmp_path / "pyproject.toml"
        path.write_text(f"[project]\ndependencies = {dependencies}\noptional-dependencies = {extras}\n")
        return path

    return written


def test_bounds_of_dependencies_and_extras(pyproject):
    path = pyproject(
        ["zarr>=3.1.2", "dask[array]>=2025.1"], '{s3 = ["s3fs>=2025.2", "moto"], test = ["pytest>=8"]}'
    )

    assert lowest_versions(path) == {"zarr": "3.1.2", "dask": "2025.1", "s3fs": "2025.2", "pytest": "8"}


@pytest.mark.parametrize(
    "requirement", ["zarr", "zarr~=3.1", "zarr>=3.1,<4", "zarr>=3; python_version<'3.12'"]
)
def test_a_dependency_without_a_plain_lower_bound_is_refused(pyproject, requirement):
    with pytest.raises(ValueError, match="has to be NAME>=VERSION"):
        lowest_versions(pyproject([requirement]))


def test_two_bounds_are_refused(pyproject):
    path = pyproject(["dask>=2025.1"], '{distributed = ["dask>=2026.1"]}')

    with pytest.raises(ValueError, match="dask has two lower bounds"):
        lowest_versions(path)


def test_the_lowest_versions_in_the_readme_are_the_bounds():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in README.read_text().splitlines()]
    names, versions = (
        next(row for row in rows if row[:2] == begin) for begin in (["", "Python"], ["lowest", "3.11"])
    )
    said = dict(zip(names[2:-1], versions[2:-1], strict=True))
    bounds = lowest_versions()

    assert said == {name: bounds[name] for name in said}
    assert len(said) >= 9
    assert re.search(r'requires-python = ">=(.*)"', PYPROJECT.read_text())[1] == versions[1]
