# Every target makes .venv when it is missing; nothing else has to be set up by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export CIFAR_SWEEPS_MAKE := 1

.DEFAULT_GOAL := help
.PHONY: help sweep test test-slow test-hydra-next faults cluster cluster-short reference check format ui clean

help:  ## say what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

sweep: $(READY)  ## train the quick-start sweep: six runs on synthetic images, a minute or two
	@$(BIN)/cifar-train study=quickstart

test: $(READY)  ## run the tests
	$(BIN)/python -m pytest

test-slow: $(READY)  ## run the tests that take long: commands pasted, launched again or killed, MLflow's page in a browser, real images
	$(BIN)/python -m pytest -m slow

# The next release of Hydra, ahead of everything else in .venv, which it shares.
NEXT := .venv-next
NEXT_READY := $(NEXT)/.ready
HYDRA_NEXT := hydra-core==1.4.0rc3 omegaconf==2.4.1rc1
HYDRA_TESTS := tests/test_hydra_support.py tests/test_hydra_composition_cache.py tests/test_hydra_overrides.py tests/config tests/cli/test_commands.py \
	tests/sweeps/test_refused_sweeps.py tests/sweeps/test_parent_run.py tests/sweeps/engines tests/sweeps/test_upgraded_sweeps.py tests/sweeps/checks \
	tests/sweeps/grid tests/sweeps/search
PURELIB := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'

$(NEXT_READY): $(READY) Makefile
	$(BIN)/python -m venv --clear --without-pip $(NEXT)
	{ pwd; $(BIN)/python $(PURELIB); } > "$$($(NEXT)/bin/python $(PURELIB))/layers.pth"
	$(BIN)/python -m pip --python $(NEXT)/bin/python install --quiet --no-deps --pre $(HYDRA_NEXT)
	@touch $@

test-hydra-next: $(NEXT_READY)  ## run the tests of composition, sweeps and refusals with the next release of Hydra
	$(NEXT)/bin/python -c 'import hydra, omegaconf; print("hydra-core", hydra.__version__, "omegaconf", omegaconf.__version__)'
	$(NEXT)/bin/python -m pytest -k 'not smoke_epoch' $(HYDRA_TESTS)

faults: $(READY)  ## inject faults into runs and sweeps, the slow ones too, then kill sweeps at random: half an hour
	$(BIN)/python -m pytest tests/faults -m ''
	$(BIN)/python -m tests.faults.campaign

cluster: $(READY)  ## sweeps on a real Slurm, Ray and PostgreSQL, as far as they are installed; it says what is missing
	$(BIN)/python -m pytest tests/cluster -m cluster --numprocesses=0 -rs

cluster-short: $(READY)  ## those of them that CI runs: a few minutes
	$(BIN)/python -m pytest tests/cluster -m cluster_short --numprocesses=0 -rs

reference: $(READY)  ## train what the documents' studies lack at their reference lengths: days; stop it and go on at any time
	nice -n 19 $(BIN)/python -m cifar_sweeps.reference

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
	rm -rf $(VENV) $(NEXT) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	if [ -d outputs ]; then find outputs -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +; fi
