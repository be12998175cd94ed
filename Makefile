# Two commands do all the set-up: `make demo` and `make test`. Everything lives in .venv, built from requirements.lock.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := .venv/.ready
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
MISSING = { echo "omnitok needs $(1)" >&2; exit 1; }

# They wait for Slurm more than they compute, so three at a time, each on a cluster of its own. What a loaded machine did not
# do in time is tried once more, alone; what fails twice has failed.
CLUSTERS = $(BIN)/python -m pytest tests/slurm --ignore=tests/slurm/soak -n 3 --dist worksteal
AGAIN = $(BIN)/python -m pytest tests/slurm --ignore=tests/slurm/soak --last-failed --last-failed-no-failures none

.DEFAULT_GOAL := help
.PHONY: demo test slurm soak unit check bench lock clean help

demo: $(READY)  ## the quickstart on the CPU: train, mirror, report
	$(BIN)/omnitok launch sweeps/quickstart.yaml --cluster local
	$(BIN)/omnitok report sweeps/quickstart.yaml

test: $(READY)  ## every test: first those of this process, then those on a real Slurm, PostgreSQL and MLflow
	$(BIN)/python -m pytest -n $(JOBS) --ignore=tests/slurm
	$(CLUSTERS) || $(AGAIN)

slurm: $(READY)  ## only those on a real Slurm, PostgreSQL and MLflow
	$(CLUSTERS) || $(AGAIN)

soak: $(READY)  ## the long ones: 50 kills, 1,000 trials with 8 workers; 12 minutes on two idle cores
	$(BIN)/python -m pytest tests/slurm/soak

unit: $(READY)  ## the fast tests
	$(BIN)/python -m pytest -n $(JOBS) --ignore=tests/slurm -m "not service"

check: $(READY)  ## formatting, lint and types
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

bench: $(READY)  ## the measurements in benchmarks/README.md
	$(BIN)/python -m benchmarks

# The stamp comes last. An installation that was cut short is begun anew, as pip takes a half-copied package for a
# whole one; what it had downloaded is kept.
$(READY): requirements.lock pyproject.toml
	@command -v git >/dev/null || $(call MISSING,git: apt-get install git)
	@command -v "$(PYTHON)" >/dev/null || $(call MISSING,Python 3.11 to 3.13 as $(PYTHON): apt-get install python3 or say make PYTHON=...)
	@"$(PYTHON)" -c '$(SUPPORTED)' || $(call MISSING,Python 3.11 to 3.13 but $(PYTHON) is $$("$(PYTHON)" -V 2>&1): say make PYTHON=...)
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || $(call MISSING,the venv module of Python: apt-get install python3-venv)
	@test ! -e .venv/.unfinished || rm -rf .venv
	@$(BIN)/python -c 'import pip; $(SUPPORTED)' 2>/dev/null || { rm -rf .venv && "$(PYTHON)" -m venv .venv; }
	@touch .venv/.unfinished
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@rm .venv/.unfinished && touch $@

# torch stays where it is until somebody moves it on purpose; what its Linux build brings along is left to torch.
lock: TORCH := $(shell grep '^torch==' requirements.lock)
lock:  ## requirements.lock anew, from the ranges in pyproject.toml
	rm -rf .venv-lock && "$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/python -m pip install "$(TORCH)" ".[dev]"
	{ grep '^#' requirements.lock; \
	  .venv-lock/bin/python -m pip freeze --all --exclude pip --exclude omnitok \
	  | grep -Ev '^(nvidia|cuda|triton)[-=]' | sed -E 's/\+[A-Za-z0-9.]+$$//' | LC_ALL=C sort -f; } > requirements.lock.new
	mv requirements.lock.new requirements.lock && rm -rf .venv-lock

clean:  ## remove the environment, caches and rendered reports; runs stay
	rm -rf .venv .venv-lock build dist omnitok.egg-info reports/build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find omnitok tests -name __pycache__ -type d -exec rm -rf {} +

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile
