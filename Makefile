# Everything runs inside .venv: nothing outside this folder is changed, and root is not needed.
# Another Python: make PYTHON=/path/to/python3 test

.DEFAULT_GOAL := help
.PHONY: help demo test check lint wheel fix readme serve bench soak

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
STATE := out/serve
PORT := 8000
# The tests run in so many processes; more cores, more of them: make WORKERS=8 test
WORKERS := 2
SAMPLE := --orders data/sample/orders.parquet --catalog data/sample/products.parquet
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# Downloads are kept here, not in the home folder. Build tools are pinned like everything else:
# up to pip 25.2 by PIP_CONSTRAINT, from 25.3 on by PIP_BUILD_CONSTRAINT.
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Made anew, not added to, so that what is installed is what pyproject.toml and constraints.txt say.
# A Python that came without ensurepip (Debian's) lends its own pip once.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; install one," \
		"or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version), once"
	@$(PYTHON) -m venv --clear --without-pip $(VENV)
	@$(PY) -m ensurepip >/dev/null 2>&1 || $(PYTHON) -m pip --python $(PY) install --quiet pip
	@$(PY) -m pip install --quiet pip
	@$(PY) -m pip install --quiet --editable '.[dev]'
	@$(PY) -m pip uninstall --quiet --yes setuptools 2>/dev/null
	@touch $@

demo: $(READY) ## train on data/sample, tell the sport-coat story, ask the service the same
	@$(PY) data/sample/demo.py

test: $(READY) ## run the tests, with coverage and doctests
	$(PY) -m pytest -n $(WORKERS) --dist worksteal -rs --cov --cov-report=term

lint: $(READY)
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

wheel: $(READY)
	$(PY) .ci/wheel.py

check: lint test wheel ## format, lint, types, imports, tests, wheel: what CI runs

fix: $(READY) ## put the format right and mend what ruff can mend
	$(PY) -m ruff format
	$(PY) -m ruff check --fix

readme: $(READY) ## run what README.md shows and write what it prints into it
	$(PY) tests/readme.py

serve: $(READY) ## serve the sample shop on http://127.0.0.1:8000, learnt once
	@mkdir -p $(STATE)
	@test -d $(STATE)/models || { \
		$(PY) -m personalize import $(SAMPLE) --store sqlite:///$(STATE)/shop.db && \
		$(PY) -m personalize train $(SAMPLE) --models $(STATE)/models; }
	@$(PY) -m service --store sqlite:///$(STATE)/shop.db --models $(STATE)/models --port $(PORT)

bench: $(READY) ## measure, and write what the README quotes
	$(PY) -m benchmarks

soak: $(READY) ## kill, starve and besiege the service for a quarter of an hour, and say how that went
	$(PY) -m soak
