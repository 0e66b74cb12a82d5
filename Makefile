# A fresh machine needs Python 3.11 only: `make demo` and `make test` install the rest into .venv.
# PyPI's torch for Linux brings CUDA along. For the smaller one without it:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make env

SHELL := /bin/bash
PYTHON ?= python3.11
VENV ?= .venv
MOBILE ?= .venv-mobile
WORKERS ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP_INSTALL = $(BIN)/python -m pip install --constraint constraints.txt
# Files that take long come first, and those that share what they make go to one worker: see tests/conftest.py.
SIDE_BY_SIDE := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
CHECKS := check-style check-format check-types check-layers check-tests

# What bash's `time` prints after each check.
export TIMEFORMAT := took %1R s

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env npm demo test test-fast lint format bench fuzz kill race disks threads soak bare audit test-gpu test-mobile rivals others wheel constraints clean $(CHECKS)

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(READY) ## Make .venv, with the versions of constraints.txt

# The build backend comes first, and at its pinned version too: an isolated build would take the newest.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) torch editables hatchling
	$(PIP_INSTALL) --no-build-isolation --editable '.[dev]'
	touch $@

npm: build/npm/.ready ## Fetch what the tests of embedded applications take from npm

build/npm/.ready: tests/fixtures/npm/package.json tests/fixtures/npm/package-lock.json
	mkdir -p $(@D)
	cp $^ $(@D)
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund
	touch $@

demo: env ## Quantize, build, validate and time the demo model on its images
	$(BIN)/convnext-edge demo

test: env ## Run all checks, even where one fails: style, format, types, layers, tests
	@time $(MAKE) --no-print-directory --keep-going $(CHECKS)

lint: env ## Run the checks of `make test` that run no code
	@$(MAKE) --no-print-directory --keep-going $(filter-out check-tests,$(CHECKS))

check-style: env
	time $(BIN)/ruff check .

check-format: env
	time $(BIN)/ruff format --check .

check-types: env
	time $(BIN)/mypy --num-workers $(WORKERS)

check-layers: env
	time $(BIN)/lint-imports --no-logo

check-tests: env
	time $(BIN)/pytest $(SIDE_BY_SIDE) --durations 10

test-fast: env ## Run the tests that make no model and start no program
	@time $(BIN)/pytest $(SIDE_BY_SIDE) -m 'not slow'

format: env ## Format the code, and repair what ruff can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

fuzz: env ## Read 20,000 malformed files with every reader; what fails is kept in build/fuzz
	$(BIN)/python -m benchmarks.measure.fuzz

# All of them run, even where one does not meet its bars (exit code 3).
bench: env ## Measure accuracy, latency, quantizing, training, C++ and TensorRT; writes benchmarks/results/
	@failed=0; for name in fidelity models corruptions latency relu_latency kernels architectures ptq_cost recipes training_speed kill_resume embed rtx_engines; do \
	    $(BIN)/python -m benchmarks.measure.$$name || failed=$$?; \
	done; $(BIN)/python -m benchmarks.make.tables; exit $$failed

# Each writes a report to benchmarks/results/ and fails where a bar is not met. Their short forms are in tests/trust.
TRUST := PYTHONPATH=tests:. $(BIN)/python tests/trust

kill: env ## Kill all commands 500 times, those of segmenters and detectors 100, and count what they leave
	$(TRUST)/kill.py --kills 500 -o benchmarks/results
	$(TRUST)/kill.py --dense --kills 100 -o benchmarks/results

race: env ## Let writers and readers of one name race for 500 rounds
	$(TRUST)/race.py --rounds 500 -o benchmarks/results

disks: env ## Run all commands on full, read-only and foreign disks (as root, on Linux)
	$(TRUST)/disks.py -o benchmarks/results
	$(TRUST)/disks.py --dense -o benchmarks/results

threads: env ## Run 4 exports, 4 quantizations and 8 validations at once in one process
	GUESTS=4 $(BIN)/pytest tests/trust/test_guest.py --durations 3

soak: env ## Keep Python's and C++'s sessions busy for ten minutes, and watch their memory
	$(BIN)/python -m benchmarks.measure.soak

bare: env ## Build embedded C++ in a root of Debian that has cmake and g++ alone (as root, with debootstrap)
	$(BIN)/python -m benchmarks.measure.embed_bare

# An environment of its own: what audits the dependencies is none of them.
build/audit/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install pip-audit cyclonedx-bom
	touch $@

# The bill of materials needs no network. A package that nobody could be asked for fails the audit, and is named.
audit: env build/audit/.ready ## Write build/sbom.json, and look for known holes in the pinned dependencies
	build/audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-file build/sbom.json $(BIN)/python
	build/audit/bin/python .ci/audit.py constraints.txt

test-gpu: env ## Run the tests that need an NVIDIA GPU
	$(BIN)/pytest -m gpu

# Environments of their own, 4 GB: what these packages want excludes each other, and some of .venv.
$(MOBILE)/%/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	grep '^torch' constraints.txt > $(@D)/constraints.txt
	$(@D)/bin/python -m pip install --constraint $(@D)/constraints.txt torch editables hatchling
	$(@D)/bin/python -m pip install --constraint $(@D)/constraints.txt --no-build-isolation --editable '.[$*]' pytest 'cmake>=3.28'
	touch $@

test-mobile: $(MOBILE)/executorch/.ready $(MOBILE)/litert/.ready ## Run the tests of ExecuTorch, Core ML and LiteRT
	$(MOBILE)/executorch/bin/python -m pytest -m 'executorch or coreml'
	$(MOBILE)/litert/bin/python -m pytest -m litert

# An environment for each rival of `compare --rivals` whose packages exclude ours, 10 GB in all. One that cannot be
# made stops no other: its rivals then are rows that say so.
RIVALS := $(patsubst convnext_edge/rivals/environments/%.txt,%,$(wildcard convnext_edge/rivals/environments/*.txt))

build/rivals/%/.ready: convnext_edge/rivals/environments/%.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --requirement $< lazy-loader editables hatchling
	$(@D)/bin/python -m pip install --no-build-isolation --no-deps --editable .
	$(if $(WITHOUT),$(@D)/bin/python -m pip uninstall --yes $(WITHOUT))
	touch $@

# It is wanted but not needed, and beside a PyTorch built for CPUs alone it cannot be imported.
build/rivals/optimum_intel/.ready: WITHOUT := torchvision

rivals: ## Make the environments of the rivals that `compare --rivals` runs
	@failed=; for rival in $(RIVALS); do $(MAKE) build/rivals/$$rival/.ready || failed="$$failed $$rival"; done; \
	    [ -z "$$failed" ] || { echo "not made:$$failed"; exit 1; }

# What papers hold ConvNeXt against, for benchmarks/measure/variants.py: defined by a library that we do not need.
others: build/others/.ready ## Make the environment of the networks that benchmarks hold ConvNeXt against

build/others/.ready: benchmarks/environments/transformers.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --requirement $<
	touch $@

wheel: env ## Build the source archive and, from it, the wheel into dist/
	$(BIN)/python -m build --no-isolation

# A new environment, as what is no longer needed would stay in the old one.
constraints: ## Raise constraints.txt to the newest versions that pyproject.toml allows
	rm -rf build/newest
	$(PYTHON) -m venv build/newest
	build/newest/bin/python -m pip install editables '.[dev]'
	build/newest/bin/python -m pip freeze --exclude convnext-edge | sed 's/+cpu$$//' > build/newest/frozen.txt
	grep '^#' constraints.txt | cat - build/newest/frozen.txt > build/newest/constraints.txt
	mv build/newest/constraints.txt constraints.txt
	rm -rf build/newest

clean: ## Remove what was built, and caches; environments and your artifacts stay
	rm -rf build dist .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find benchmarks convnext_edge tests -name __pycache__ -type d -prune -exec rm -r {} +
