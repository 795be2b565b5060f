# Everything is made in .venv and done again only when what it comes from has changed.
# PYTHON=... makes the virtual environment with another interpreter, CC=... compiles with another compiler.
PYTHON ?= python3
ifeq ($(origin CC),default)
CC := gcc
endif
override VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
NO_PACKAGES = { echo "pksm: could not install its dependencies: pip's message above says why" >&2; exit 1; }
SOURCES := setup.py pyproject.toml $(shell find csrc -name "*.[ch]" -o -name "*.py")

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test bench bench-compare instructions sanitize dist clean venv check FORCE

help: ## say what there is to make (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: check $(VENV)/.built ## set up, then scan four live Python interpreters
	@$(VENV)/bin/pksm demo

test: check $(VENV)/.built $(VENV)/.test-dependencies ## set up, then run every test: C under sanitizers, then pytest
	@CC="$(CC)" sh ci/sanitize.sh
	@$(VENV)/bin/python -m pytest --hypothesis-profile=ci

bench: check $(VENV)/.built ## measure pksm here, beside its limits and rivals, and store the result
	@$(VENV)/bin/python benchmarks/run.py $(BENCH)

bench-compare: check $(VENV)/.built ## BASE=revision: compare its speed with this checkout's, pair by pair
	@$(VENV)/bin/python benchmarks/compare.py $(if $(BASE),"$(BASE)",$(error say which revision: make bench-compare BASE=...)) $(BENCH)

instructions: check $(VENV)/.made-for ## count the instructions of the C kernels under valgrind, and compare
	@CC="$(CC)" $(VENV)/bin/python ci/instructions.py

sanitize: check ## run only the C tests under ASan and UBSan
	@CC="$(CC)" sh ci/sanitize.sh

dist: check $(VENV)/.dependencies ## build sdist and wheel into dist/
	@$(VENV)/bin/python ci/dist.py dist

venv: check $(VENV)/.built $(VENV)/.test-dependencies ## only set up: .venv with pksm (editable) and the test tools

clean: ## remove everything that was made, .venv too
	rm -rf $(VENV) build dist pksm.egg-info pksm/engine/native/*.so .pytest_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

check:
	@CC="$(CC)" PYTHON="$(PYTHON)" sh ci/check_prerequisites.sh

# A virtual environment holds absolute paths: make it anew for another interpreter or in a moved checkout.
MADE_FOR := $(PYTHON) in $(CURDIR)
ifneq ($(MADE_FOR),$(shell cat $(VENV)/.made-for 2>/dev/null))
$(VENV)/.made-for: FORCE
endif
$(VENV)/.made-for:
	@rm -rf $(VENV)
	@echo "making $(VENV) ..."
	@"$(PYTHON)" -m venv $(VENV)
	@echo "$(MADE_FOR)" >$@

$(VENV)/.dependencies: $(VENV)/.made-for pyproject.toml ci/requirements.py
	@echo "installing dependencies ..."
	@$(VENV)/bin/python ci/requirements.py >$(VENV)/requirements.txt
	@$(PIP) -r $(VENV)/requirements.txt || $(NO_PACKAGES)
	@touch $@

$(VENV)/.test-dependencies: $(VENV)/.made-for pyproject.toml ci/requirements.py
	@echo "installing test tools ..."
	@$(VENV)/bin/python ci/requirements.py test >$(VENV)/requirements-test.txt
	@$(PIP) -r $(VENV)/requirements-test.txt || $(NO_PACKAGES)
	@touch $@

$(VENV)/.built: $(VENV)/.dependencies $(SOURCES)
	@echo "compiling pksm ..."
	@$(PIP) --no-build-isolation --no-deps --no-index --editable .
	@touch $@
