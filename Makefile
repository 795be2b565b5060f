# Everything is made in .venv and done again only when what it comes from has changed.
# PYTHON=... makes the virtual environment with another interpreter, CC=... compiles with another compiler.
PYTHON ?= python3
ifeq ($(origin CC),default)
CC := gcc
endif
# FOR=3.N: a virtual environment beside the others, .venv-3.N (make test-all)
override VENV := .venv$(addprefix -,$(FOR))
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
NO_PACKAGES = { echo "pksm: could not install its dependencies: pip's message above says why" >&2; exit 1; }
SOURCES := setup.py pyproject.toml $(shell find csrc -name "*.[ch]" -o -name "*.py")
C_FILES = $(shell find csrc tests/c tests/support fuzz ci examples -name "*.[ch]" -o -name "*.cpp")
# Each file of tests is for one worker alone, because its fixtures are made once.
PYTEST := -m pytest --hypothesis-profile=ci -n auto --maxprocesses=4 --dist=loadfile
SECONDS ?= 120

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test pytest test-all coverage lint types docs bench bench-compare instructions sanitize fuzz dist figures clean venv \
	check FORCE

help: ## say what there is to make (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: check $(VENV)/.built ## set up, then scan four live Python interpreters
	@$(VENV)/bin/pksm demo

test: sanitize pytest ## set up, then run every test: C under sanitizers, then pytest

pytest: check $(VENV)/.built $(VENV)/.test-dependencies ## run only the tests in Python
	@$(VENV)/bin/python $(PYTEST)

test-all: sanitize ## run every test, those in Python with each python3.N found from 3.11 on
	@sh ci/pythons.sh | while read -r minor python; do \
		echo "Python 3.$$minor: $$python"; \
		$(MAKE) --no-print-directory pytest FOR=3.$$minor PYTHON="$$python" </dev/null || exit 1; \
	done

coverage: check $(VENV)/.built $(VENV)/.test-dependencies ## run the tests in Python; fail if they run too few lines
	@sh ci/coverage.sh $(VENV) build/coverage $(PYTEST)

lint: check types ## check style and format of Python and C, and types
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check .
	@$(VENV)/bin/clang-format --dry-run -Werror $(C_FILES)

types: check $(VENV)/.dependencies $(VENV)/.dev-dependencies ## check types only
	@$(VENV)/bin/mypy

# Made of the code, which Sphinx does not watch: all of it anew (-E).
docs: check $(VENV)/.built $(VENV)/.docs-dependencies ## build the documentation site into build/docs; fail on any warning
	@$(VENV)/bin/python -m sphinx --quiet -E -W --keep-going -b html -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

# BENCH="engine kernel": these results alone; python benchmarks/run.py --help lists them
bench: check $(VENV)/.built ## measure anew what README and site quote, and write their tables and figures
	@$(VENV)/bin/python benchmarks/run.py $(BENCH)

bench-compare: check $(VENV)/.built ## BASE=revision: compare its speed with this checkout's, pair by pair
	@$(VENV)/bin/python benchmarks/compare.py $(if $(BASE),"$(BASE)",$(error say which revision: make bench-compare BASE=...)) $(BENCH)

instructions: check $(VENV)/.made-for ## count the instructions of the C kernels under valgrind, and compare
	@CC="$(CC)" $(VENV)/bin/python ci/instructions.py

# TARGET=name: one target alone; SEED=number: the same random numbers again; JSON=file: where the result is stored.
# Without atheris, those in C.
fuzz: check $(VENV)/.built $(VENV)/.test-dependencies $(VENV)/.fuzz-dependencies ## fuzz for SECONDS=120; fail if something was found
	@$(VENV)/bin/python -m fuzz.run --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json "$(JSON)") $(TARGET) || [ $$? -eq 77 ]

sanitize: check ## run only the C tests, under ASan, UBSan, MSan and TSan
	@CC="$(CC)" sh ci/sanitize.sh

figures: check $(VENV)/.built $(VENV)/.test-dependencies ## draw docs/figures/*.svg anew
	@$(VENV)/bin/python ci/make_figures.py

dist: check $(VENV)/.dist-dependencies ## build sdist and wheel into dist/; SOURCE_DATE_EPOCH: their time
	@$(VENV)/bin/python ci/dist.py dist

venv: check $(VENV)/.built $(VENV)/.test-dependencies $(VENV)/.dev-dependencies ## only set up: .venv with pksm (editable) and all tools

clean: ## remove everything that was made, .venv too
	rm -rf .venv .venv-3.* build csrc/build dist pksm.egg-info pksm/engine/native/*.so .pytest_cache .hypothesis .benchmarks .ruff_cache .mypy_cache
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
	@$(VENV)/bin/python ci/requirements.py test dist >$(VENV)/requirements-test.txt
	@$(PIP) -r $(VENV)/requirements-test.txt || $(NO_PACKAGES)
	@touch $@

$(VENV)/.dist-dependencies: $(VENV)/.dependencies
	@echo "installing tools for wheels ..."
	@$(VENV)/bin/python ci/requirements.py dist >$(VENV)/requirements-dist.txt
	@$(PIP) -r $(VENV)/requirements-dist.txt || $(NO_PACKAGES)
	@touch $@

$(VENV)/.dev-dependencies: $(VENV)/.made-for pyproject.toml ci/requirements.py
	@echo "installing development tools ..."
	@$(VENV)/bin/python ci/requirements.py dev >$(VENV)/requirements-dev.txt
	@$(PIP) -r $(VENV)/requirements-dev.txt || $(NO_PACKAGES)
	@touch $@

$(VENV)/.docs-dependencies: $(VENV)/.made-for pyproject.toml ci/requirements.py
	@echo "installing Sphinx ..."
	@$(VENV)/bin/python ci/requirements.py docs >$(VENV)/requirements-docs.txt
	@$(PIP) -r $(VENV)/requirements-docs.txt || $(NO_PACKAGES)
	@touch $@

$(VENV)/.fuzz-dependencies: $(VENV)/.made-for pyproject.toml ci/requirements.py
	@echo "installing atheris ..."
	@$(VENV)/bin/python ci/requirements.py fuzz >$(VENV)/requirements-fuzz.txt
	@$(PIP) --only-binary=atheris -r $(VENV)/requirements-fuzz.txt || echo "no atheris for this Python and machine" >&2
	@touch $@

$(VENV)/.built: $(VENV)/.dependencies $(SOURCES)
	@echo "compiling pksm ..."
	@$(PIP) --no-build-isolation --no-deps --no-index --editable .
	@$(VENV)/bin/python -m compileall -q pksm # else every start compiles, where the environment keeps Python from storing
	@touch $@
