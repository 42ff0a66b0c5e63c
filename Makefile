# hashtag-photos. `make` alone lists what there is; README.md says more.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
# of this folder: a checkout that was moved is installed anew, since scripts in .venv name their own place
INSTALLED := $(VENV)/.installed-$(shell pwd | cksum | cut -d ' ' -f 1)

# Every variable given on make's command line is an option of `hashtag-photos run`: POSTS=posts.jsonl is --posts posts.jsonl.
# A misspelt one is therefore an error, and never left out in silence. From the environment only these names are taken,
# and not COLUMNS, which is how wide a terminal is.
OWN := PYTHON
FROM_ENVIRONMENT := HASHTAG SOURCE SINCE UNTIL LIMIT MAX_WAIT KEEP_AUTHORS POSTS FORMAT FILES IMAGES RUN MODEL LABELS DEVICE PRECISION RETRY CONTACT ENGINE STORE
FLAGS := RETRY KEEP_AUTHORS IGNORE_OPT_OUTS
# tests wait, for servers and processes, a third of their time
WORKERS = $(shell $(BIN)/python -c 'import os; print(os.cpu_count() + 1)')
quoted = '$(subst ','\'',$(1))'
option = --$(subst _,-,$(shell printf %s '$(1)' | tr A-Z a-z)) $(if $(filter $(FLAGS),$(1)),,$(call quoted,$($(1))))
typed = $(filter command line,$(origin $(1)))
inherited = $(and $(filter environment,$(origin $(1))),$(filter $(FROM_ENVIRONMENT),$(1)))
GIVEN := $(strip $(foreach name,$(filter-out $(OWN),$(.VARIABLES)),$(if $(call typed,$(name))$(call inherited,$(name)),$(name))))
OPTIONS = $(foreach name,$(sort $(GIVEN)),$(if $(filter $(foreach flag,$(FLAGS),$(flag)=0 $(flag)=no $(flag)=false),$(name)=$($(name))),,$(call option,$(name))))

.DEFAULT_GOAL := help
.PHONY: help install classify report review test lint types check smoke sample lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## set everything up in .venv, as locked

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; name a newer one: make install PYTHON=python3.12" >&2; exit 2; }
	@echo "setting up $(VENV): about two minutes, 6 GB with torch"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
	  { echo "error: $(PYTHON) can't make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --reinstall --editable .
	@touch $@

classify: $(INSTALLED) ## the whole run: the sample, or HASHTAG= SOURCE=, POSTS=posts.jsonl, IMAGES=photos/; RUN=, MODEL=, LABELS=, ENGINE=ray
	@$(BIN)/hashtag-photos run $(OPTIONS)

report: $(INSTALLED) ## the report of RUN=runs/sample again
	@$(BIN)/hashtag-photos report $(call quoted,$(or $(RUN),runs/sample))

review: $(INSTALLED) ## the page to label pictures of RUN=runs/sample on
	@$(BIN)/hashtag-photos review $(call quoted,$(or $(RUN),runs/sample))

test: $(INSTALLED) ## the tests, but for the slow ones
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow and not gpu and not network"

lint: $(INSTALLED) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## mypy, strict
	$(BIN)/mypy

smoke: $(INSTALLED) ## the wheel in an environment of its own, on the sample, beside a decoy pipeline.py and models/
	scripts/smoke.sh

check: lint types test ## all that CI runs
	@$(MAKE) --no-print-directory -j 2 slow smoke

.PHONY: slow
slow: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile -m "slow and not gpu and not network"

sample: $(INSTALLED) ## draw the sample and train the tiny model anew (about 15 minutes)
	$(BIN)/python scripts/draw_scenes.py
	$(BIN)/python scripts/train_tiny_clip.py

lock: $(INSTALLED) ## requirements.lock from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --no-emit-index-url --generate-hashes --quiet --output-file requirements.lock

clean: ## remove what can be made again; never runs/
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache
	find pipeline scripts tests -name __pycache__ -type d -exec rm -rf {} +
