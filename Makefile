PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-smoke test-fast test-slow test-versions test-python test-peer bench bench-quick docs pictures lint clean

demo: $(VENV)/installed  ## train YOLO11n on datasets/trees with the suite
	$(BIN)/yolo-callbacks demo

# One thread a worker: the trainings are too small to share among cores. With bytecode: forty processes import the
# package, which takes three times as long without.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest
PARALLEL := -n logical --maxprocesses 8 --dist worksteal
UNITS := $(addprefix tests/,decisions metrics utils state config cli test_layers.py)

test: $(VENV)/installed-dev  ## lint, all tests but the campaigns, and a few on the oldest Ultralytics
	$(MAKE) --jobs 2 --output-sync lint test-smoke
	$(PYTEST) $(PARALLEL) -m "not slow"

test-smoke: $(VENV)/installed-dev  ## a few of the tests, on the oldest Ultralytics that is supported
	PYTHONDONTWRITEBYTECODE= $(BIN)/python tests/versions.py --smoke

test-fast: $(VENV)/installed-dev  ## the unit tests that train nothing, at most 30 s on two cores
	$(PYTEST) $(PARALLEL) -m "not slow and not training and not server" $(UNITS)

test-slow: $(VENV)/installed-dev  ## the campaigns: all trainings with and without callbacks, kills, faults, all examples
	$(PYTEST) $(PARALLEL) -m "slow or hypothesis" --hypothesis-profile slow

test-versions: $(VENV)/installed-dev  ## the real trainings, on one Ultralytics after the other
	$(BIN)/python tests/versions.py $(VERSIONS)

test-python: $(VENV)/installed-dev  ## all tests on Python 3.13 and 3.14, those of Debian; needs root and debootstrap
	$(BIN)/python tests/pythons.py $(PYTHONS)

test-peer: $(VENV)/installed-dev  ## Ultralytics' own training tests without our callbacks and with them
	PYTHONPATH=$(CURDIR)/tests/slow:$(CURDIR)/tests/helpers:$(CURDIR)/datasets:$(CURDIR) $(BIN)/python -m peer.run $(PEER)

bench: $(VENV)/installed-bench  ## measure the budgets, about 20 minutes on two cores
	$(BIN)/python benchmarks/bench.py

bench-quick: $(VENV)/installed-bench  ## the same with fewer repeats, at most 4 minutes
	$(BIN)/python benchmarks/bench.py --quick

docs: $(VENV)/installed-docs  ## build/docs/index.html; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

pictures: $(VENV)/installed-dev  ## make the pictures of the README again, 4 to 8 minutes; needs Chromium
	$(BIN)/python docs/pictures/make.py

lint: $(VENV)/installed-dev  ## style, spelling and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

clean:  ## remove .venv and every other thing that make and the tools wrote
	rm -rf $(VENV) .versions .pythons .peer .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

# With an extra comes the library itself: one run of pip, not two.
$(VENV)/installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $(VENV)/installed $@
