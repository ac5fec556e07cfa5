# Two commands matter on a new machine: `make demo` and `make test`. Both set up what they need first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
# One process a core: the libraries' own threads would fight over two cores.
# uv is many times faster than pip on packages of this size; the machine's own certificates are trusted, as pip does.
UV       := UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 $(BIN)/uv pip install --quiet --python $(BIN)/python
# The tests start hundreds of processes: what they import is compiled once, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest
# For one's own loop: the packages whose tests are quick, and of the others what is broken most easily.
FAST := tests/schema tests/graph tests/plan tests/run tests/devices tests/footprints tests/inputs tests/stream tests/docs/test_pages.py \
	tests/cli/test_pages.py tests/nodes/ultrastar tests/nodes/test_wav.py

.PHONY: help setup demo test test-fast test-pythons check coverage mutants lint hooks bench clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(STAMP)  ## an environment in .venv with the command .venv/bin/headroom

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Headroom needs Python 3.11 or newer; this is %d.%d. Set PYTHON=/path/to/python3.11." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) -r requirements.txt || $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(UV) --no-deps -e . || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $(STAMP)

demo: $(STAMP)   ## make a song, turn it into a song file, show both
	$(BIN)/headroom sample --out outputs/sample
	$(BIN)/headroom run pipeline=ultrasinger input=outputs/sample/song.wav lyrics=outputs/sample/lyrics.txt

test: $(STAMP) lint  ## style, types, layers and every test (about 10 minutes on two cores)
	$(PYTEST) -n 2 --dist loadfile

test-fast: $(STAMP)  ## the tests that are not marked slow (about 5 minutes)
	$(PYTEST) -n 2 --dist loadfile -m "not slow"

check: $(STAMP) lint  ## the same style and types, the fast tests and a thin slice of the rest (about a minute)
	$(PYTEST) -q -m "not slow" $(FAST)

test-pythons:    ## `make check` on every Python from 3.11 to 3.13 that is on this machine
	.ci/test-pythons

coverage: $(STAMP)  ## which lines the tests do not reach (the fast ones; SLOW=1 for all), in full under build/coverage
	$(PYTEST) -q --cov --cov-report=term:skip-covered --cov-report=html $(if $(SLOW),,-m "not slow")

mutants: $(STAMP)  ## how many small changes of the planner and the memory packages no test notices (hours)
	for package in plan devices footprints run; do nice $(BIN)/python -m benchmarks.mutants --package $$package || exit 1; done

lint: $(STAMP)   ## style, types, layers, and nothing that nothing uses
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/vulture

hooks: $(STAMP)  ## do `make lint` before each commit
	$(BIN)/pre-commit install

bench: $(STAMP)  ## remake every figure of docs/figures.md (some hours on two cores)
	$(BIN)/python -m benchmarks

clean:           ## remove caches; runs and the environment stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build *.egg-info
