# The two commands a newcomer needs: make demo, make test. Both create .venv and install into it.

PYTHON ?= python3.11
NEWEST_PYTHON ?= python3.13
VENV := .venv
BIN := $(VENV)/bin
# Bytecode is made when something is imported, and kept: for all that is installed it takes as long as the rest.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := pip --disable-pip-version-check install --quiet --no-compile
PIP := $(BIN)/$(INSTALL) --constraint constraints.txt
PYTEST := -m pytest --numprocesses auto --dist worksteal
PRECOMPILE := -m tests.precompile

LOWEST := .venv-lowest
NEWEST := .venv-newest-$(notdir $(PYTHON))

# Pip of Python 3.11 takes three times as long as its newest to find versions that go together.
# pyenv lets a Python that is not its default be called only where its version is asked for.
MAKE_VENV := PYENV_VERSION=$${PYENV_VERSION-$(patsubst python%,%,$(notdir $(PYTHON)))} $(PYTHON) -m venv --upgrade-deps

.PHONY: demo test test-one test-all test-long test-lowest test-newest lint bench docs web clean

demo: $(VENV)/.demo
	$(BIN)/python notebooks/demo.py

test: $(VENV)/.dev
	$(BIN)/python $(PRECOMPILE)
	$(BIN)/python $(PYTEST)

# The tests of one module, and its examples: make test-one MODULE=store/shards
test-one: $(VENV)/.dev
	$(BIN)/python -m pytest $$($(BIN)/python tests/mirror.py $(MODULE))

# All that make test runs and what takes long, then the same without torch on the lowest and the newest versions.
test-all: test-long
	$(MAKE) test-lowest
	$(MAKE) test-newest PYTHON=$(NEWEST_PYTHON)

test-long: $(VENV)/.dev
	$(BIN)/python $(PRECOMPILE)
	$(BIN)/python $(PYTEST) --long

test-lowest: $(LOWEST)/.test
	$(LOWEST)/bin/python $(PRECOMPILE)
	$(LOWEST)/bin/python $(PYTEST)

test-newest: $(NEWEST)/bin/python
	$(NEWEST)/bin/$(INSTALL) --upgrade --upgrade-strategy eager --editable '.[test]'
	$(NEWEST)/bin/python $(PRECOMPILE)
	$(NEWEST)/bin/python $(PYTEST)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python docs/check_docstrings.py

bench: $(VENV)/.bench
	$(BIN)/python -m tests.benchmarks $(BENCH)

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going docs docs/_build

# What pages have of others' JavaScript, with licences beside it; needs node and npm.
web:
	npm --prefix docs/zarrita ci --ignore-scripts --no-audit --no-fund
	npm --prefix docs/zarrita run build

$(VENV)/bin/python $(NEWEST)/bin/python:
	$(MAKE_VENV) $(@D:/bin=)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[torch,notebook]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[dev]'
	touch $@

$(LOWEST)/.test: pyproject.toml tests/lowest.py
	$(MAKE_VENV) --clear $(LOWEST)
	$(LOWEST)/bin/python tests/lowest.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/$(INSTALL) --constraint $(LOWEST)/constraints.txt --editable '.[test]'
	touch $@

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[bench]'
	touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) .venv-* demo docs/_build docs/notebooks .pytest_cache .mypy_cache .ruff_cache
