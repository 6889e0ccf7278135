# Two commands do everything: `make up` runs the house, `make test` passes the tests.
# Needs Python 3.11 or newer and GNU make, nothing else. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CAIWUTONG := $(BIN)/caiwutong
DONE := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup up demo test check bench bench-routing simulate format lock clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DONE)  ## Make .venv with everything pinned by hash, and .venv/bin/caiwutong

$(DONE): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Caiwutong needs Python 3.11 or newer: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

up: setup  ## Start everything and print one curl that makes a payment (Ctrl-C stops)
	@exec $(CAIWUTONG) up

demo: setup  ## A month of a group of 37 units: 20,000 transfers, faults on; prints the proof
	$(CAIWUTONG) demo

check: setup  ## Linters, types, import contracts
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

test: setup check  ## Run all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -q
	$(CAIWUTONG) simulate --seeds 500

bench: setup  ## Intake, ledger and life cycle beside pgbench in the same run
	$(CAIWUTONG) bench intake ledger lifecycle

bench-routing: setup  ## A simulated month of routing beside its baselines and an oracle (SEED=1)
	$(CAIWUTONG) bench routing --seed $(or $(SEED),1)

simulate: setup  ## The engine under virtual time and faults (SEEDS=500)
	$(CAIWUTONG) simulate --seeds $(or $(SEEDS),500)

format: setup  ## Format the code
	$(BIN)/ruff check --fix src tests
	$(BIN)/ruff format src tests

lock: setup  ## Compile requirements.lock anew (needs uv)
	uv pip compile --universal --generate-hashes --no-header --no-annotate --extra dev \
		--python-version 3.11 --no-emit-index-url pyproject.toml -o requirements.lock

clean:  ## Remove the virtual environment and the data of `make up` in this folder
	rm -rf $(VENV)
	@echo "The data folder is kept: remove ./data yourself if you mean it."
