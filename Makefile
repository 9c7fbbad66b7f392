# Everything a person or a machine does with this project. `make` alone lists the targets.

VENV ?= .venv
BIN := $(VENV)/bin
# Apart, because the tests say what happens where the Flyte SDK is not installed.
BENCH := $(VENV)-bench
PIP := python -m pip install --quiet --disable-pip-version-check --prefer-binary
# This environment's own Node and jlpm, whatever else the machine has.
JLPM := cd labextension && PATH="$(abspath $(BIN)):$$PATH" YARN_ENABLE_TELEMETRY=0 NODE_USE_SYSTEM_CA=1 jlpm
FRONTEND := $(shell find labextension -type f -not -path '*/node_modules/*' -not -path '*/lib/*' -not -path '*/tests/*' -not -path '*/__pycache__/*' -not -name '*.tsbuildinfo')
PYTEST := $(BIN)/python -m pytest

.PHONY: help demo lab test test-kernels test-python test-crash test-cancel test-older-ipykernel test-notebooks test-frontend test-browser soak bench profile lint lint-python lint-frontend format notebooks screenshots clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- environments: a stamp file says what has been installed from which pyproject.toml and sources --------------------

$(VENV)/bin/python $(BENCH)/bin/python:
	@set -e; \
	for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "This needs Python 3.11 or newer on PATH; python3 here is: $$(python3 --version 2>&1)" >&2; exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' >/dev/null 2>&1; then \
		echo "$$found cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "Making $(@:/bin/python=) with $$($$found --version)"; \
	$$found -m venv $(@:/bin/python=)

$(VENV)/.demo: pyproject.toml $(FRONTEND) | $(BIN)/python
	@echo "Installing the project, JupyterLab and what the notebooks use (a few minutes the first time)"
	@$(BIN)/$(PIP) --editable '.[lab,notebooks]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(FRONTEND) | $(BIN)/python
	@echo "Installing the project and its development tools (a few minutes the first time)"
	@$(BIN)/$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

$(BENCH)/.bench: pyproject.toml $(FRONTEND) | $(BENCH)/bin/python
	@echo "Installing the project and the Flyte SDK"
	@$(BENCH)/bin/$(PIP) --editable '.[bench]'
	@touch $@

labextension/node_modules/.yarn-state.yml: labextension/package.json labextension/yarn.lock | $(VENV)/.dev
	@$(JLPM) install --immutable
	@touch $@

# --- for users ---------------------------------------------------------------------------------------------------------

demo: $(VENV)/.demo ## run the quickstart notebook in a real kernel and print what it shows
	@$(BIN)/python notebooks/run.py notebooks/01_quickstart.ipynb
	@echo
	@echo "Now open it, with the live tree: make lab"

lab: $(VENV)/.demo ## open the notebooks in JupyterLab
	@$(BIN)/python -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/01_quickstart.ipynb

# --- for developers ----------------------------------------------------------------------------------------------------

# The longest first, and three at a time, because much of it waits; what one prints comes when it has ended.
test: $(VENV)/.dev labextension/node_modules/.yarn-state.yml ## everything: unit, property, crash, notebooks, TypeScript, browser
	@$(MAKE) --no-print-directory --jobs 3 --output-sync=target \
		test-kernels test-browser test-python test-crash test-older-ipykernel test-notebooks test-frontend
	@echo "All tests ran, and passed."

KERNELS := tests/notebook tests/guide

test-kernels: $(VENV)/.dev ## what is seen in real kernels, and the programs of Flyte's guide
	@$(PYTEST) $(KERNELS)

test-crash: $(VENV)/.dev ## killed kernels, full disks, damaged values, lost and locked stores
	@$(PYTEST) tests/crash

test-python: $(VENV)/.dev ## unit, property and package tests
	@$(PYTEST) tests $(foreach apart,$(KERNELS) tests/crash tests/browser tests/bench,--ignore $(apart))

build/ipykernel-7.3: | $(VENV)/.dev
	@$(BIN)/$(PIP) --target $@ --no-deps 'ipykernel==7.3.*'

CANCEL := $(addprefix tests/notebook/,test_cancel_matrix.py test_interrupted_start.py test_locked_journal.py)

# Messages of the browser and interrupts reach a busy kernel by other ways there.
test-older-ipykernel: build/ipykernel-7.3 ## cancel and interrupt, on the ipykernel before this one
	@PYTHONPATH=$(abspath $<) $(PYTEST) tests/notebook/test_kernel.py $(CANCEL)

test-cancel: $(VENV)/.dev ## every way to stop every kind of body, at any moment, whatever locks the journal
	@$(PYTEST) $(CANCEL)

soak: $(VENV)/.dev build/ipykernel-7.3 ## the crash and cancel suites in full: 200 kills, every way to stop every kind of body (most of an hour)
	@FLYTE_NOTEBOOK_SOAK=1 $(MAKE) --no-print-directory --jobs 3 --output-sync=target \
		test-crash test-cancel test-older-ipykernel
	@echo "All of it ran, and passed."

test-notebooks: $(VENV)/.dev ## every notebook, its outputs compared with the saved ones
	@$(PYTEST) --nbval --nbval-current-env notebooks

test-frontend: labextension/node_modules/.yarn-state.yml ## the TypeScript side
	@$(JLPM) test

test-browser: $(VENV)/.dev ## JupyterLab in Chromium, which is found or installed
	@$(BIN)/python tests/browser/chromium.py
	@$(PYTEST) tests/browser

notebooks: $(VENV)/.demo ## run all notebooks again and save their outputs
	@$(BIN)/python notebooks/run.py --save notebooks/*.ipynb

screenshots: test-browser ## the pictures of the README, taken by the browser tests
	@mkdir -p docs
	@for theme in light dark; do cp build/screenshots/quickstart-$$theme.png docs/tree-$$theme.png; done

bench: $(BENCH)/.bench ## the budgets, beside bare asyncio and the Flyte SDK
	@$(BENCH)/bin/python -m tests.bench

profile: $(VENV)/.dev ## where the time of an action goes, by module and function
	@$(BIN)/python -m tests.bench.profile

lint: lint-python lint-frontend ## format, rules, types and layers

lint-python: $(VENV)/.dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lint-frontend: labextension/node_modules/.yarn-state.yml
	@$(JLPM) lint

format: $(VENV)/.dev labextension/node_modules/.yarn-state.yml ## rewrite the sources in the one format
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format
	@$(JLPM) format

clean: ## remove everything that was made, the environment too
	rm -rf $(VENV) $(BENCH) build dist labextension/node_modules labextension/lib flyte_notebook/static flyte_notebook/labextension
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
