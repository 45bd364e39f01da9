# What one does here. Every target makes its own environment in .venv from nothing, and again when needed.
# It wants python3 (3.11 or newer), make and git. ARGS= goes through to the program that a target runs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
ROOMS := domain projections workers ops
ARGS ?=

# The newest python3 that will do, PYTHON= to choose.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)
UV := $(shell command -v uv 2>/dev/null)

# The editable install links file by file, so a file that is new or gone calls for it again.
FILES := $(shell find $(ROOMS) -type f \( -name '*.py' -o -name '*.sql' -o -name py.typed \) | LC_ALL=C sort | cksum | tr ' ' -)
INSTALLED := $(VENV)/installed-$(FILES)

.PHONY: help
help: ## Show the targets (this text)
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

.PHONY: demo
demo: $(INSTALLED) ## Change, undo and audit 234,908 real places on an embedded PostgreSQL
	@$(BIN)/action-ledger demo $(ARGS)

.PHONY: test
test: $(INSTALLED) ## Run the tests on two PostgreSQL versions (ARGS="-m 'not slow'" for the fast loop)
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 10 $(ARGS)

.PHONY: check
check: $(INSTALLED) ## Check form, style, types and the direction of dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pyright

.PHONY: bench
bench: $(INSTALLED) ## Measure side by side and print ratios (ARGS="--rows 1000000")
	@$(BIN)/python -m tests.bench.run $(ARGS)

.PHONY: format
format: $(INSTALLED) ## Format the sources and repair what can be repaired
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: install
install: $(INSTALLED) ## Make the environment in .venv, and nothing more

.PHONY: requirements
requirements: ## Pin the dependencies anew (wants uv); no address of an index gets in
	UV_CUSTOM_COMPILE_COMMAND="make requirements" uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --extra demo --group dev \
		--output-file requirements.txt $(ARGS) pyproject.toml

.PHONY: clean
clean: ## Remove the environment and what tools left; the data in .action-ledger stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/requirements.stamp: requirements.txt
	@echo "Making the environment in $(VENV) (once; about a minute)"
	@test -n "$(PYTHON)" || { echo "No python3 of version 3.11 or newer was found; name one with PYTHON=" >&2; exit 1; }
ifneq ($(UV),)
	@test -x $(BIN)/python || uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV)
	@uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
else
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
endif
	@touch $@

# setuptools is among the requirements, so nothing is fetched for the build.
$(INSTALLED): $(VENV)/requirements.stamp pyproject.toml
	@rm -f $(VENV)/installed-*
ifneq ($(UV),)
	@uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
else
	@test -x $(BIN)/pip || $(BIN)/python -m ensurepip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
endif
	@touch $@
