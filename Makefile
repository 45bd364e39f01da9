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
FILES := $(shell find $(ROOMS) -type f \( -name '*.py' -o -name '*.sql' -o -name '*.service' -o -name '*.conf' \
	-o -name py.typed \) | LC_ALL=C sort | cksum | tr ' ' -)
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

FAULTS := tests/crash tests/integration/test_bad_records.py tests/integration/test_conflicts.py \
	tests/integration/test_undo_at_once.py tests/integration/test_huge_input.py tests/integration/test_hostile_places.py \
	tests/integration/test_poison.py tests/integration/test_once.py tests/integration/test_authorize.py tests/integration/test_otlp.py
FAULTY := -m pytest -p tests.faults -m "crash or not crash" --durations 10
QUICK ?=

# The marathon is measured, so it runs alone (5: ARGS has left it out); the table at the end is of both runs.
.PHONY: crash
crash: export ACTION_LEDGER_FAULTS_SO_FAR = $(CURDIR)/$(VENV)/faults.json
crash: export ACTION_LEDGER_QUICK_CRASH = $(QUICK)
crash: $(INSTALLED) ## Inject every fault at every step, print a table of what came of it (QUICK=1: a small one)
	@rm -f $(VENV)/faults.json
	@ended=0; $(BIN)/python $(FAULTY) -n 0 -o faulthandler_timeout=3600 tests/crash/test_marathon.py $(ARGS) || ended=$$?; \
	[[ $$ended -ne 5 ]] || ended=0; \
	$(BIN)/python $(FAULTY) -n 2 --dist worksteal $(FAULTS) --ignore tests/crash/test_marathon.py $(ARGS) || ended=$$?; \
	exit $$ended

.PHONY: mutants
mutants: $(INSTALLED) ## Take one guard away at a time, and see that a test fails (ARGS="--kind lock")
	@$(BIN)/python -m tests.mutants.run $(ARGS)

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
		--generate-hashes --no-emit-index-url --no-emit-find-links --extra demo --extra xlsx --extra pdf --extra parquet --group dev \
		--output-file requirements.txt $(ARGS) pyproject.toml

.PHONY: clean
clean: ## Remove the environment and what tools left; the data in .action-ledger stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} +

# uv is quick, but it reads no settings of pip, and a machine may have its index or its certificates in those:
# where uv cannot, pip tries.
WITH_UV := $(if $(UV),uv pip install --quiet --python $(BIN)/python,false)
WITH_PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(VENV)/requirements.stamp: requirements.txt
	@test -n "$(PYTHON)" || { echo "No python3 of version 3.11 or newer was found; name one with PYTHON=" >&2; exit 1; }
	@echo "Making the environment in $(VENV) (once; about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(if $(UV),--without-pip) $(VENV)
	@$(WITH_UV) --require-hashes -r requirements.txt 2>$(VENV)/uv.log || { \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
		$(WITH_PIP) --require-hashes -r requirements.txt; }
	@touch $@

# setuptools is among the requirements, so nothing is fetched for the build.
$(INSTALLED): $(VENV)/requirements.stamp pyproject.toml
	@rm -f $(VENV)/installed-*
	@$(WITH_UV) --no-deps --no-build-isolation --editable . 2>>$(VENV)/uv.log || { \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
		$(WITH_PIP) --no-deps --no-build-isolation --editable .; }
	@touch $@
