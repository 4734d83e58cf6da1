# Every target sets up what it needs: a virtual environment in .venv with the pinned packages.
# `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
REQUIREMENTS := $(VENV)/.requirements
EXTRAS := dashboard docs plots tensorboard test
PORT ?= 8501
RUNS ?= runs
# Two processes, each with whole files: what a file prepares, it prepares once.
PARALLEL ?= -n 2 --dist loadfile

export KERAS_BACKEND := tensorflow
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-fast test-all lint format type imports docs dashboard bench check lock

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(INSTALLED) ## Train on two real data sets; print the figures, draw the pictures (demo/).
	@rm -rf demo/diabetes demo/digits
	@$(BIN)/python examples/demo.py demo

test: $(INSTALLED) ## All tests but the slow ones.
	@$(BIN)/python -m pytest -m "not slow" $(PARALLEL) tests

test-fast: $(INSTALLED) ## The tests that need no TensorFlow: seconds.
	@$(BIN)/python -m pytest $(PARALLEL) tests/light

test-all: $(INSTALLED) ## All tests, the slow ones too.
	@$(BIN)/python -m pytest $(PARALLEL) tests

lint: $(INSTALLED) ## Rules and format.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(INSTALLED) ## Write the format, and mend what can be mended by itself.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

type: $(INSTALLED) ## Static types.
	@$(BIN)/mypy

imports: $(INSTALLED) ## Who may import whom.
	@$(BIN)/lint-imports

docs: $(INSTALLED) ## The documentation, into site/; a warning is an error.
	@rm -rf site
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env \
		--doctree-dir build/doctrees docs site
	@echo "site/index.html is written."

dashboard: $(INSTALLED) ## Show the runs in RUNS=runs in a browser, on PORT=8501.
	@$(BIN)/tfbdl dashboard --port $(PORT) --runs $(RUNS)

bench: $(INSTALLED) ## Run one benchmark: make bench NAME=uci [ARGS=...].
	@if [ -z "$(NAME)" ] || [ ! -f "benchmarks/$(NAME)/__main__.py" ]; then \
		names=$$(cd benchmarks && ls -d */__main__.py | xargs -n 1 dirname | xargs); \
		echo "make bench NAME=...: expected one of: $$names. Received: '$(NAME)'." >&2; \
		exit 2; \
	fi
	@if [ -f "benchmarks/$(NAME)/requirements.txt" ]; then \
		peer=$(VENV)-$(NAME); \
		[ -x $$peer/bin/python ] || $(BIN)/python -m venv $$peer; \
		$$peer/bin/pip install --quiet --requirement benchmarks/$(NAME)/requirements.txt; \
		exec $(BIN)/python -m benchmarks.$(NAME) --peer-python $$peer/bin/python $(ARGS); \
	fi; \
	exec $(BIN)/python -m benchmarks.$(NAME) $(ARGS)

check: lint type imports test ## What must hold before a change goes in.

lock: $(BIN)/python ## Write requirements.lock anew from pyproject.toml; LOCK=--upgrade for newer pins.
	@[ -x $(BIN)/uv ] || $(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 $(EXTRAS:%=--extra %) $(LOCK) \
		--output-file requirements.lock pyproject.toml

# Set-up: once, and again when pins or metadata change.

$(INSTALLED): $(REQUIREMENTS) pyproject.toml
	@echo "Installing tfbdl into $(VENV)" >&2
	@$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

$(REQUIREMENTS): requirements.lock | $(BIN)/python
	@echo "Installing the pinned packages into $(VENV); this takes some minutes" >&2
	@$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	@touch $@

$(BIN)/python:
	@for python in $(PYTHON) python3 python3.12 python3.13 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
			2> /dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version)" >&2; \
			exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "tfbdl needs Python 3.11, 3.12 or 3.13. Received: $$(python3 --version 2>&1 || true)." >&2; \
	echo "Install one of them, or name it: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.12" >&2; \
	exit 1
