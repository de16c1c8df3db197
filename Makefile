# Every target makes .venv when it is missing; nothing else has to be set up by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export CIFAR_SWEEPS_MAKE := 1

.DEFAULT_GOAL := help
.PHONY: help sweep test faults check format ui clean

help:  ## say what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

sweep: $(READY)  ## train the quick-start sweep: six runs on drawn images, a minute or two
	@$(BIN)/cifar-train study=quickstart

test: $(READY)  ## run the tests
	$(BIN)/python -m pytest

faults: $(READY)  ## inject faults into runs and sweeps, the slow ones too, then kill sweeps at random: half an hour
	$(BIN)/python -m pytest tests/faults -m ''
	$(BIN)/python -m tests.faults.campaign

check: $(READY)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## put the code into its standard form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ui: $(READY)  ## serve the MLflow page of all runs on this machine
	@$(BIN)/cifar-sweeps ui

clean:  ## remove .venv, caches and outputs, but outputs/reference
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	if [ -d outputs ]; then find outputs -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +; fi
